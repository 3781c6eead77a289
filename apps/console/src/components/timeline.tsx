import type { Names } from '../data/names.ts'
import type { RequestRecord } from '../data/types.ts'
import { formatDuration } from '../format/numbers.ts'
import { classNames } from './class-names.ts'

type Span = RequestRecord['timeline'][number]
type Phase = Span['phase']

const colours: Readonly<Record<Phase, string>> = {
  queue: 'bg-line-strong',
  prefill: 'bg-[var(--series-2)]',
  hop: 'bg-[var(--series-4)]',
  decode: 'bg-[var(--series-1)]',
  interruption: 'bg-bad',
}

const order: readonly Phase[] = ['queue', 'prefill', 'hop', 'decode', 'interruption']

interface Lane {
  readonly name: string
  readonly phase: Phase
  readonly spans: readonly Span[]
  readonly totalMs: number
}

/** One lane a phase, and one for each machine that was hopped to. */
export function lanesOf(timeline: readonly Span[], machineName: (id: string) => string): readonly Lane[] {
  const lanes = new Map<string, Span[]>()
  for (const span of [...timeline].sort(
    (a, b) => order.indexOf(a.phase) - order.indexOf(b.phase) || a.startMs - b.startMs,
  )) {
    const name = span.phase === 'hop' && span.machineId !== null ? machineName(span.machineId) : span.phase
    lanes.set(name, [...(lanes.get(name) ?? []), span])
  }
  return [...lanes].map(([name, spans]) => ({
    name,
    phase: spans[0]!.phase,
    spans,
    totalMs: spans.reduce((sum, { startMs, endMs }) => sum + (endMs - startMs), 0),
  }))
}

/** Where a request's time went. */
export function Timeline({ record, names }: { readonly record: RequestRecord; readonly names: Names }) {
  const lanes = lanesOf(record.timeline, names.machine)
  const endMs = Math.max(record.durationMs, ...record.timeline.map((span) => span.endMs), 0.001)
  if (lanes.length === 0)
    return <p className="text-sm text-ink-3">No timeline was recorded for this request.</p>
  return (
    <ul aria-label={`Timeline of ${formatDuration(endMs)}`} className="flex min-w-0 flex-col gap-1.5">
      {lanes.map(({ name, phase, spans, totalMs }) => (
        <li key={name} className="grid grid-cols-[6.5rem_minmax(0,1fr)_4.5rem] items-center gap-2 text-xs">
          <span className="truncate text-ink-2" title={name}>
            {phase === 'hop' ? `hop · ${name}` : name}
          </span>
          <span className="relative block h-3.5 rounded-sm bg-raised">
            {spans.map((span) => (
              <span
                key={`${span.startMs}-${span.endMs}`}
                title={`${name}: ${formatDuration(span.startMs)} to ${formatDuration(span.endMs)}`}
                className={classNames('absolute inset-y-0 min-w-0.5 rounded-sm', colours[phase])}
                style={{
                  left: `${(span.startMs / endMs) * 100}%`,
                  width: `${((span.endMs - span.startMs) / endMs) * 100}%`,
                }}
              />
            ))}
          </span>
          <span className="text-right text-ink-3 tabular-nums">{formatDuration(totalMs)}</span>
        </li>
      ))}
      <li
        aria-hidden="true"
        className="grid grid-cols-[6.5rem_minmax(0,1fr)_4.5rem] gap-2 text-[11px] text-ink-3 tabular-nums"
      >
        <span />
        <span className="flex justify-between border-t border-line pt-0.5">
          <span>0</span>
          <span>{formatDuration(endMs / 2)}</span>
          <span>{formatDuration(endMs)}</span>
        </span>
        <span />
      </li>
    </ul>
  )
}
