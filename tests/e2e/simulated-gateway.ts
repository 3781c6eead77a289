import { setTimeout as sleep } from 'node:timers/promises'
import { sampleOf } from '@deos/api/testing'
import { tokens } from '@deos/domain'
import { type AnsweredRequest, type ApiClient, ApiError, answeredRequestSchema, connect } from '@deos/sdk'

type Routing = StreamOf<ReturnType<ApiClient['gateway']['followRouting']>>
type StreamOf<T> = T extends AsyncIterable<{ readonly data: infer D }> ? D : never

export interface SimulatedGatewayOptions {
  readonly name: string
  readonly token: string
  /** Where it goes when the control plane it talks to cannot be reached. */
  readonly otherThan: (url: string) => string
  /** For which its requests are. */
  readonly organisationId: string
  readonly projectId: string
}

const reportMs = 500
const batches = 20
const batchSize = 8
const betweenBatchesMs = 300

/** A gateway as control planes know it: it follows the routing, has no request open, and hands over what it answered. */
export class SimulatedGateway {
  /** All that it answered. */
  readonly requests: AnsweredRequest[] = []
  #routing: Routing | null = null
  #url: string
  #following = new AbortController()
  readonly #stop = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(
    url: string,
    private readonly options: SimulatedGatewayOptions,
  ) {
    this.#url = url
  }

  /** Rings that it may send requests to. */
  get replicas(): Routing['targets'][number]['replicas'] {
    return this.#routing?.targets.flatMap(({ replicas }) => replicas) ?? []
  }

  run(): void {
    this.#running = Promise.all([this.#follow(), this.#report()])
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#following.abort()
    await this.#running
  }

  /**
   * Answers requests for a while, half of them paid, and hands each batch over at several control planes at once, in
   * different orders.
   */
  async recordAt(urls: readonly string[]): Promise<void> {
    for (let batch = 0; batch < batches; batch += 1) {
      const requests = Array.from({ length: batchSize }, (_, index) => this.#request(batch, index))
      for (const { id, reserved, organisationId, projectId, keyId } of requests) {
        if (!reserved) continue
        const price = { currency: 'USD', microUnits: '100000' }
        const body = { requestId: id, organisationId, projectId, keyId, price, durationMs: 60_000 }
        await this.#settled(urls[batch % urls.length]!, (api) => api.gateway.reserve({ body }))
      }
      await Promise.all(
        urls.map((url, index) => {
          const body = { requests: index === 0 ? requests : requests.toReversed() }
          return this.#settled(url, (api) => api.gateway.record({ body }))
        }),
      )
      this.requests.push(...requests)
      await sleep(betweenBatchesMs)
    }
  }

  #request(batch: number, index: number): AnsweredRequest {
    const { name, organisationId, projectId } = this.options
    return answeredRequestSchema.parse({
      ...sampleOf(answeredRequestSchema),
      ...{ id: `${name}-${batch}-${index}`, organisationId, projectId, keyId: null, userId: null },
      ...{
        at: new Date().toISOString(),
        deploymentId: null,
        replicaId: null,
        status: 200,
        model: 'simulated',
      },
      ...{
        promptTokens: tokens(100 + index),
        cachedPromptTokens: tokens(0),
        completionTokens: tokens(batch),
      },
      cost: { currency: 'USD', microUnits: String(1_000 + batch * batchSize + index) },
      ...{ reserved: index % 2 === 0, timeline: [], hops: [], split: null },
    })
  }

  /** At another control plane if this one is gone; whoever is told twice must not mind. */
  async #settled(url: string, call: (api: ApiClient) => Promise<unknown>): Promise<void> {
    for (let at = url; ; at = this.options.otherThan(at)) {
      try {
        await call(this.#client(at))
        return
      } catch (error) {
        if (!isUnreachable(error)) throw error
        await sleep(50)
      }
    }
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const { signal } = this.#following
      try {
        for await (const { data } of this.#client(this.#url).gateway.followRouting({ signal })) {
          if (this.#routing === null || data.version > this.#routing.version) this.#routing = data
        }
      } catch {
        // Reports find out which control plane lives.
        await sleep(100)
      }
    }
  }

  async #report(): Promise<void> {
    const { signal } = this.#stop
    const { name: gateway, otherThan } = this.options
    while (!signal.aborted) {
      const replicas = this.replicas.map(({ replicaId, generation }) => ({
        ...{ replicaId, generation, open: 0, ready: true },
      }))
      const body = {
        ...{ gateway, url: 'http://127.0.0.1:9', routingVersion: this.#routing?.version ?? 0 },
        ...{ activeRequests: 0, queuedRequests: 0, replicas },
      }
      try {
        await this.#client(this.#url).gateway.report({ body, signal })
      } catch (error) {
        if (signal.aborted) return
        if (!isUnreachable(error)) throw error
        this.#url = otherThan(this.#url)
        this.#following.abort()
        this.#following = new AbortController()
      }
      await sleep(reportMs, null, { signal }).catch(() => {})
    }
  }

  #client(url: string): ApiClient {
    return connect({ url, token: this.options.token, retry: { maxAttempts: 1 } })
  }
}

const isUnreachable = (error: unknown): boolean => error instanceof ApiError && error.status === null
