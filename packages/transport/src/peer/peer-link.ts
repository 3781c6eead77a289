import {
  FrameDecoder,
  type Hello,
  helloWireLimits,
  type Message,
  type PeerRole,
  WireError,
} from '@deos/protocol'
import type { Link, LinkHandlers } from '../link.ts'
import { LinkError } from '../link-error.ts'
import type { LinkEstimates, LinkPath } from '../link-estimates.ts'
import { findHelloProblem, helloOf, type LinkIdentity } from '../link-identity.ts'
import type { LinkLimits } from '../link-limits.ts'
import { outgoingFrame } from '../outgoing-frame.ts'
import { systemTimers } from '../timers.ts'
import { type Priority, priorities, priorityIndex } from './chunk.ts'
import type { CloseCode, PeerChannel } from './peer-channel.ts'
import type { PeerConnection } from './peer-connection.ts'

export interface PeerLinkOwner {
  /** Why the peer is not who it proved to be; `null` if it is. */
  helloProblem?(hello: Hello): LinkError | null
  onOpen(link: PeerLink): LinkHandlers
  /** Nothing comes of this link; called instead of the handlers' `onClose`. */
  onRefused(error: LinkError): void
}

/** What stages say to each other keeps its order, and waits for nothing that is meant for people's eyes. */
const ringMessages: ReadonlySet<Message['type']> = new Set([
  ...(['open', 'close', 'step', 'step-done', 'prepare', 'probe', 'fault'] as const),
])
export const priorityOf = (message: Message): Priority =>
  ringMessages.has(message.type) ? 'activations' : 'control'

/** A link of one ring on a connection that it may share. */
export class PeerLink implements Link {
  #state: 'hello' | 'open' | 'closed' = 'hello'
  #hello: Hello | null = null
  #handlers: LinkHandlers | null = null
  #drained: (() => void)[] = []
  readonly #decoders: readonly FrameDecoder[]
  readonly #cancelTimeout: () => void
  /** Resolves when this end has said all it had to. */
  readonly closed: Promise<void>

  constructor(
    private readonly channel: PeerChannel,
    private readonly connection: PeerConnection,
    private readonly identity: LinkIdentity,
    private readonly limits: LinkLimits,
    private readonly side: 'dialler' | 'acceptor',
    private readonly owner: PeerLinkOwner,
  ) {
    this.#decoders = priorities.map(
      () => new FrameDecoder(helloWireLimits, (message) => this.#receive(message)),
    )
    const { handshakeTimeoutMs } = limits
    this.#cancelTimeout = systemTimers.after(handshakeTimeoutMs, () =>
      this.refuse(new LinkError('LINK_TIMEOUT', `The peer sent no hello within ${handshakeTimeoutMs} ms.`)),
    )
    this.closed = new Promise((resolve) => {
      channel.owner = {
        onAccepted: () => {},
        onData: (priority, bytes) => this.#read(priority, bytes),
        onSent: () => this.#releaseDrained(),
        onClose: (reason, code) => {
          this.#ended(reason, code)
          resolve()
        },
      }
    })
    if (side === 'dialler') this.#sendHello()
  }

  get peer(): string {
    return this.#hello?.peer ?? ''
  }

  get role(): PeerRole {
    return this.#hello?.role ?? 'worker'
  }

  get estimates(): LinkEstimates {
    return this.connection.estimates
  }

  get path(): LinkPath {
    return this.connection.path
  }

  /** Public key that the peer's machine has proved. */
  get peerKey(): string {
    return this.connection.peerKey
  }

  send(message: Message, priority: Priority = priorityOf(message)): boolean {
    const { parts, sizeBytes } = outgoingFrame(message, this.limits.wire)
    if (this.#state !== 'open') return false
    const { queuedBytes } = this.channel
    if (queuedBytes + sizeBytes > this.limits.hardLimitBytes) {
      this.#cut(`${this.peer} reads too slowly: ${queuedBytes} bytes wait`)
      return false
    }
    this.channel.write(parts, sizeBytes, priorityIndex[priority])
    return this.channel.queuedBytes <= this.limits.highWaterBytes
  }

  drained(): Promise<void> {
    if (this.#state === 'closed' || this.channel.queuedBytes <= this.limits.highWaterBytes)
      return Promise.resolve()
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  close(reason = 'closed here'): void {
    if (this.#state === 'closed') return
    this.#shut()
    this.channel.close(reason)
  }

  /** Ends a handshake that failed; the owner hears why. */
  refuse(error: LinkError): void {
    if (this.#state !== 'hello') return
    this.#shut()
    this.channel.close(error.message, 'refused')
    this.owner.onRefused(error)
  }

  #sendHello(): void {
    const { parts, sizeBytes } = outgoingFrame(helloOf(this.identity), this.limits.wire)
    this.channel.write(parts, sizeBytes, priorityIndex.control)
  }

  #read(priority: number, bytes: Uint8Array): void {
    if (this.#state === 'closed') return
    try {
      this.#decoders[priority]!.push(bytes)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      const code = error.code === 'WIRE_VERSION' ? 'LINK_VERSION' : 'LINK_PROTOCOL'
      if (this.#state === 'hello') this.refuse(new LinkError(code, error.message, { cause: error }))
      else this.#cut(error.message)
    }
  }

  #receive(message: Message): void {
    // A chunk may hold messages behind the one that made somebody close the link.
    if (this.#state === 'closed') return
    if (this.#state === 'open') {
      if (message.type !== 'heartbeat') this.#handlers?.onMessage(message, this)
      return
    }
    if (message.type !== 'hello') {
      this.refuse(new LinkError('LINK_PROTOCOL', `The peer began with a ${message.type}, not a hello.`))
      return
    }
    this.#hello = message
    // The peer learns our version and ring even if we refuse, and can say what is wrong.
    if (this.side === 'acceptor') this.#sendHello()
    const problem = findHelloProblem(this.identity, message) ?? this.owner.helloProblem?.(message) ?? null
    if (problem !== null) {
      this.refuse(problem)
      return
    }
    this.#cancelTimeout()
    this.#state = 'open'
    for (const decoder of this.#decoders) decoder.setLimits(this.limits.wire)
    this.#handlers = this.owner.onOpen(this)
  }

  #cut(reason: string): void {
    this.#shut()
    this.channel.cut(reason)
  }

  #shut(): void {
    this.#state = 'closed'
    this.#cancelTimeout()
    this.#releaseDrained()
  }

  #ended(reason: string, code: CloseCode): void {
    const wasHello = this.#state === 'hello'
    this.#shut()
    if (wasHello) this.owner.onRefused(refusalOf(code, reason))
    else this.#handlers?.onClose(reason, this)
  }

  #releaseDrained(): void {
    if (this.#state !== 'closed' && this.channel.queuedBytes > this.limits.highWaterBytes) return
    for (const resolve of this.#drained.splice(0)) resolve()
  }
}

function refusalOf(code: CloseCode, reason: string): LinkError {
  switch (code) {
    case 'unauthenticated':
      return new LinkError('LINK_UNAUTHENTICATED', 'The ring secrets differ.')
    case 'unknown-ring':
      return new LinkError('LINK_RING', 'The peer holds no stage of this ring.')
    case 'full':
      return new LinkError('LINK_CLOSED', 'The peer has too many links.')
    default:
      return new LinkError('LINK_CLOSED', `The link ended during its hello (${reason}).`)
  }
}
