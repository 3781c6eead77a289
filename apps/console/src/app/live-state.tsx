import { LiveBadge } from '../components/live-badge.tsx'
import { useLive } from '../data/live.tsx'
import { useMay } from '../data/session.tsx'

/** Whether the page keeps itself fresh. */
export function LiveState() {
  const { state } = useLive()
  return useMay('events:read') ? (
    <span className="px-1 max-sm:hidden">
      <LiveBadge state={state} />
    </span>
  ) : null
}
