import type { ApiClient, RoutingState } from '@deos/api'
import type { Clock, Random } from '@deos/domain'
import type { Logger, OpenSpan, Tracing } from '@deos/service'
import { GrantedAccess } from '../access/granted-access.ts'
import { RateLimits } from '../access/rate-limits.ts'
import { defaultHandover, RecordHandover } from '../accounting/record-handover.ts'
import { type EndedRequest, TicketDesk } from '../accounting/request-ticket.ts'
import type { Serving } from '../gateway.ts'
import type { GatewayState } from '../http/operations.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { RoutedSplit, type RoutedSplitOptions } from '../split/routed-split.ts'
import type { QualityMode } from '../split/split-modes.ts'
import { requestSpan } from '../telemetry/request-spans.ts'
import { GatewayReporter } from './gateway-reporter.ts'
import { ModelShelf, type OpenWords } from './model-shelf.ts'
import type { OpenRing } from './replica.ts'
import { ReplicaPool } from './replica-pool.ts'
import type { RoutedBackendOptions } from './routed-backend.ts'
import { RoutedCatalog } from './routed-catalog.ts'
import { RoutingFollower } from './routing-follower.ts'

export interface RoutedServingOptions extends RoutedBackendOptions, RoutedSplitOptions {
  /** Of this gateway in its reports. */
  readonly id: string
  /** From a request to the end of its answer; 0 is unlimited. */
  readonly requestTimeoutMs: number
  readonly keyFreshMs: number
  readonly keyStaleLimitMs: number
}

export interface RoutedServingParts {
  readonly client: ApiClient['gateway']
  readonly openRing: OpenRing
  readonly openWords: OpenWords
  readonly tracing: Tracing | null
  readonly clock: Clock
  /** Milliseconds since 1970. */
  readonly wallMs: () => number
  readonly random: Random
  readonly logger: Logger
  /** Requests being answered now. */
  readonly inFlight: () => number
  /** Where clients reach this gateway. */
  readonly url: () => string
}

const retry = { firstDelayMs: 250, maxDelayMs: 5_000 } as const

/** Everything behind the HTTP server of a gateway that follows a control plane. */
export class RoutedServing implements Serving {
  readonly models: RoutedCatalog
  readonly access: GrantedAccess
  readonly publicModels = []
  /** Requests are charged under their ids. */
  readonly foreignRequestIds = false
  readonly #parts: RoutedServingParts
  readonly #follower: RoutingFollower
  readonly #reporter: GatewayReporter
  readonly #pool: ReplicaPool
  readonly #split: RoutedSplit
  readonly #shelf: ModelShelf
  readonly #handover: RecordHandover
  /** By deployment with replicas for prompts. */
  #qualities: ReadonlyMap<string, QualityMode> = new Map()
  #metrics: GatewayMetrics | null = null

  constructor(options: RoutedServingOptions, parts: RoutedServingParts) {
    this.#parts = parts
    const { client, clock, random, logger, wallMs } = parts
    this.#follower = new RoutingFollower(
      { reconnect: retry },
      { client, clock, random, logger, onState: (state) => this.#take(state) },
    )
    this.#pool = new ReplicaPool({ openRing: parts.openRing, clock, logger })
    this.#split = new RoutedSplit(options, {
      pool: this.#pool,
      codingOf: ({ deploymentId, model }) => ({
        mode: this.#qualities.get(deploymentId) ?? 'lossless',
        calibration: this.#shelf.calibration(model),
      }),
      random,
      now: () => clock.now(),
      onNote: (answer, text) => logger.debug({ answer }, text),
    })
    this.#shelf = new ModelShelf(
      { retry: { firstDelayMs: 500, maxDelayMs: 15_000 } },
      parts.openWords,
      logger,
    )
    this.#handover = new RecordHandover(defaultHandover, {
      client,
      logger,
      onLost: (count) => this.#metrics?.lostRecords.inc(count),
    })
    this.#reporter = new GatewayReporter(options.id, {
      client,
      logger,
      follower: this.#follower,
      replicas: () => this.#pool.all,
      load: () => ({ active: parts.inFlight(), waiting: this.#pool.waiting }),
      url: parts.url,
    })
    this.access = new GrantedAccess(
      { freshMs: options.keyFreshMs, staleLimitMs: options.keyStaleLimitMs },
      {
        client,
        clock,
        wallMs,
        accessVersion: () => this.#follower.state?.accessVersion ?? null,
        refused: () => this.#follower.refused,
      },
    )
    const desk = new TicketDesk(
      { requestTimeoutMs: options.requestTimeoutMs, maxPricedRecords: defaultHandover.capacity },
      {
        client,
        clock,
        wallMs,
        limits: new RateLimits(clock, () => this.#reporter.gateways),
        handover: this.#handover,
        onEnd: (ended) => this.#ended(ended),
        onRefused: (by) => this.#metrics?.refusedRequests.inc({ by }),
      },
    )
    this.models = new RoutedCatalog(options, {
      shelf: this.#shelf,
      desk,
      backend: {
        pool: this.#pool,
        split: this.#split,
        clock,
        random,
        onInterrupted: (requestId, reason) => {
          this.#metrics?.interruptions.inc()
          logger.warn({ answer: requestId }, `An answer pauses: ${reason}`)
        },
        onMoved: (requestId) => {
          this.#metrics?.movedAnswers.inc()
          logger.info({ answer: requestId }, 'An answer goes on at another replica.')
        },
      },
    })
  }

  readonly beginSpan = (traceparent: string | null): OpenSpan | null =>
    this.#parts.tracing?.begin(
      { name: 'request', kind: 'server', startMs: this.#parts.wallMs() },
      traceparent,
    ) ?? null

  readonly watch = (metrics: GatewayMetrics): void => {
    this.#metrics = metrics
    metrics.watchReplicas(() => this.#pool.all)
    metrics.watchWaiting(() => this.#pool.waiting)
    metrics.watchRecords(() => this.#handover.size)
  }

  /** Names of models and organisations are not for everybody; numbers are. */
  readonly state = (): GatewayState => {
    const { state, connected, awayMs } = this.#follower
    const replicas = [...this.#pool.all].filter(({ listed }) => listed)
    const { open, wanted } = this.#shelf.counts
    return {
      ready: state !== null,
      details: {
        control_plane: { connected, away_ms: Math.round(awayMs), routing_version: state?.version ?? null },
        targets: state?.targets.length ?? 0,
        models: { open, wanted },
        replicas: { ready: replicas.filter(({ ready }) => ready).length, listed: replicas.length },
        split: this.#split.counts,
        waiting_requests: this.#pool.waiting,
        waiting_records: this.#handover.size,
      },
    }
  }

  start(): void {
    this.#follower.start()
    this.#reporter.start()
  }

  /** Resolves when the records of all requests so far are handed over, or `signal` aborts. */
  drain(signal: AbortSignal): Promise<void> {
    return this.#handover.drain(signal)
  }

  async stop(): Promise<void> {
    this.#reporter.stop()
    this.#handover.stop()
    await Promise.all([this.#follower.stop(), this.#pool.stop(), this.#shelf.stop()])
  }

  #take({ targets }: RoutingState): void {
    this.#qualities = new Map(
      targets.flatMap(({ deploymentId, split }) => (split === null ? [] : [[deploymentId, split.kvQuality]])),
    )
    this.#shelf.sync(targets)
    this.#pool.sync(targets)
    this.models.sync(targets)
  }

  #ended(ended: EndedRequest): void {
    const { logger } = this.#parts
    const { id, model, status, durationMs, completionTokens, interruptions, deploymentId } = ended.record
    logger.debug(
      { requestId: id, deploymentId, model, status, durationMs, completionTokens, interruptions },
      'A request ended.',
    )
    ended.visit.span?.end(requestSpan(ended))
    const { split } = ended.record
    if (split !== null) {
      this.#metrics?.splitRequests.inc({ used: split.used ? 'yes' : 'no' })
      this.#metrics?.handedOverBytes.inc(split.bytes)
    }
  }
}
