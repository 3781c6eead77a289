import { existsSync } from 'node:fs'
import { ringId } from '@deos/domain'
import { defaultWireLimits } from '@deos/protocol'
import { type Logger, type Service, systemClock, systemIds, systemRandom } from '@deos/service'
import { linkIdentity, RingConnection, systemTimers, TcpTransport, type Transport } from '@deos/transport'
import type { GatewayConfig } from './config.ts'
import { Gateway } from './gateway.ts'
import { RingBackend } from './inference/ring-backend.ts'
import { openServedModel, type ServedModel } from './inference/served-model.ts'

/** How often deadlines and waits are looked at, and how soon a lost link is dialled again. */
const ringTiming = { tickMs: 25, reconnect: { firstDelayMs: 50, maxDelayMs: 2000 } } as const

/** Long prompts are tokenized beside the event loop, by a file that the build puts next to this one. */
function findTokenizerThread(): URL | null {
  const built = new URL('./tokenizer-thread.mjs', import.meta.url)
  return existsSync(built) ? built : null
}

/** Logs what happens to the ring once, however often it is told: a peer that is away is dialled every few seconds. */
class RingNotes {
  readonly #logger: Logger
  #lastNote = ''
  #ready: boolean | null = null

  constructor(logger: Logger) {
    this.#logger = logger
  }

  note(level: 'info' | 'warn', text: string): void {
    const withoutDelay = text.replace(/\d+ ms/, '')
    this.#logger[withoutDelay === this.#lastNote ? 'debug' : level](text)
    this.#lastNote = withoutDelay
  }

  status(ready: boolean, epoch: number | null): void {
    if (ready === this.#ready) return
    this.#ready = ready
    this.#lastNote = ''
    this.#logger.info({ epoch }, ready ? 'The ring is ready.' : 'The ring is not ready.')
  }
}

interface Parts {
  readonly model: ServedModel
  readonly transport: Transport
  readonly ring: RingConnection
  readonly gateway: Gateway
}

/** The whole process: a model's words, a connection to the ring that runs it, and the HTTP server in front. */
export class GatewayProcess implements Service {
  readonly #config: GatewayConfig
  readonly #logger: Logger
  readonly #onListening: (url: string) => void
  #parts: Parts | null = null

  constructor(config: GatewayConfig, logger: Logger, onListening: (url: string) => void) {
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
    const transport = new TcpTransport({
      identity: linkIdentity('gateway', systemIds.next('gateway'), ringId(config.ring)),
      secret: config.ringSecret,
    })
    const ring = this.#connect(transport)
    const backend = new RingBackend(ring, {
      model: model.fingerprint,
      maxInterruptions: config.maxInterruptions,
      onInterrupted: (requestId, reason) => {
        gateway.metrics.interruptions.inc()
        this.#logger.warn({ answer: requestId }, `An answer pauses: ${reason}`)
      },
    })
    const gateway = new Gateway(config, model.withBackend(backend), {
      logger: this.#logger,
      ids: systemIds,
      clock: systemClock,
    })
    this.#parts = { model, transport, ring, gateway }
    await gateway.start()
    ring.start()
    this.#onListening(gateway.url)
  }

  async drain(signal: AbortSignal): Promise<void> {
    await this.#parts?.gateway.drain(signal)
  }

  async stop(): Promise<void> {
    if (!this.#parts) return
    const { gateway, ring, transport, model } = this.#parts
    await gateway.stop()
    ring.stop()
    await transport.stop()
    await model.stop()
  }

  #connect(transport: Transport): RingConnection {
    const { leader, tail, resumePatienceMs } = this.#config
    const notes = new RingNotes(this.#logger)
    return new RingConnection(
      {
        ...ringTiming,
        wire: defaultWireLimits,
        leader,
        tail: tail === leader ? null : tail,
        resumePatienceMs,
      },
      {
        transport,
        timers: systemTimers,
        random: systemRandom,
        onNote: (level, text) => notes.note(level, text),
        onStatus: (ready, status) => notes.status(ready, status?.epoch ?? null),
      },
    )
  }
}
