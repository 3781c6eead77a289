import type { RequestRecord } from '../data/types.ts'
import { formatDuration } from '../format/numbers.ts'
import { classNames } from './class-names.ts'

type Hop = RequestRecord['hops'][number]

const kinds = [
  { name: 'prefill', colour: 'bg-[var(--series-2)]', of: ({ prefill }: Hop) => prefill.computeMs },
  { name: 'decode', colour: 'bg-[var(--series-1)]', of: ({ decode }: Hop) => decode.computeMs },
  {
    name: 'waiting',
    colour: 'bg-line-strong',
    of: ({ prefill, decode }: Hop) => prefill.waitMs + decode.waitMs,
  },
  {
    name: 'link',
    colour: 'bg-[var(--series-4)]',
    of: ({ prefill, decode }: Hop) => prefill.linkMs + decode.linkMs,
  },
] as const

/** Parts that took any time. */
const partsOf = (hop: Hop) =>
  kinds.map(({ name, colour, of }) => ({ name, colour, tookMs: of(hop) })).filter(({ tookMs }) => tookMs > 0)

const total = (hop: Hop): number => partsOf(hop).reduce((sum, { tookMs }) => sum + tookMs, 0)

/** What a request's steps took at each stage: computing the prompt and the answer, waiting, and on to the next stage. */
export function Hops({
  hops,
  machineName,
}: {
  readonly hops: readonly Hop[]
  readonly machineName: (id: string) => string
}) {
  if (hops.length === 0) return null
  const mostMs = Math.max(...hops.map(total), 0.001)
  return (
    <section aria-label="Time at each stage" className="flex min-w-0 flex-col gap-1.5 text-xs">
      <p className="flex flex-wrap gap-x-3 gap-y-1 text-ink-3">
        <span>At each stage</span>
        {kinds.map(({ name, colour }) => (
          <span key={name} className="inline-flex items-center gap-1">
            <span aria-hidden="true" className={classNames('size-2 rounded-xs', colour)} />
            {name}
          </span>
        ))}
      </p>
      <ul className="flex min-w-0 flex-col gap-1.5">
        {hops.map((hop) => {
          const { replicaId, stage, machineId } = hop
          const name = machineId === null ? `stage ${stage + 1}` : machineName(machineId)
          const parts = partsOf(hop)
          const words = parts.map((part) => `${part.name} ${formatDuration(part.tookMs)}`).join(', ')
          return (
            <li
              key={`${replicaId}-${stage}`}
              className="grid grid-cols-[6.5rem_minmax(0,1fr)_4.5rem] items-center gap-2"
            >
              <span className="truncate text-ink-2" title={`Stage ${stage + 1} on ${name}`}>
                {stage + 1} · {name}
              </span>
              <span
                role="img"
                aria-label={words}
                title={words}
                className="flex h-3.5 overflow-hidden rounded-sm bg-raised"
              >
                {parts.map(({ name: part, colour, tookMs }) => (
                  <span key={part} className={colour} style={{ width: `${(tookMs / mostMs) * 100}%` }} />
                ))}
              </span>
              <span className="text-right text-ink-3 tabular-nums">{formatDuration(total(hop))}</span>
            </li>
          )
        })}
      </ul>
    </section>
  )
}
