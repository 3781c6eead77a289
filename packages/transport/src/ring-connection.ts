import { DomainError, describeError, type Random, type SampledToken } from '@deos/domain'
import {
  assertDecodable,
  type ClientFailCode,
  type ClientImport,
  type ClientRequest,
  type FinishReason,
  type GatewayToLeader,
  type RejectCode,
  RingClient,
  type RingClientEffect,
  type RingClientEvent,
  type RingClientOptions,
  type RingStatus,
  type StageTime,
  type WireLimits,
} from '@deos/protocol'
import type { Transport } from './link.ts'
import { SerialEvents } from './serial-events.ts'
import { SupervisedLink } from './supervised-link.ts'
import { every, type Timers } from './timers.ts'

export interface RingConnectionOptions extends RingClientOptions {
  /** Address of stage 0. */
  readonly leader: string
  /** Address of the last stage; `null` in a ring of one stage. */
  readonly tail: string | null
  /** What the leader accepts; `defaultWireLimits` unless its transport was given others. */
  readonly wire: WireLimits
  readonly tickMs: number
  readonly reconnect: { readonly firstDelayMs: number; readonly maxDelayMs: number }
}

export interface RingConnectionCollaborators {
  readonly transport: Transport
  readonly timers: Timers
  readonly random: Random
  readonly onNote: (level: 'info' | 'warn', text: string) => void
  /** Whether requests are taken, on every word from the leader and on every change of a link. */
  readonly onStatus: (ready: boolean, status: RingStatus | null) => void
}

/** A token as the ring delivers it. */
export interface DeliveredToken {
  readonly index: number
  readonly sampled: SampledToken
  readonly finish: FinishReason | null
  /** What its steps took at each stage; the first token's are those of the prompt. */
  readonly times: readonly StageTime[]
  /** Positions of the prompt that were not computed because their KV was still there. */
  readonly cachedTokens: number
}

/**
 * Answers to one request: tokens up to the one with `finish` or, if it asked for pooling, one vector; or one
 * `onRejected`, or one `onFailed`.
 */
export interface GenerationHandlers {
  onToken(token: DeliveredToken): void
  /** @param vector - `[hiddenSize]`, not normalised */
  onEmbedding?(vector: Float32Array): void
  onRejected(code: RejectCode, message: string, retryAfterMs: number): void
  onFailed(code: ClientFailCode, message: string): void
  /** The ring failed; the answer continues by itself when it is back. */
  onInterrupted?(message: string): void
}

/** Answers to an import: pages, and then perhaps their loss; or that there are none. */
export interface ImportHandlers {
  /** Every stage has pages for positions `[cachedTokens, end)`; those before are there already. */
  onReady(cachedTokens: number, end: number): void
  /** Nothing is imported, or nothing any more. */
  onFailed(message: string): void
}

/** A gateway's connection to one ring: drives a {@link RingClient} over links to its first and its last stage. */
export class RingConnection {
  readonly #client: RingClient
  readonly #requests = new Map<string, GenerationHandlers>()
  readonly #imports = new Map<string, ImportHandlers>()
  readonly #events = new SerialEvents<RingClientEvent>((event) => {
    for (const effect of this.#client.onEvent(event, this.edge.timers.now())) this.#perform(effect)
  })
  #stopped = false
  #stopTicking: () => void = () => {}
  readonly #leader: SupervisedLink
  readonly #tail: SupervisedLink | null

  constructor(
    private readonly options: RingConnectionOptions,
    private readonly edge: RingConnectionCollaborators,
  ) {
    this.#client = new RingClient(options)
    const alone = options.tail === null
    this.#leader = this.#supervise(options.leader, alone ? ['leader', 'tail'] : ['leader'])
    this.#tail = options.tail === null ? null : this.#supervise(options.tail, ['tail'])
  }

  get ready(): boolean {
    return this.#client.ready
  }

  get status(): RingStatus | null {
    return this.#client.status
  }

  /** Requests without a final answer. */
  get open(): number {
    return this.#client.open
  }

  start(): void {
    this.#leader.start()
    this.#tail?.start()
    this.#stopTicking = every(this.edge.timers, this.options.tickMs, () => this.#feed({ type: 'tick' }))
  }

  /** @param request - its id must be new to this connection */
  generate(request: ClientRequest, handlers: GenerationHandlers): void {
    if (this.#requests.has(request.id)) {
      handlers.onRejected('invalid', `Request ${request.id} is already open.`, 0)
      return
    }
    this.#requests.set(request.id, handlers)
    this.#feed({ type: 'open', request })
  }

  /** Answered by `onFailed('cancelled')`, unless the request is already answered. */
  cancel(id: string): void {
    this.#feed({ type: 'cancel', id })
  }

  /** Has the ring keep pages for a prompt whose KV comes from elsewhere. */
  import(request: ClientImport, handlers: ImportHandlers): void {
    this.#imports.set(request.id, handlers)
    this.#feed({ type: 'import', request })
  }

  /**
   * @param position - how far the pages are filled: later sessions begin there; `null` gives the import up, or ends what
   *   was kept of it
   * @param keep - better copies may be written into the pages until it is ended, or somebody needs one of them
   */
  endImport(id: string, position: number | null, keep = false): void {
    this.#imports.delete(id)
    this.#feed(
      position === null ? { type: 'import-cancel', id } : { type: 'import-commit', id, position, keep },
    )
  }

  /**
   * Nobody waits for this prompt any more, which was computed for another ring: it stays until it is cancelled, and fails
   * as soon as its place or its pages are wanted.
   */
  spare(id: string): void {
    this.#feed({ type: 'spare', id })
  }

  /** Fails what is open and ends the links; the transport stays the caller's. */
  stop(): void {
    for (const id of [...this.#requests.keys()]) this.cancel(id)
    this.#stopped = true
    this.#stopTicking()
    this.#leader.stop()
    this.#tail?.stop()
  }

  #supervise(address: string, links: readonly ('leader' | 'tail')[]): SupervisedLink {
    const { transport, timers, random, onNote } = this.edge
    const first = links[0]!
    return new SupervisedLink({ address, ...this.options.reconnect }, transport, timers, random, {
      onUp: () => {
        for (const link of links) this.#feed({ type: 'connected', link })
      },
      onMessage: (message) => this.#feed({ type: 'message', link: first, message }),
      onDown: (reason) => {
        for (const link of links) this.#feed({ type: 'lost', link, reason })
      },
      onRetry: (error, delayMs) => {
        onNote('warn', `Ring ${first} at ${address}: ${describeError(error)} Again in ${delayMs} ms.`)
      },
    })
  }

  #feed(event: RingClientEvent): void {
    if (!this.#stopped) this.#events.push(event)
  }

  #perform(effect: RingClientEffect): void {
    switch (effect.type) {
      case 'send-leader':
        this.#sendLeader(effect.message)
        break
      case 'close-link':
        this.#linkTo(effect.link)?.close(effect.reason)
        break
      case 'status':
        this.edge.onStatus(effect.ready, effect.status)
        break
      case 'interrupted':
        this.#requests.get(effect.id)?.onInterrupted?.(effect.message)
        break
      case 'token':
        this.#handlers(effect.id, effect.finish !== null)?.onToken(effect)
        break
      case 'embedding':
        this.#handlers(effect.id, true)?.onEmbedding?.(effect.vector)
        break
      case 'rejected':
        this.#handlers(effect.id, true)?.onRejected(effect.code, effect.message, effect.retryAfterMs)
        break
      case 'failed':
        this.#handlers(effect.id, true)?.onFailed(effect.code, effect.message)
        break
      case 'import-ready':
        this.#imports.get(effect.id)?.onReady(effect.cachedTokens, effect.end)
        break
      case 'import-failed': {
        const handlers = this.#imports.get(effect.id)
        this.#imports.delete(effect.id)
        handlers?.onFailed(effect.message)
      }
    }
  }

  #handlers(id: string, last: boolean): GenerationHandlers | undefined {
    const handlers = this.#requests.get(id)
    if (last) this.#requests.delete(id)
    return handlers
  }

  /** A request that the leader could not even read would cost the link and with it everybody's answers. */
  #sendLeader(message: GatewayToLeader): void {
    const { link } = this.#leader
    try {
      if (message.type === 'open-request') assertDecodable(message, this.options.wire)
      link?.send(message)
    } catch (error) {
      if (!(error instanceof DomainError)) throw error
      const { session } = message
      const refusal = { code: 'invalid', message: error.message, retryAfterMs: 0 } as const
      this.#feed({ type: 'message', link: 'leader', message: { type: 'rejected', session, ...refusal } })
    }
  }

  #linkTo(link: 'leader' | 'tail'): { close(reason?: string): void } | null {
    return link === 'tail' && this.#tail !== null ? this.#tail.link : this.#leader.link
  }
}
