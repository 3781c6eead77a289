/** One line of Prometheus' text format. */
export interface MetricSample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const lineForm = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (-?\d\S*|[+-]?Inf|NaN)(?: -?\d+)?$/
const labelForm = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** Reads Prometheus' text format; comments and what is no sample are passed over. */
export function parseExposition(text: string): readonly MetricSample[] {
  return text.split('\n').flatMap((line) => {
    const match = line.startsWith('#') ? null : lineForm.exec(line)
    if (match === null) return []
    const labels = Object.fromEntries(
      [...(match[2] ?? '').matchAll(labelForm)].map(([, name, value]) => [name!, value!]),
    )
    return [{ name: match[1]!, labels, value: Number(match[3]) }]
  })
}

/** Milliseconds by quantile that timers of a DeOS process fired late since the last scrape. */
export function eventLoopLagMs(samples: readonly MetricSample[]): Readonly<Record<string, number>> {
  const lag = samples.filter(({ name }) => name === 'deos_event_loop_lag_seconds')
  return Object.fromEntries(lag.map(({ labels, value }) => [labels.quantile ?? '', value * 1000]))
}
