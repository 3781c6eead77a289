import type { Names } from '../data/names.ts'
import type { RequestRecord } from '../data/types.ts'
import { formatDuration } from '../format/numbers.ts'
import { classNames } from './class-names.ts'
import { Hops } from './hops.tsx'

type Span = RequestRecord['timeline'][number]
type Phase = Span['phase']

const colours: Readonly<Record<Phase, string>> = {
  queue: 'bg-line-strong',
  prefill: 'bg-[var(--series-2)]',
  decode: 'bg-[var(--series-1)]',
  enhancement: 'bg-[var(--series-3)]',
  interruption: 'bg-bad',
}

const order: readonly Phase[] = ['queue', 'prefill', 'decode', 'enhancement', 'interruption']

interface Lane {
  readonly phase: Phase
  readonly spans: readonly Span[]
  readonly totalMs: number
}

/** One lane a phase. */
export function lanesOf(timeline: readonly Span[]): readonly Lane[] {
  const lanes = new Map<Phase, Span[]>()
  for (const span of [...timeline].sort(
    (a, b) => order.indexOf(a.phase) - order.indexOf(b.phase) || a.startMs - b.startMs,
  )) {
    lanes.set(span.phase, [...(lanes.get(span.phase) ?? []), span])
  }
  return [...lanes].map(([phase, spans]) => ({
    phase,
    spans,
    totalMs: spans.reduce((sum, { startMs, endMs }) => sum + (endMs - startMs), 0),
  }))
}

/** Where a request's time went: one phase after another, and below them what each stage took. */
export function Timeline({ record, names }: { readonly record: RequestRecord; readonly names: Names }) {
  return (
    <div className="flex min-w-0 flex-col gap-4">
      <Phases record={record} />
      <Hops hops={record.hops} machineName={names.machine} />
    </div>
  )
}

function Phases({ record }: { readonly record: RequestRecord }) {
  const lanes = lanesOf(record.timeline)
  const endMs = Math.max(record.durationMs, ...record.timeline.map((span) => span.endMs), 0.001)
  if (lanes.length === 0)
    return <p className="text-sm text-ink-3">No timeline was recorded for this request.</p>
  return (
    <ul aria-label={`Timeline of ${formatDuration(endMs)}`} className="flex min-w-0 flex-col gap-1.5">
      {lanes.map(({ phase, spans, totalMs }) => (
        <li key={phase} className="grid grid-cols-[6.5rem_minmax(0,1fr)_4.5rem] items-center gap-2 text-xs">
          <span className="truncate text-ink-2">{phase}</span>
          <span className="relative block h-3.5 rounded-sm bg-raised">
            {spans.map((span) => (
              <span
                key={`${span.startMs}-${span.endMs}`}
                title={`${phase}: ${formatDuration(span.startMs)} to ${formatDuration(span.endMs)}`}
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
