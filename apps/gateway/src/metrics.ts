import { Metrics, measureProcess } from '@deos/service'
import type { Backend } from './inference/backend.ts'

const ttftBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const tpotBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
const durationBuckets = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600]

/** What the gateway counts and times. */
export class GatewayMetrics {
  readonly #metrics = new Metrics()
  readonly #stopMeasuring: () => void

  readonly requests = this.#metrics.counter({
    name: 'http_requests_total',
    help: 'Requests answered; status 499 is a client that left first.',
    labels: ['route', 'method', 'status'],
  })
  readonly requestSeconds = this.#metrics.histogram(
    { name: 'http_request_duration_seconds', help: 'From request to end of answer.', labels: ['route'] },
    durationBuckets,
  )
  readonly ttft = this.#metrics.histogram(
    {
      name: 'time_to_first_token_seconds',
      help: 'From request to first token, by answer.',
      labels: ['model'],
    },
    ttftBuckets,
  )
  readonly tpot = this.#metrics.histogram(
    {
      name: 'time_per_output_token_seconds',
      help: 'Mean time per token after the first, by answer.',
      labels: ['model'],
    },
    tpotBuckets,
  )
  readonly promptTokens = this.#metrics.counter({
    name: 'prompt_tokens_total',
    help: 'Tokens of prompts taken.',
    labels: ['model'],
  })
  readonly completionTokens = this.#metrics.counter({
    name: 'completion_tokens_total',
    help: 'Tokens generated.',
    labels: ['model'],
  })
  readonly cutReaders = this.#metrics.counter({
    name: 'slow_readers_cut_total',
    help: 'Streams destroyed because their reader was stuck.',
  })
  readonly interruptions = this.#metrics.counter({
    name: 'interruptions_total',
    help: 'Generations that a fault paused.',
  })

  /** @param inFlight - API requests being answered now */
  constructor(backend: Backend, inFlight: () => number) {
    const gauge = (name: string, help: string, read: () => number) =>
      this.#metrics.gauge({ name, help }, (gauge) => gauge.set(read()))
    gauge('ring_ready', 'Whether the ring takes requests.', () => (backend.status().ready ? 1 : 0))
    gauge('ring_active_sessions', 'Sessions the ring works on.', () => backend.status().active)
    gauge('ring_queued_sessions', 'Sessions waiting in the ring.', () => backend.status().queued)
    gauge('http_in_flight_requests', 'API requests being answered.', inFlight)
    this.#stopMeasuring = measureProcess(this.#metrics)
  }

  get contentType(): string {
    return this.#metrics.contentType
  }

  text(): Promise<string> {
    return this.#metrics.text()
  }

  stop(): void {
    this.#stopMeasuring()
  }
}
