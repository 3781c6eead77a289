import type { AddressInfo } from 'node:net'
import type { Clock, IdSource } from '@deos/domain'
import { ListenError, type Logger, type OpenSpan, type Service } from '@deos/service'
import type { FastifyInstance } from 'fastify'
import { type Access, FixedAccess } from './access/access.ts'
import { registerAnthropic } from './anthropic/routes.ts'
import { registerEmbeddings } from './embeddings/routes.ts'
import { isLoopback } from './http/access.ts'
import { Answering, type AnsweringLimits } from './http/answering.ts'
import { type GatewayState, modelHealth, registerOperations } from './http/operations.ts'
import { stopping } from './http/problem.ts'
import { createServer } from './http/server.ts'
import { FixedCatalog, type ModelCatalog } from './inference/model-catalog.ts'
import type { TextModel } from './inference/text-model.ts'

import { GatewayMetrics } from './metrics.ts'
import { registerOllama } from './ollama/routes.ts'
import { registerOpenAi } from './openai/routes.ts'
import { registerResponses } from './responses/routes.ts'

export interface GatewayOptions extends AnsweringLimits {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly corsOrigins: readonly string[]
  readonly bodyLimitBytes: number
}

export interface GatewayParts {
  readonly logger: Logger
  readonly ids: IdSource
  readonly clock: Clock
}

/** What a gateway answers with, and whom. */
export interface Serving {
  readonly models: ModelCatalog
  readonly access: Access
  /** Names that everybody may know. */
  readonly publicModels: readonly string[]
  /** Whether clients may name their requests themselves. */
  readonly foreignRequestIds: boolean
  /** The span of a request to the API that just came with this `traceparent`; `null` if nobody traces. */
  readonly beginSpan: (traceparent: string | null) => OpenSpan | null
  readonly state: () => GatewayState
  /** Adds to the metrics what only this way of serving has. */
  readonly watch: (metrics: GatewayMetrics) => void
}

/** One model and its LoRA adapters, for everybody who has the key; each adapter is a model of its own in the API. */
export function fixedServing(model: TextModel, adapters: readonly string[], apiKey: string | null): Serving {
  const models = new FixedCatalog(model, adapters)
  const { backend, id } = model
  return {
    models,
    access: new FixedAccess(apiKey),
    publicModels: models.list().map((each) => each.id),
    foreignRequestIds: true,
    beginSpan: () => null,
    state: () => ({ ready: backend.status().ready, details: { models: [modelHealth(id, backend)] } }),
    watch: (metrics) => metrics.watchRing(backend),
  }
}

/** A listening address as a client of this machine would write it. */
function publicUrl({ address, family, port }: AddressInfo): string {
  const everywhere = address === '0.0.0.0' || address === '::'
  const host = everywhere ? 'localhost' : family === 'IPv6' ? `[${address}]` : address
  return `http://${host}:${port}`
}

/** The HTTP server in front of models. What runs them is started and stopped by its owner. */
export class Gateway implements Service {
  readonly #options: GatewayOptions
  readonly #logger: Logger
  readonly #keyRequired: boolean
  readonly #app: FastifyInstance
  readonly #answering: Answering
  readonly metrics: GatewayMetrics
  #draining = false
  #url = ''

  constructor(options: GatewayOptions, serving: Serving, parts: GatewayParts) {
    this.#options = options
    this.#logger = parts.logger
    this.#answering = new Answering(options, () => this.metrics, parts.clock)
    this.metrics = new GatewayMetrics(() => this.#answering.inFlight)
    serving.watch(this.metrics)
    const { models, access, publicModels, foreignRequestIds, beginSpan, state } = serving
    this.#keyRequired = access.keyRequired
    const draining = () => this.#draining
    this.#app = createServer(
      { ...options, draining, foreignRequestIds },
      { ...parts, metrics: this.metrics, access, beginSpan },
    )
    const services = { models, answering: this.#answering, ids: parts.ids }
    registerOpenAi(this.#app, services)
    registerResponses(this.#app, services)
    registerEmbeddings(this.#app, services)
    registerAnthropic(this.#app, services)
    registerOllama(this.#app, services)
    registerOperations(this.#app, {
      state,
      models: publicModels,
      metrics: this.metrics,
      draining,
      url: () => this.#url,
      keyRequired: access.keyRequired,
    })
  }

  /** Where clients reach the API, once started: `http://127.0.0.1:8080`. */
  get url(): string {
    return this.#url
  }

  /** API requests being answered now. */
  get inFlight(): number {
    return this.#answering.inFlight
  }

  /** @throws ListenError if the address cannot be taken */
  async start(): Promise<void> {
    const { host, port } = this.#options
    if (!this.#keyRequired && !isLoopback(host)) {
      this.#logger.warn(
        { host, port },
        'Anyone who reaches this address may use the model: no API key is set. Give --api-key or DEOS_API_KEY.',
      )
    }
    try {
      await this.#app.listen({ host, port, listenTextResolver: (address) => `Listening at ${address}.` })
    } catch (cause) {
      throw ListenError.of(host, port, cause)
    }
    this.#url = publicUrl(this.#app.addresses()[0] as AddressInfo)
  }

  async drain(signal: AbortSignal): Promise<void> {
    this.#draining = true
    await this.#answering.idle(signal)
  }

  async stop(): Promise<void> {
    this.#draining = true
    this.#answering.abort(stopping('The server stopped before the answer was complete.'))
    await this.#app.close()
    this.metrics.stop()
  }
}
