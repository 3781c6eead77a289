import { type ApiClient, connect } from '@deos/sdk'
import {
  type Logger,
  type Service,
  startTracing,
  systemClock,
  systemIds,
  systemRandom,
  type Tracing,
} from '@deos/service'
import { proxyOption, ringNetwork } from '@deos/transport'
import type { RoutedConfig } from './config.ts'
import { Gateway } from './gateway.ts'
import { modelWords } from './routing/model-words.ts'
import { openRings } from './routing/ring-session.ts'
import { RoutedServing } from './routing/routed-serving.ts'
import { findTokenizerThread } from './tokenizer-thread-entry.ts'

interface Parts {
  readonly serving: RoutedServing
  readonly gateway: Gateway
  readonly tracing: Tracing | null
}
/** Time for the last records after the server has stopped. */
const LAST_RECORDS_MS = 2_000

/** A process that serves whatever a control plane wants served: it follows it, connects to rings, and answers over HTTP. */
export class RoutedGateway implements Service {
  readonly #config: RoutedConfig
  readonly #logger: Logger
  readonly #onListening: (url: string) => void
  #parts: Parts | null = null

  constructor(config: RoutedConfig, logger: Logger, onListening: (url: string) => void) {
    this.#config = config
    this.#logger = logger
    this.#onListening = onListening
  }

  async start(): Promise<void> {
    const config = this.#config
    const client: ApiClient['gateway'] = connect({
      url: config.controlPlane,
      token: config.gatewayToken,
      // The follower connects again by itself, and knows then that it was away.
      reconnect: { maxAttempts: 0 },
    }).gateway
    const tracing = await startTracing({ service: 'deos-gateway', env: process.env })
    const serving: RoutedServing = new RoutedServing(
      { ...config, id: systemIds.next('gateway') },
      {
        client,
        openRing: openRings(config.resumePatienceMs, ringNetwork(proxyOption(config.proxy))),
        openWords: modelWords(client, {
          cacheFolder: config.cacheFolder,
          tokenizerThread: findTokenizerThread(),
          onNote: (text) => this.#logger.warn(text),
        }),
        tracing,
        clock: systemClock,
        wallMs: () => Date.now(),
        random: systemRandom,
        logger: this.#logger,
        inFlight: () => gateway.inFlight,
        url: () => config.publicUrl ?? gateway.url,
      },
    )
    const gateway: Gateway = new Gateway(config, serving, {
      logger: this.#logger,
      ids: systemIds,
      clock: systemClock,
    })
    this.#parts = { serving, gateway, tracing }
    await gateway.start()
    serving.start()
    this.#onListening(gateway.url)
  }

  async drain(signal: AbortSignal): Promise<void> {
    await this.#parts?.gateway.drain(signal)
    await this.#parts?.serving.drain(signal)
  }

  async stop(): Promise<void> {
    if (!this.#parts) return
    const { serving, gateway, tracing } = this.#parts
    await gateway.stop()
    // What ended only now has a record, too.
    await serving.drain(AbortSignal.timeout(LAST_RECORDS_MS))
    await serving.stop()
    await tracing?.stop()
  }
}
