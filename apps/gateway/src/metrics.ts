import type { RingUsage } from '@deos/protocol'
import { Metrics, measureProcess } from '@deos/service'
import type { Backend } from './inference/backend.ts'
import type { Replica } from './routing/replica.ts'

const ttftBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const tpotBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
const durationBuckets = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600]

/** So many values a label may have; more would cost whoever scrapes. */
const MAX_MODELS = 200
const MAX_REPLICAS = 1000
const otherModels = { model: 'other' } as const

/** What the gateway counts and times. */
export class GatewayMetrics {
  readonly #metrics = new Metrics()
  readonly #stopMeasuring: () => void
  readonly #models = new Map<string, { readonly model: string }>()

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

  readonly movedAnswers = this.#metrics.counter({
    name: 'moved_answers_total',
    help: 'Answers that went on at another replica.',
  })
  readonly refusedRequests = this.#metrics.counter({
    name: 'refused_requests_total',
    help: 'Requests that a limit or a budget kept out.',
    labels: ['by'],
  })
  readonly lostRecords = this.#metrics.counter({
    name: 'lost_records_total',
    help: 'Records of answered requests that were dropped or refused; none of them cost anything, unless refused.',
  })

  readonly splitRequests = this.#metrics.counter({
    name: 'split_requests_total',
    help: 'Requests to deployments with replicas for prompts, by whether these helped.',
    labels: ['used'],
  })
  readonly handedOverBytes = this.#metrics.counter({
    name: 'handed_over_kv_bytes_total',
    help: 'KV that went from replicas for prompts to those that answer, as it travelled.',
  })

  /** @param inFlight - API requests being answered now */
  constructor(inFlight: () => number) {
    this.#gauge('http_in_flight_requests', 'API requests being answered.', inFlight)
    this.#stopMeasuring = measureProcess(this.#metrics)
  }

  /** Shows the state of the one ring there is. */
  watchRing(backend: Backend): void {
    const gauge = (name: string, help: string, read: () => number) => this.#gauge(name, help, read)
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
  }

  /** Shows replicas that are connected now; those that are gone leave no trace. */
  watchReplicas(replicas: () => Iterable<Replica>): void {
    const labels = ['deployment', 'replica', 'generation'] as const
    const each = (name: string, help: string, read: (replica: Replica) => number) =>
      this.#metrics.gauge({ name, help, labels }, (gauge) => {
        gauge.reset()
        let shown = 0
        for (const replica of replicas()) {
          if (shown++ === MAX_REPLICAS) return
          const { deploymentId: deployment, id, generation } = replica
          gauge.set({ deployment, replica: id, generation: String(generation) }, read(replica))
        }
      })
    each('replica_open_requests', 'Answers of this gateway open at a replica.', ({ open }) => open)
    each('replica_ready', 'Whether a replica takes requests.', ({ ready }) => (ready ? 1 : 0))
    each('replica_token_seconds', 'Time of one token, as observed or else predicted.', ({ tokenMs }) =>
      tokenMs === null ? 0 : tokenMs / 1000,
    )
  }

  /** Shows requests that wait for a replica. */
  watchWaiting(read: () => number): void {
    this.#gauge('waiting_requests', 'Requests that wait for a replica.', read)
  }

  /** Shows records that are not handed over yet. */
  watchRecords(read: () => number): void {
    this.#gauge('unrecorded_requests', 'Answered requests whose record is not handed over yet.', read)
  }

  #gauge(name: string, help: string, read: () => number): void {
    this.#metrics.gauge({ name, help }, (gauge) => gauge.set(read()))
  }

  /** A model's name as a label: names of the first models seen, and one name for all that come after. */
  modelLabel(name: string): { readonly model: string } {
    if (!this.#models.has(name)) {
      if (this.#models.size >= MAX_MODELS) return otherModels
      this.#models.set(name, { model: name })
    }
    return this.#models.get(name)!
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
