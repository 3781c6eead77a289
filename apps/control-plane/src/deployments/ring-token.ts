import { DomainError, defaultSampling, type IdSource, type Random, type RingId } from '@deos/domain'
import { type ClientRequest, defaultClientOptions, defaultWireLimits, plainNeeds } from '@deos/protocol'
import {
  type LinkIdentity,
  linkIdentity,
  RingConnection,
  ringNetwork,
  ringTransport,
  type Timers,
  type Transport,
} from '@deos/transport'

/** A ring as those who use it reach it. */
export interface RingTarget {
  readonly ring: RingId
  /** In hexadecimal digits. */
  readonly secret: string
  readonly leader: string
  /** Null in a ring of one stage. */
  readonly tail: string | null
  /** Number of tokens that the model knows. */
  readonly vocabulary: number
}

export class NoTokenError extends DomainError {
  readonly code = 'RING_NO_TOKEN'
  readonly retriable = true

  constructor(reason: string) {
    super(reason, '')
  }
}

/**
 * Generates one real token, end to end.
 *
 * @returns how long it took, connecting left out
 * @throws NoTokenError saying why none came
 */
export type GenerateToken = (target: RingTarget, timeoutMs: number, signal: AbortSignal) => Promise<number>

export interface RingTokenParts {
  readonly timers: Timers
  readonly random: Random
  readonly ids: IdSource
  /** Without it, as gateways do. */
  readonly transportFor?: (identity: LinkIdentity, secret: Uint8Array, leader: string) => Transport
}

const timing = { tickMs: 50, reconnect: { firstDelayMs: 100, maxDelayMs: 500 } } as const
const promptTokens = [1, 2, 3]
/** It waits behind nobody's request. */
const highestPriority = 100
const retryMs = 200

/** Connects as gateways do. */
export const ringToken =
  ({ timers, random, ids, transportFor = overTcp }: RingTokenParts): GenerateToken =>
  async (target, timeoutMs, signal) => {
    const identity = linkIdentity('gateway', ids.next('prober'), target.ring)
    const transport = transportFor(identity, Buffer.from(target.secret, 'hex'), target.leader)
    const attempt = new Attempt(target, transport, timers, random, ids)
    try {
      return await attempt.run(timeoutMs, signal)
    } finally {
      attempt.stop()
      await transport.stop()
    }
  }

const overTcp = (identity: LinkIdentity, secret: Uint8Array, leader: string): Transport =>
  ringTransport(leader, identity, secret, ringNetwork(null))

class Attempt {
  readonly #connection: RingConnection
  #settle: { resolve(firstTokenMs: number): void; reject(error: Error): void } | null = null
  #asked = false
  /** The last trouble there was, for people. */
  #trouble = 'it could not be reached'
  readonly #cancels: (() => void)[] = []

  constructor(
    private readonly target: RingTarget,
    transport: Transport,
    private readonly timers: Timers,
    random: Random,
    private readonly ids: IdSource,
  ) {
    const { leader, tail } = target
    this.#connection = new RingConnection(
      { ...defaultClientOptions, ...timing, wire: defaultWireLimits, leader, tail },
      {
        transport,
        timers,
        random,
        onNote: (level, text) => {
          if (level === 'warn') this.#trouble = text
        },
        onStatus: (ready) => {
          if (ready) this.#ask()
          else if (this.#connection.status !== null)
            this.#trouble = 'its first stage says that it is not ready'
        },
      },
    )
  }

  run(timeoutMs: number, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      const giveUp = (reason: string) => reject(new NoTokenError(reason))
      const onAbort = () => giveUp('The control plane stopped.')
      this.#cancels.push(
        this.timers.after(timeoutMs, () => {
          giveUp(`Nothing came in ${timeoutMs / 1000} s: ${this.#trouble.replace(/\.$/, '')}.`)
        }),
        () => signal.removeEventListener('abort', onAbort),
      )
      signal.addEventListener('abort', onAbort)
      this.#connection.start()
    })
  }

  stop(): void {
    this.#settle = null
    for (const cancel of this.#cancels) cancel()
    this.#connection.stop()
  }

  #ask(): void {
    if (this.#asked || this.#settle === null) return
    this.#asked = true
    const startedMs = this.timers.now()
    this.#connection.generate(this.#request(), {
      onToken: () => this.#settle?.resolve(this.timers.now() - startedMs),
      onRejected: (_code, message, retryAfterMs) => this.#failed(message, retryAfterMs > 0),
      onFailed: (_code, message) => this.#failed(message, true),
    })
  }

  #failed(message: string, mayRetry: boolean): void {
    this.#trouble = message
    if (!mayRetry) {
      this.#settle?.reject(new NoTokenError(message))
      return
    }
    this.#cancels.push(
      this.timers.after(retryMs, () => {
        this.#asked = false
        if (this.#connection.ready) this.#ask()
      }),
    )
  }

  #request(): ClientRequest {
    const { vocabulary } = this.target
    return {
      id: this.ids.next('probe'),
      tokens: Int32Array.from(promptTokens, (token) => token % vocabulary),
      maxTokens: 1,
      stopTokens: [],
      sampling: { ...defaultSampling, temperature: 0 },
      deadlineMs: 0,
      tenant: 'deos',
      priority: highestPriority,
      needs: plainNeeds,
      pooling: null,
    }
  }
}
