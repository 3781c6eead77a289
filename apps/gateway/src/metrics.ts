import type { RingUsage } from '@deos/protocol'
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
  readonly cachedPromptTokens = this.#metrics.counter({
    name: 'cached_prompt_tokens_total',
    help: 'Prompt tokens that were not computed because their KV was still there.',
    labels: ['model'],
  })
  readonly reasoningTokens = this.#metrics.counter({
    name: 'reasoning_tokens_total',
    help: 'Tokens generated that were thoughts.',
    labels: ['model'],
  })
  readonly toolCalls = this.#metrics.counter({
    name: 'tool_calls_total',
    help: 'Tool calls that models made.',
    labels: ['model'],
  })
  readonly constrainedRequests = this.#metrics.counter({
    name: 'constrained_requests_total',
    help: 'Requests whose answers a grammar shaped.',
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
    const usage = (name: string, help: string, read: (usage: RingUsage) => number) =>
      gauge(name, help, () => {
        const current = backend.status().usage
        return current === null ? 0 : read(current)
      })
    usage('ring_kv_pages', 'Pages of KV in all.', ({ pages }) => pages)
    usage('ring_free_kv_pages', 'Pages of KV that nobody holds.', ({ pagesFree }) => pagesFree)
    usage('ring_cached_kv_pages', 'Pages held for later prompts only.', ({ pagesCached }) => pagesCached)
    usage('ring_prompt_tokens', 'Prompt tokens of sessions opened.', ({ promptTokens }) => promptTokens)
    usage('ring_cached_tokens', 'Prompt tokens found in the cache.', ({ cachedTokens }) => cachedTokens)
    usage('ring_evicted_pages', 'Cached pages given up.', ({ evictions }) => evictions)
    usage('ring_preempted_sessions', 'Sessions that made room for others.', ({ preemptions }) => preemptions)
    usage('ring_recomputed_tokens', 'Tokens computed again after that.', (now) => now.recomputedTokens)
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
