import {
  formatBandwidth,
  formatDuration,
  formatPercent,
  formatShort,
  formatSize,
  formatTokenRate,
} from '../format/numbers.ts'
import type { Series } from './types.ts'

type Format = (value: number) => string

/** One picture: quantities that belong together, of one unit. */
export interface ChartData {
  readonly title: string
  readonly format: Format
  /** Counted in powers of two. */
  readonly isBinary: boolean
  /** Seconds since 1970. */
  readonly times: readonly number[]
  readonly lines: readonly { readonly label: string; readonly values: readonly (number | null)[] }[]
}

interface Family {
  readonly title: string
  readonly names: RegExp
}

/** In the order in which they are shown. Quantities that no family knows get a picture of their own. */
const families: readonly Family[] = [
  { title: 'Throughput', names: /tokens_per_second$/ },
  { title: 'Requests per second', names: /requests_per_second$/ },
  { title: 'Time to first token', names: /^ttft_/ },
  { title: 'Time per output token', names: /^tpot_/ },
  { title: 'Requests at work', names: /^(active|queued)_requests$/ },
  { title: 'Sessions', names: /^(active|queued)_sessions$/ },
  { title: 'KV cache', names: /^kv_/ },
  { title: 'Load', names: /^(cpu|busy)_ratio$/ },
  { title: 'Memory', names: /^(memory_\w+|promised)_bytes$/ },
  { title: 'Ready', names: /^ready_/ },
]

const units: readonly (readonly [suffix: string, format: Format])[] = [
  ['tokens_per_second', formatTokenRate],
  ['bytes_per_second', formatBandwidth],
  ['per_second', (value) => `${formatShort(value)}/s`],
  ['bytes', formatSize],
  ['ratio', formatPercent],
  ['ms', formatDuration],
]

const formatOf = (name: string): Format => units.find(([suffix]) => name.endsWith(suffix))?.[1] ?? formatShort

const unitSuffix = /_(tokens_per_second|bytes_per_second|per_second|bytes|ratio|ms)$/

/** `kv_used_tokens` becomes `kv used tokens`, `ttft_p95_ms` becomes `p95`. */
const labelOf = (name: string): string =>
  /p\d{2}/.exec(name)?.[0] ?? name.replace(unitSuffix, '').replaceAll('_', ' ')

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** The pictures of a series. What was never measured gets none. */
export function chartsOf(series: Series): readonly ChartData[] {
  const startS = Date.parse(series.startAt) / 1000
  const names = Object.keys(series.values).sort()
  const length = Math.max(0, ...names.map((name) => series.values[name]!.length))
  const times = Array.from({ length }, (_, step) => startS + (step * series.stepMs) / 1000)
  const groups = new Map<string, string[]>()
  for (const name of names) {
    const title = families.find((family) => family.names.test(name))?.title ?? capital(labelOf(name))
    // Bytes beside a share of them would need two scales.
    const key = `${title}\u0000${formatOf(name).name}`
    groups.set(key, [...(groups.get(key) ?? []), name])
  }
  const rank = (title: string) => {
    const index = families.findIndex((family) => family.title === title)
    return index === -1 ? families.length : index
  }
  return [...groups]
    .map(([key, members]) => ({
      title: key.split('\u0000')[0]!,
      format: formatOf(members[0]!),
      isBinary: /bytes(_per_second)?$/.test(members[0]!),
      times,
      lines: members.map((name) => ({ label: labelOf(name), values: series.values[name]! })),
    }))
    .sort((a, b) => rank(a.title) - rank(b.title) || (a.title < b.title ? -1 : 1))
}

/** Values of one moment, named as in a series. */
export interface Moment {
  readonly atMs: number
  readonly values: Readonly<Record<string, number | null>>
}

/** A series that goes on with what came since; what a moment does not name stays unmeasured there. */
export function continued(series: Series, moments: readonly Moment[]): Series {
  const startMs = Date.parse(series.startAt)
  const length = Math.max(0, ...Object.values(series.values).map((values) => values.length))
  const steps = new Map<number, Moment>()
  for (const moment of moments) {
    const step = Math.floor((moment.atMs - startMs) / series.stepMs)
    if (step >= length) steps.set(step, moment)
  }
  if (steps.size === 0) return series
  const last = Math.max(...steps.keys())
  const added = last + 1 - length
  const values = Object.fromEntries(
    Object.entries(series.values).map(([name, known]) => [
      name,
      [
        ...known,
        ...Array.from({ length: added }, (_, index) => steps.get(length + index)?.values[name] ?? null),
      ].slice(added),
    ]),
  )
  return { ...series, startAt: new Date(startMs + added * series.stepMs).toISOString(), values }
}
