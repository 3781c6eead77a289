import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

export type { Counter, Gauge, Histogram } from 'prom-client'

interface Description<L extends string> {
  /** Without the `deos_` prefix; the unit ends it. */
  readonly name: string
  readonly help: string
  readonly labels?: readonly L[]
}

const units = [
  'seconds',
  'bytes',
  'tokens',
  'ratio',
  'sessions',
  'pages',
  'requests',
  'links',
  'machines',
  'deployments',
]

function checkName(name: string, endings: readonly string[]): void {
  if (!/^[a-z][a-z0-9_]*$/.test(name) || !endings.some((ending) => `_${name}`.endsWith(`_${ending}`))) {
    throw new Error(`Metric "${name}" must be snake_case and end in one of _${endings.join(', _')}.`)
  }
}

/** Metrics of one process under one prefix, in Prometheus' text format. */
export class Metrics {
  readonly #registry = new Registry()
  readonly contentType = this.#registry.contentType

  /** Counts up; the name ends in `_total`. */
  counter<L extends string = never>({ name, help, labels = [] }: Description<L>): Counter<L> {
    checkName(name, ['total'])
    return new Counter({ name: `deos_${name}`, help, labelNames: labels, registers: [this.#registry] })
  }

  /** A value read when scraped; the name ends in its unit, or in `_ready` for 0 and 1. */
  gauge<L extends string = never>(
    { name, help, labels = [] }: Description<L>,
    read?: (gauge: Gauge<L>) => void,
  ): Gauge<L> {
    checkName(name, [...units, 'ready'])
    const gauge: Gauge<L> = new Gauge<L>({
      name: `deos_${name}`,
      help,
      labelNames: labels,
      registers: [this.#registry],
      ...(read && { collect: () => read(gauge) }),
    })
    return gauge
  }

  /** A distribution; the name ends in its unit. */
  histogram<L extends string = never>(
    { name, help, labels = [] }: Description<L>,
    buckets: readonly number[],
  ): Histogram<L> {
    checkName(name, units)
    return new Histogram({
      name: `deos_${name}`,
      help,
      labelNames: labels,
      buckets: [...buckets],
      registers: [this.#registry],
    })
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }
}

/**
 * Adds memory, processor time and event-loop lag of this process.
 *
 * @returns stops the lag's measurement
 */
export function measureProcess(metrics: Metrics): () => void {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  metrics.gauge({ name: 'process_resident_bytes', help: 'Resident memory of the process.' }, (gauge) =>
    gauge.set(process.memoryUsage.rss()),
  )
  metrics.gauge({ name: 'process_cpu_seconds', help: 'Processor time used by the process.' }, (gauge) => {
    const { user, system } = process.cpuUsage()
    gauge.set((user + system) / 1e6)
  })
  metrics.gauge(
    {
      name: 'event_loop_lag_seconds',
      help: 'How late timers fire, since the last scrape.',
      labels: ['quantile'],
    },
    (gauge) => {
      // The histogram counts whole periods of its timer; what exceeds one is lag.
      const lagSeconds = (delayNs: number) => Math.max(0, delayNs / 1e9 - 0.01)
      for (const quantile of [50, 99, 100]) {
        const measured = delay.count === 0 ? 0 : lagSeconds(delay.percentile(quantile))
        gauge.set({ quantile: String(quantile / 100) }, measured)
      }
      delay.reset()
    },
  )
  return () => delay.disable()
}
