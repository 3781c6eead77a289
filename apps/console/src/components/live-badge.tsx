import type { StreamState } from '../data/use-stream.ts'
import { classNames } from './class-names.ts'

const words: Readonly<Record<StreamState, string>> = {
  connecting: 'Connecting',
  live: 'Live',
  paused: 'Paused',
  lost: 'Reconnecting',
  ended: 'Ended',
}

/** Whether what is shown changes by itself. */
export const LiveBadge = ({ state }: { readonly state: StreamState }) => (
  <span role="status" className="inline-flex items-center gap-1.5 text-xs text-ink-3">
    <span
      aria-hidden="true"
      className={classNames(
        'size-2 rounded-full',
        state === 'live' ? 'bg-ok' : state === 'lost' ? 'bg-bad' : 'bg-line-strong',
      )}
    />
    {words[state]}
  </span>
)
