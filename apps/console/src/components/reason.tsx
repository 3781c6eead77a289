import type { Reason } from '../data/types.ts'
import { StateBadge } from './badge.tsx'
import { Time } from './time.tsx'

/** Why something is as it is, and since when. */
export const ReasonText = ({ reason: { message, since } }: { readonly reason: Reason }) => (
  <>
    {message} {since !== null && <Time at={since} />}
  </>
)

/** A state and, always, why. */
export function StateWithReason({ state, reason }: { readonly state: string; readonly reason: Reason }) {
  return (
    <div className="flex min-w-0 flex-col items-start gap-0.5 max-md:items-end">
      <StateBadge state={state} />
      <span className="max-w-sm text-xs text-ink-3 max-md:text-right">
        {reason.message}{' '}
        {reason.since !== null && (
          <span className="whitespace-nowrap">
            · <Time at={reason.since} />
          </span>
        )}
      </span>
    </div>
  )
}
