import type { AddressInfo } from 'node:net'
import type { Clock, IdSource } from '@deos/domain'
import type { Logger, Service } from '@deos/service'
import type { FastifyInstance } from 'fastify'
import { registerAnthropic } from './anthropic/routes.ts'
import { registerEmbeddings } from './embeddings/routes.ts'
import { isLoopback } from './http/access.ts'
import { Answering, type AnsweringLimits } from './http/answering.ts'
import { registerOperations } from './http/operations.ts'
import { stopping } from './http/problem.ts'
import { createServer } from './http/server.ts'
import type { Backend } from './inference/backend.ts'
import { catalogOf, type TextModel } from './inference/text-model.ts'
import { ListenError } from './listen-error.ts'
import { GatewayMetrics } from './metrics.ts'
import { registerOllama } from './ollama/routes.ts'
import { registerOpenAi } from './openai/routes.ts'
import { registerResponses } from './responses/routes.ts'

export interface GatewayOptions extends AnsweringLimits {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly apiKey: string | null
  readonly corsOrigins: readonly string[]
  readonly bodyLimitBytes: number
  /** Names of the model's LoRA adapters; each is a model of its own in the API. */
  readonly adapters: readonly string[]
}

export interface GatewayParts {
  readonly logger: Logger
  readonly ids: IdSource
  readonly clock: Clock
}

/** A listening address as a client of this machine would write it. */
function publicUrl({ address, family, port }: AddressInfo): string {
  const everywhere = address === '0.0.0.0' || address === '::'
  const host = everywhere ? 'localhost' : family === 'IPv6' ? `[${address}]` : address
  return `http://${host}:${port}`
}

/** The HTTP server in front of one model. The model's backend is started and stopped by its owner. */
export class Gateway implements Service {
  readonly #options: GatewayOptions
  readonly #logger: Logger
  readonly #app: FastifyInstance
  readonly #answering: Answering
  readonly metrics: GatewayMetrics
  #draining = false
  #url = ''

  constructor(options: GatewayOptions, model: TextModel, parts: GatewayParts) {
    this.#options = options
    this.#logger = parts.logger
    const backend: Backend = model.backend
    this.#answering = new Answering(options, () => this.metrics, parts.clock)
    this.metrics = new GatewayMetrics(backend, () => this.#answering.inFlight)
    const models = catalogOf(model, options.adapters)
    const draining = () => this.#draining
    this.#app = createServer({ ...options, draining }, { ...parts, metrics: this.metrics })
    const services = { models, answering: this.#answering, ids: parts.ids }
    registerOpenAi(this.#app, services)
    registerResponses(this.#app, services)
    registerEmbeddings(this.#app, services)
    registerAnthropic(this.#app, services)
    registerOllama(this.#app, services)
    registerOperations(this.#app, {
      models,
      metrics: this.metrics,
      draining,
      url: () => this.#url,
      keyRequired: options.apiKey !== null,
    })
  }

  /** Where clients reach the API, once started: `http://127.0.0.1:8080`. */
  get url(): string {
    return this.#url
  }

  /** @throws ListenError if the address cannot be taken */
  async start(): Promise<void> {
    const { host, port, apiKey } = this.#options
    if (apiKey === null && !isLoopback(host)) {
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
