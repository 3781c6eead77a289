import type { Socket } from 'node:net'
import {
  FrameDecoder,
  type Hello,
  helloWireLimits,
  type Message,
  type PeerRole,
  WireError,
} from '@deos/protocol'
import type { Link, LinkHandlers } from './link.ts'
import { LinkError } from './link-error.ts'
import { unknownEstimates } from './link-estimates.ts'
import { helloOf, type LinkIdentity } from './link-identity.ts'
import type { LinkLimits } from './link-limits.ts'
import { LinkPulse } from './link-pulse.ts'
import { joinParts, type OutgoingFrame, outgoingFrame } from './outgoing-frame.ts'
import { systemTimers } from './timers.ts'

/** Frames up to this size share one write with their neighbours; larger payloads are written as they are. */
const COALESCE_BYTES = 64 * 1024
/** A closed link may flush this long before its socket is destroyed. */
const LINGER_MS = 2_000

interface LinkOwner {
  /** The peer's hello came. @throws LinkError to refuse it */
  onHello(hello: Hello, link: TcpLink): void
  /** The link is open; it may be used at once. */
  onOpen(link: TcpLink): LinkHandlers
  /** Nothing comes of this link; called instead of the handlers' `onClose`. */
  onRefused(error: LinkError): void
}

/** A link over a connected (and, with TLS, authenticated) socket, from its hello on. */
export class TcpLink implements Link {
  readonly estimates = unknownEstimates
  readonly path = 'direct'
  #state: 'hello' | 'open' | 'closed' = 'hello'
  #hello: Hello | null = null
  #handlers: LinkHandlers | null = null
  #small: Uint8Array[] = []
  #smallBytes = 0
  #drained: (() => void)[] = []
  #closeReason: string | null = null
  #failure: Error | null = null
  #pulse: LinkPulse | null = null
  readonly #decoder: FrameDecoder
  /** Resolves when the socket is gone. */
  readonly closed: Promise<void>

  constructor(
    private readonly socket: Socket,
    private readonly identity: LinkIdentity,
    private readonly limits: LinkLimits,
    private readonly owner: LinkOwner,
  ) {
    this.#decoder = new FrameDecoder(helloWireLimits, (message) => this.#receive(message))
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('drain', () => this.#releaseDrained())
    socket.on('error', (error) => {
      this.#failure = error
    })
    socket.on('end', () => socket.end())
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#ended()
        resolve()
      })
    })
  }

  get peer(): string {
    return this.#hello?.peer ?? ''
  }

  get role(): PeerRole {
    return this.#hello?.role ?? 'worker'
  }

  /** First message of either side. */
  sendHello(): void {
    this.#write(outgoingFrame(helloOf(this.identity), this.limits.wire))
  }

  send(message: Message): boolean {
    const frame = outgoingFrame(message, this.limits.wire)
    if (this.#state !== 'open') return false
    if (this.#queuedBytes + frame.sizeBytes > this.limits.hardLimitBytes) {
      this.#cut(`${this.peer} reads too slowly: ${this.#queuedBytes} bytes wait`)
      return false
    }
    this.#write(frame)
    return this.#queuedBytes <= this.limits.highWaterBytes
  }

  drained(): Promise<void> {
    if (this.#state === 'closed' || this.#queuedBytes <= this.limits.highWaterBytes) return Promise.resolve()
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  close(reason = 'closed here'): void {
    if (this.#state === 'closed') return
    this.#flush()
    this.#shut(reason)
    this.socket.end()
    const timer = setTimeout(() => this.socket.destroy(), LINGER_MS)
    void this.closed.then(() => clearTimeout(timer))
  }

  /** Ends a handshake that failed; the owner hears why. */
  refuse(error: LinkError): void {
    if (this.#state !== 'hello') return
    this.#flush()
    this.#shut(error.message)
    this.socket.end()
    this.socket.destroySoon()
    this.owner.onRefused(error)
  }

  get #queuedBytes(): number {
    return this.#smallBytes + this.socket.writableLength
  }

  #write(frame: OutgoingFrame): void {
    this.#pulse?.sent()
    if (frame.sizeBytes <= COALESCE_BYTES) {
      if (this.#small.length === 0) process.nextTick(() => this.#flush())
      this.#small.push(...frame.parts)
      this.#smallBytes += frame.sizeBytes
      return
    }
    this.#flush()
    for (const part of frame.parts) this.socket.write(part)
  }

  #flush(): void {
    if (this.#small.length === 0) return
    const parts = this.#small
    const sizeBytes = this.#smallBytes
    this.#small = []
    this.#smallBytes = 0
    if (this.socket.writable) this.socket.write(parts.length === 1 ? parts[0]! : joinParts(parts, sizeBytes))
  }

  #read(chunk: Uint8Array): void {
    if (this.#state === 'closed') return
    this.#pulse?.heard()
    try {
      this.#decoder.push(chunk)
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
    try {
      this.owner.onHello(message, this)
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      this.refuse(error)
      return
    }
    this.#state = 'open'
    this.#decoder.setLimits(this.limits.wire)
    const beat = (): boolean => this.send({ type: 'heartbeat' })
    this.#pulse = new LinkPulse(this.limits, systemTimers, beat, (silentMs) => {
      this.#cut(`${this.peer} has been silent for ${Math.round(silentMs)} ms`)
    })
    this.#handlers = this.owner.onOpen(this)
  }

  #cut(reason: string): void {
    this.#shut(reason)
    this.socket.destroy()
  }

  #shut(reason: string): void {
    this.#state = 'closed'
    this.#closeReason = reason
    this.#pulse?.stop()
    this.#releaseDrained(true)
  }

  /** The socket is gone: the one place where owners hear of the end, so never inside one of their calls. */
  #ended(): void {
    const wasHello = this.#state === 'hello'
    const reason = this.#closeReason ?? this.#failure?.message ?? 'the peer closed the link'
    if (this.#state !== 'closed') this.#shut(reason)
    if (wasHello)
      this.owner.onRefused(new LinkError('LINK_CLOSED', `The link ended during its hello (${reason}).`))
    else this.#handlers?.onClose(reason, this)
  }

  #releaseDrained(all = false): void {
    if (!all && this.#queuedBytes > this.limits.highWaterBytes) return
    for (const resolve of this.#drained.splice(0)) resolve()
  }
}
