import type { Random } from '@deos/domain'
import { FrameDecoder, helloWireLimits, type Message, type PeerRole, WireError } from '@deos/protocol'
import type { Link, LinkHandlers, Transport } from './link.ts'
import { LinkError } from './link-error.ts'
import { unknownEstimates } from './link-estimates.ts'
import { findHelloProblem, helloOf, type LinkIdentity } from './link-identity.ts'
import { checkLinkLimits, defaultLinkLimits, type LinkLimits } from './link-limits.ts'
import { LinkPulse } from './link-pulse.ts'
import { joinParts, outgoingFrame } from './outgoing-frame.ts'
import type { Timers } from './timers.ts'

export interface MemoryNetworkOptions {
  /** One-way delay of each message, drawn evenly from `[min, max)`. Order within a link is kept. */
  readonly latencyMs: readonly [min: number, max: number]
}

/** One direction of a connection: bytes under way, in order. */
class Pipe {
  queuedBytes = 0
  paused = false
  silent = false
  #lastArrivalMs = 0
  readonly #waiting: Uint8Array[] = []
  #drained: (() => void)[] = []
  onBytes: (bytes: Uint8Array) => void = () => {}

  constructor(
    private readonly network: MemoryNetwork,
    private readonly highWaterBytes: number,
  ) {}

  write(bytes: Uint8Array): void {
    this.queuedBytes += bytes.length
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, this.network.arrivalMs())
    this.network.at(this.#lastArrivalMs, () => {
      this.#waiting.push(bytes)
      this.#deliver()
    })
  }

  /** When everything written so far has arrived. */
  flushMs(): number {
    return Math.max(this.#lastArrivalMs, this.network.arrivalMs())
  }

  resume(): void {
    this.paused = false
    this.#deliver()
  }

  drained(): Promise<void> {
    if (this.queuedBytes <= this.highWaterBytes) return Promise.resolve()
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  release(): void {
    for (const resolve of this.#drained.splice(0)) resolve()
  }

  #deliver(): void {
    while (!this.paused) {
      const bytes = this.#waiting.shift()
      if (bytes === undefined) return
      this.queuedBytes -= bytes.length
      if (this.queuedBytes <= this.highWaterBytes) this.release()
      if (!this.silent) this.onBytes(bytes)
    }
  }
}

type Shut = (reason: string) => void

/** Two pipes and the fact that they end together. */
class Connection {
  readonly toAcceptor: Pipe
  readonly toInitiator: Pipe
  #open = true
  #shut: { readonly initiator: Shut[]; readonly acceptor: Shut[] } = { initiator: [], acceptor: [] }

  constructor(
    private readonly network: MemoryNetwork,
    limits: LinkLimits,
  ) {
    this.toAcceptor = new Pipe(network, limits.highWaterBytes)
    this.toInitiator = new Pipe(network, limits.highWaterBytes)
  }

  get open(): boolean {
    return this.#open
  }

  onShut(side: 'initiator' | 'acceptor', shut: Shut): void {
    this.#shut[side].push(shut)
  }

  /** The closing side learns at once (never inside this call), the other when the bytes before it have arrived. */
  end(side: 'initiator' | 'acceptor', own: string, theirs: string): void {
    if (!this.#open) return
    this.#open = false
    const other = side === 'initiator' ? 'acceptor' : 'initiator'
    const outgoing = side === 'initiator' ? this.toAcceptor : this.toInitiator
    const incoming = side === 'initiator' ? this.toInitiator : this.toAcceptor
    incoming.silent = true
    this.network.at(this.network.timers.now(), () => {
      for (const shut of this.#shut[side]) shut(own)
    })
    this.network.at(outgoing.flushMs(), () => {
      for (const shut of this.#shut[other]) shut(theirs)
    })
    this.toAcceptor.release()
    this.toInitiator.release()
  }

  /** Bytes under way are lost, and each side learns of it after its own delay. */
  cut(reason: string): void {
    if (!this.#open) return
    this.#open = false
    this.silence()
    for (const side of ['initiator', 'acceptor'] as const) {
      this.network.at(this.network.arrivalMs(), () => {
        for (const shut of this.#shut[side]) shut(reason)
      })
    }
    this.toAcceptor.release()
    this.toInitiator.release()
  }

  /** Half-open: nothing arrives any more and nobody notices. */
  silence(): void {
    this.toAcceptor.silent = true
    this.toInitiator.silent = true
  }
}

class MemoryLink implements Link {
  readonly estimates = unknownEstimates
  readonly path = 'direct'
  readonly peer: string
  readonly role: PeerRole
  onSent: () => void = () => {}

  constructor(
    identity: { readonly peer: string; readonly role: PeerRole },
    private readonly connection: Connection,
    private readonly side: 'initiator' | 'acceptor',
    private readonly limits: LinkLimits,
  ) {
    this.peer = identity.peer
    this.role = identity.role
  }

  get #pipe(): Pipe {
    return this.side === 'initiator' ? this.connection.toAcceptor : this.connection.toInitiator
  }

  send(message: Message): boolean {
    const { parts, sizeBytes } = outgoingFrame(message, this.limits.wire)
    if (!this.connection.open) return false
    const pipe = this.#pipe
    if (pipe.queuedBytes + sizeBytes > this.limits.hardLimitBytes) {
      this.connection.cut(`${this.peer} reads too slowly: ${pipe.queuedBytes} bytes wait`)
      return false
    }
    pipe.write(joinParts(parts, sizeBytes))
    this.onSent()
    return pipe.queuedBytes <= this.limits.highWaterBytes
  }

  drained(): Promise<void> {
    return this.connection.open ? this.#pipe.drained() : Promise.resolve()
  }

  close(reason = 'closed here'): void {
    this.connection.end(this.side, reason, 'the peer closed the link')
  }
}

/** A connection as faults see it. */
export interface MemoryConnection {
  readonly from: string
  readonly to: string
  cut(reason: string): void
  silence(): void
}

interface Listener {
  accept(connection: Connection, secret: string): void
}

/** Bytes without a protocol, for tests of what a link does with a broken peer. */
export interface RawMemoryPeer {
  write(bytes: Uint8Array): void
  pause(): void
  resume(): void
  kill(): void
  readonly closed: Promise<void>
}

/**
 * A network inside one process: real frames over delayed, ordered pipes that can be cut or silenced. All delays
 * come from the random source and all waiting goes through the timers, so a simulation replays exactly.
 */
export class MemoryNetwork {
  readonly #listeners = new Map<string, Listener>()
  #connections: { readonly connection: Connection; readonly view: MemoryConnection }[] = []

  constructor(
    private readonly options: MemoryNetworkOptions,
    readonly timers: Timers,
    private readonly random: Random,
  ) {}

  /** @param secret - peers with another one are refused */
  transport(identity: LinkIdentity, secret: string, limits: LinkLimits = defaultLinkLimits): Transport {
    checkLinkLimits(limits)
    return new MemoryTransport(this, identity, secret, limits)
  }

  /** Open connections, oldest first. */
  get connections(): readonly MemoryConnection[] {
    this.#connections = this.#connections.filter(({ connection }) => connection.open)
    return this.#connections.map(({ view }) => view)
  }

  arrivalMs(): number {
    const [min, max] = this.options.latencyMs
    return this.timers.now() + min + this.random.next() * (max - min)
  }

  at(timeMs: number, run: () => void): void {
    this.timers.after(Math.max(0, timeMs - this.timers.now()), run)
  }

  listen(address: string, listener: Listener): void {
    if (this.#listeners.has(address))
      throw new LinkError('LINK_ADDRESS', `Address ${address} is already in use.`)
    this.#listeners.set(address, listener)
  }

  unlisten(address: string, listener: Listener): void {
    if (this.#listeners.get(address) === listener) this.#listeners.delete(address)
  }

  /** @throws LinkError if nobody listens there */
  dial(from: string, address: string, secret: string, limits: LinkLimits): Connection {
    const listener = this.#listeners.get(address)
    if (listener === undefined) throw new LinkError('LINK_REFUSED', `Nobody listens at ${address}.`)
    const connection = new Connection(this, limits)
    const view = {
      from,
      to: address,
      cut: (reason: string) => connection.cut(reason),
      silence: () => connection.silence(),
    }
    this.#connections = [...this.#connections.filter((open) => open.connection.open), { connection, view }]
    listener.accept(connection, secret)
    return connection
  }

  connectRaw(address: string, secret: string): RawMemoryPeer {
    const connection = this.dial('raw', address, secret, defaultLinkLimits)
    const pipe = connection.toInitiator
    return {
      write: (bytes) => connection.toAcceptor.write(bytes.slice()),
      pause: () => {
        pipe.paused = true
      },
      resume: () => pipe.resume(),
      kill: () => connection.cut('the peer is gone'),
      closed: new Promise((resolve) => connection.onShut('initiator', () => resolve())),
    }
  }
}

class MemoryTransport implements Transport {
  readonly #open = new Map<Connection, 'initiator' | 'acceptor'>()
  readonly #listening: { readonly address: string; readonly listener: Listener }[] = []
  #stopped = false

  constructor(
    private readonly network: MemoryNetwork,
    private readonly identity: LinkIdentity,
    private readonly secret: string,
    private readonly limits: LinkLimits,
  ) {}

  listen(address: string, onLink: (link: Link) => LinkHandlers): Promise<string> {
    const listener: Listener = {
      accept: (connection, secret) => this.#accept(connection, secret, onLink),
    }
    try {
      this.network.listen(address, listener)
    } catch (error) {
      return Promise.reject(error)
    }
    this.#listening.push({ address, listener })
    return Promise.resolve(address)
  }

  connect(address: string, handlers: LinkHandlers, signal?: AbortSignal): Promise<Link> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted || this.#stopped) {
        reject(new LinkError('LINK_ABORTED', `Connecting to ${address} was given up.`))
        return
      }
      this.network.at(this.network.arrivalMs(), () => {
        try {
          this.#dial(address, handlers, signal, resolve, reject)
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  stop(): Promise<void> {
    this.#stopped = true
    for (const { address, listener } of this.#listening.splice(0)) this.network.unlisten(address, listener)
    for (const [connection, side] of this.#open) {
      connection.end(side, 'this side stopped', 'the peer closed the link')
    }
    return Promise.resolve()
  }

  #dial(
    address: string,
    handlers: LinkHandlers,
    signal: AbortSignal | undefined,
    resolve: (link: Link) => void,
    reject: (error: unknown) => void,
  ): void {
    if (signal?.aborted || this.#stopped) {
      throw new LinkError('LINK_ABORTED', `Connecting to ${address} was given up.`)
    }
    const connection = this.network.dial(this.identity.peer, address, this.secret, this.limits)
    this.#open.set(connection, 'initiator')
    const give = (error: LinkError): void => {
      connection.end('initiator', error.message, 'the peer closed the link')
      reject(error)
    }
    const abort = (): void => give(new LinkError('LINK_ABORTED', `Connecting to ${address} was given up.`))
    signal?.addEventListener('abort', abort)
    const cancel = this.network.timers.after(this.limits.handshakeTimeoutMs, () => {
      give(
        new LinkError(
          'LINK_TIMEOUT',
          `${address} sent no hello within ${this.limits.handshakeTimeoutMs} ms.`,
        ),
      )
    })
    const settled = (): void => {
      cancel()
      signal?.removeEventListener('abort', abort)
    }
    connection.onShut('initiator', (reason) => {
      settled()
      const wrongSecret = reason === REFUSED_SECRET
      const code = wrongSecret ? 'LINK_UNAUTHENTICATED' : 'LINK_CLOSED'
      reject(new LinkError(code, `${address} ended the handshake (${reason}).`))
    })
    this.#receive(
      connection,
      'initiator',
      handlers,
      (link) => {
        settled()
        resolve(link)
      },
      give,
    )
    connection.toAcceptor.write(frameOf(helloOf(this.identity), this.limits))
  }

  #accept(connection: Connection, secret: string, onLink: (link: Link) => LinkHandlers): void {
    this.#open.set(connection, 'acceptor')
    connection.onShut('acceptor', () => this.#open.delete(connection))
    if (secret !== this.secret || this.#open.size > this.limits.maxLinks) {
      connection.end('acceptor', REFUSED_SECRET, secret === this.secret ? 'too many links' : REFUSED_SECRET)
      return
    }
    const cancel = this.network.timers.after(this.limits.handshakeTimeoutMs, () => {
      connection.end('acceptor', 'no hello came in time', 'the peer closed the link')
    })
    connection.onShut('acceptor', cancel)
    this.#receive(
      connection,
      'acceptor',
      onLink,
      () => cancel(),
      (error) => connection.end('acceptor', error.message, 'the peer closed the link'),
    )
  }

  #pulse(link: MemoryLink, connection: Connection): LinkPulse {
    const beat = (): boolean => link.send({ type: 'heartbeat' })
    const pulse = new LinkPulse(this.limits, this.network.timers, beat, (silentMs) => {
      connection.cut(`${link.peer} has been silent for ${Math.round(silentMs)} ms`)
    })
    link.onSent = () => pulse.sent()
    return pulse
  }

  /** Waits for the hello, then hands messages to the handlers until either side ends. */
  #receive(
    connection: Connection,
    side: 'initiator' | 'acceptor',
    handlersOf: LinkHandlers | ((link: Link) => LinkHandlers),
    onReady: (link: Link) => void,
    onRefused: (error: LinkError) => void,
  ): void {
    let link: MemoryLink | null = null
    let handlers: LinkHandlers | null = null
    let pulse: LinkPulse | null = null
    const decoder = new FrameDecoder(helloWireLimits, (message) => {
      if (link !== null && handlers !== null) {
        if (message.type !== 'heartbeat') handlers.onMessage(message, link)
        return
      }
      if (message.type !== 'hello') {
        onRefused(new LinkError('LINK_PROTOCOL', `The peer began with a ${message.type}, not a hello.`))
        return
      }
      const reply = side === 'acceptor'
      if (reply) connection.toInitiator.write(frameOf(helloOf(this.identity), this.limits))
      const problem = findHelloProblem(this.identity, message)
      if (problem !== null) {
        onRefused(problem)
        return
      }
      decoder.setLimits(this.limits.wire)
      link = new MemoryLink(message, connection, side, this.limits)
      pulse = this.#pulse(link, connection)
      handlers = typeof handlersOf === 'function' ? handlersOf(link) : handlersOf
      onReady(link)
    })
    connection.onShut(side, (reason) => {
      pulse?.stop()
      this.#open.delete(connection)
      if (link !== null) handlers?.onClose(reason, link)
    })
    const pipe = side === 'initiator' ? connection.toInitiator : connection.toAcceptor
    pipe.onBytes = (bytes) => {
      pulse?.heard()
      try {
        decoder.push(bytes)
      } catch (error) {
        if (!(error instanceof WireError)) throw error
        const code = error.code === 'WIRE_VERSION' ? 'LINK_VERSION' : 'LINK_PROTOCOL'
        onRefused(new LinkError(code, error.message, { cause: error }))
      }
    }
  }
}

const REFUSED_SECRET = 'the ring secrets differ'

function frameOf(message: Message, limits: LinkLimits): Uint8Array {
  const { parts, sizeBytes } = outgoingFrame(message, limits.wire)
  return joinParts(parts, sizeBytes)
}
