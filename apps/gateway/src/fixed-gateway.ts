import { type Logger, type Service, systemClock, systemIds } from '@deos/service'
import { proxyOption, ringNetwork } from '@deos/transport'
import type { FixedConfig } from './config.ts'
import { fixedRings } from './fixed-rings.ts'
import { fixedServing, Gateway } from './gateway.ts'
import { RingBackend, type RingBackendOptions } from './inference/ring-backend.ts'
import { openServedModel, type ServedModel } from './inference/served-model.ts'
import { SeveralBackends } from './inference/several-backends.ts'
import { RingNotes } from './routing/ring-notes.ts'
import { connectRing } from './routing/ring-session.ts'
import { type FixedSplit, openFixedSplit } from './split/fixed-split.ts'
import { findTokenizerThread } from './tokenizer-thread-entry.ts'

interface Parts {
  readonly model: ServedModel
  readonly rings: readonly ReturnType<typeof connectRing>[]
  readonly split: FixedSplit | null
  readonly gateway: Gateway
}

/** A process for rings of one model: its words, a connection to each ring, and the HTTP server in front. */
export class FixedGateway implements Service {
  readonly #config: FixedConfig
  readonly #logger: Logger
  readonly #onListening: (url: string) => void
  #parts: Parts | null = null

  constructor(config: FixedConfig, logger: Logger, onListening: (url: string) => void) {
    this.#config = config
    this.#logger = logger
    this.#onListening = onListening
  }

  async start(): Promise<void> {
    const config = this.#config
    const model = await openServedModel({
      path: config.model,
      id: config.modelId,
      format: config.chatFormat === 'auto' ? null : config.chatFormat,
      tokenizerThread: findTokenizerThread(),
    })
    const network = ringNetwork(proxyOption(config.proxy))
    const rings = fixedRings(config).map((address) => {
      const notes = new RingNotes(this.#logger.child({ ring: address.ring }))
      return connectRing(
        { ...config, ...address, secret: config.ringSecret, network },
        {
          onNote: (level, text) => notes.note(level, text),
          onStatus: (ready, status) => notes.status(ready, status?.epoch ?? null),
        },
      )
    })
    const backendOptions: RingBackendOptions = {
      model: model.fingerprint,
      maxInterruptions: config.maxInterruptions,
      onInterrupted: (requestId, reason) => {
        gateway.metrics.interruptions.inc()
        this.#logger.warn({ answer: requestId }, `An answer pauses: ${reason}`)
      },
    }
    const backends = rings.map(({ connection }) => new RingBackend(connection, backendOptions))
    const alone = backends.length === 1 ? backends[0]! : new SeveralBackends(backends)
    const split =
      config.prefillRing === null
        ? null
        : openFixedSplit(
            config,
            { connection: rings[0]!.connection, backend: alone },
            { network, backendOptions, logger: this.#logger },
          )
    const backend = split?.backend ?? alone
    const serving = fixedServing(model.withBackend(backend), config.adapters, config.apiKey)
    const gateway = new Gateway(config, serving, {
      logger: this.#logger,
      ids: systemIds,
      clock: systemClock,
    })
    this.#parts = { model, rings, split, gateway }
    await gateway.start()
    for (const { connection } of rings) connection.start()
    split?.start()
    this.#onListening(gateway.url)
  }

  async drain(signal: AbortSignal): Promise<void> {
    await this.#parts?.gateway.drain(signal)
  }

  async stop(): Promise<void> {
    if (!this.#parts) return
    const { gateway, rings, split, model } = this.#parts
    await gateway.stop()
    await split?.stop()
    await Promise.all(rings.map((ring) => ring.stop()))
    await model.stop()
  }
}
