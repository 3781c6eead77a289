import type { ReactNode } from 'react'
import { classNames } from './class-names.ts'

export type Tone = 'ok' | 'warn' | 'bad' | 'busy' | 'idle'

const tones: Readonly<Record<Tone, string>> = {
  ok: 'bg-ok-soft text-ok',
  warn: 'bg-warn-soft text-warn',
  bad: 'bg-bad-soft text-bad',
  busy: 'bg-accent-soft text-accent',
  idle: 'bg-raised text-ink-2',
}

export function Badge({
  tone = 'idle',
  dot = false,
  children,
}: {
  readonly tone?: Tone
  readonly dot?: boolean
  readonly children: ReactNode
}) {
  return (
    <span
      className={classNames(
        'inline-flex h-5.5 items-center gap-1.5 rounded-full px-2 text-xs font-medium whitespace-nowrap',
        tones[tone],
      )}
    >
      {dot && (
        <span
          className={classNames('size-1.5 rounded-full bg-current', tone === 'busy' && 'animate-pulse')}
          aria-hidden="true"
        />
      )}
      {children}
    </span>
  )
}

/** States of everything that has one. Words that mean the same everywhere look the same everywhere. */
const stateTones: Readonly<Record<string, Tone>> = {
  ready: 'ok',
  ok: 'ok',
  loaded: 'ok',
  accepted: 'ok',
  usable: 'ok',
  joining: 'busy',
  benchmarking: 'busy',
  progressing: 'busy',
  registering: 'busy',
  downloading: 'busy',
  placing: 'busy',
  loading: 'busy',
  verifying: 'busy',
  assigned: 'busy',
  pending: 'busy',
  draining: 'warn',
  lacking: 'warn',
  degraded: 'warn',
  removing: 'warn',
  cordoned: 'warn',
  quarantined: 'bad',
  failing: 'bad',
  failed: 'bad',
  down: 'bad',
  offline: 'bad',
  revoked: 'bad',
  paused: 'idle',
  expired: 'idle',
  'used up': 'idle',
}

export const toneOf = (state: string): Tone => stateTones[state] ?? 'idle'

export const StateBadge = ({ state }: { readonly state: string }) => (
  <Badge tone={toneOf(state)} dot>
    {state}
  </Badge>
)
