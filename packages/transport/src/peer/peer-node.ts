import type { Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Dial, dialled, dialTcp } from '../dial.ts'
import { LinkError } from '../link-error.ts'
import type { LinkPath } from '../link-estimates.ts'
import { checkLinkLimits, defaultLinkLimits, type LinkLimits } from '../link-limits.ts'
import { formatTcpAddress, parseTcpAddress } from '../tcp-address.ts'
import type { MachineKey } from './machine-key.ts'
import { formatPeerAddress, type PeerAddress, parsePeerAddress } from './peer-address.ts'
import type { PeerChannel } from './peer-channel.ts'
import { type ConnectionOwner, PeerConnection } from './peer-connection.ts'
import { PeerTransport, type PeerTransportOptions } from './peer-transport.ts'
import { type SecureStream, secureStream } from './secure-stream.ts'

export interface PeerNodeOptions {
  readonly key: MachineKey
  readonly limits?: LinkLimits
  readonly dial?: Dial
  /** Told about every incoming connection that did not come about. */
  readonly onRefused?: (from: string, error: LinkError) => void
}

/** Unfinished handshakes of one address. */
const MOST_HANDSHAKES = 32

/**
 * This process as other machines see it: one key, and one connection to each address however many rings' links go over
 * it. Closes all of them when its last transport is stopped.
 */
export class PeerNode {
  readonly key: MachineKey
  readonly limits: LinkLimits
  readonly dial: Dial
  readonly #onRefused: (from: string, error: LinkError) => void
  readonly #servers = new Map<string, Server>()
  readonly #transports = new Map<string, PeerTransport>()
  readonly #dialled = new Map<string, Promise<PeerConnection>>()
  readonly #connections = new Set<PeerConnection>()
  readonly #opening = new WeakMap<PeerChannel, PeerTransport>()
  readonly #handshakes = new Map<string, number>()
  readonly #unfinished = new Set<Duplex>()
  readonly #stopping = new AbortController()

  /** @throws RangeError if a limit makes no sense */
  constructor(options: PeerNodeOptions) {
    this.key = options.key
    this.limits = options.limits ?? defaultLinkLimits
    this.dial = options.dial ?? dialTcp
    this.#onRefused = options.onRefused ?? (() => {})
    checkLinkLimits(this.limits)
  }

  /** @throws RangeError if the ring has a transport here already, or the secret is too short */
  transport(options: Omit<PeerTransportOptions, 'limits'> & { readonly limits?: LinkLimits }): PeerTransport {
    const transport = new PeerTransport(this, { limits: this.limits, ...options })
    if (this.#transports.has(transport.ring))
      throw new RangeError(`Ring ${transport.ring} has a transport here already.`)
    this.#transports.set(transport.ring, transport)
    return transport
  }

  /** Connections open at the moment. */
  get connections(): readonly PeerConnection[] {
    return [...this.#connections]
  }

  /** @returns the address with this node's key @throws LinkError */
  listen(address: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const { at } = parsePeerAddress(address)
      const { host, port } = parseTcpAddress(at)
      const server = createServer({ noDelay: true }, (socket) => this.#incoming(socket))
      server.maxConnections = this.limits.maxLinks
      server.once('error', (cause) => {
        reject(new LinkError('LINK_ADDRESS', `Cannot listen on ${at}: ${cause.message}.`, { cause }))
      })
      server.listen(port, host, () => {
        const bound = server.address()
        const own = formatTcpAddress({ host, port: typeof bound === 'object' && bound ? bound.port : port })
        this.#servers.set(own, server)
        resolve(formatPeerAddress({ at: own, key: this.key.publicKey, circuit: null }))
      })
    })
  }

  /** The connection to the address, made if there is none. @throws LinkError */
  async connection(text: string): Promise<PeerConnection> {
    const address = parsePeerAddress(text)
    const known = this.#dialled.get(text)
    if (known !== undefined) return await known
    const made = this.#dialAddress(address, text)
    this.#dialled.set(text, made)
    try {
      const connection = await made
      void connection.closed.then(() => this.#forget(text, made))
      return connection
    } catch (error) {
      this.#forget(text, made)
      throw error
    }
  }

  open(
    connection: PeerConnection,
    transport: PeerTransport,
    prove: (channel: number) => Buffer,
  ): PeerChannel {
    const channel = connection.open(transport.ring, prove)
    this.#opening.set(channel, transport)
    return channel
  }

  /** A stream to this node that came some other way, such as over a relay. */
  async accept(raw: Duplex, from: string, path: LinkPath): Promise<PeerConnection | null> {
    const secure = await this.#secured(raw, 'acceptor', null, from)
    return secure === null ? null : this.#connected(secure, 'acceptor', path, from)
  }

  async release(transport: PeerTransport): Promise<void> {
    this.#transports.delete(transport.ring)
    if (this.#transports.size > 0) return
    const closed = [...this.#servers.values()].map((server) => new Promise((done) => server.close(done)))
    this.#servers.clear()
    const connections = [...this.#connections]
    for (const connection of connections) connection.finish('this side stopped')
    this.#stopping.abort()
    for (const raw of this.#unfinished) raw.destroy()
    await Promise.all([...closed, ...connections.map((connection) => connection.closed)])
  }

  async #dialAddress(address: PeerAddress, text: string): Promise<PeerConnection> {
    if (address.key === null)
      throw new LinkError('LINK_ADDRESS', `${text} does not say which machine is there.`)
    const { handshakeTimeoutMs: timeoutMs } = this.limits
    const raw = await dialled(this.dial, address.at, timeoutMs, this.#stopping.signal)
    this.#unfinished.add(raw)
    try {
      const { key } = this
      const who = { expected: address.key, name: address.at }
      const secure = await secureStream(raw, { key, side: 'dialler', timeoutMs, ...who })
      return this.#connected(secure, 'dialler', 'direct', address.at)
    } finally {
      this.#unfinished.delete(raw)
    }
  }

  #incoming(socket: Socket): void {
    const host = socket.remoteAddress ?? 'a peer that left'
    const open = this.#handshakes.get(host) ?? 0
    socket.on('error', () => {})
    if (open >= MOST_HANDSHAKES) {
      socket.destroy()
      this.#onRefused(host, new LinkError('LINK_CLOSED', `${host} has ${open} unfinished handshakes.`))
      return
    }
    this.#handshakes.set(host, open + 1)
    void this.accept(socket, `${host}:${socket.remotePort}`, 'direct').then(() => {
      const left = this.#handshakes.get(host)! - 1
      if (left === 0) this.#handshakes.delete(host)
      else this.#handshakes.set(host, left)
    })
  }

  async #secured(
    raw: Duplex,
    side: 'dialler' | 'acceptor',
    expected: string | null,
    name: string,
  ): Promise<SecureStream | null> {
    this.#unfinished.add(raw)
    try {
      const timeoutMs = this.limits.handshakeTimeoutMs
      return await secureStream(raw, { key: this.key, side, expected, timeoutMs, name })
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      this.#onRefused(name, error)
      return null
    } finally {
      this.#unfinished.delete(raw)
    }
  }

  #connected(
    secure: SecureStream,
    side: 'dialler' | 'acceptor',
    path: LinkPath,
    name: string,
  ): PeerConnection {
    const owner: ConnectionOwner = {
      onOpen: (channel, ring, proof) => {
        const transport = this.#transports.get(ring)
        if (transport === undefined) return 'unknown-ring'
        return transport.accept(connection, channel, proof, name) ?? 'unauthenticated'
      },
      isAccepted: (channel, proof) =>
        this.#opening.get(channel)?.isAccepted(connection, channel, proof) ?? false,
      onClosed: () => this.#connections.delete(connection),
    }
    const connection: PeerConnection = new PeerConnection(
      secure,
      { side, limits: this.limits, path, name },
      owner,
    )
    this.#connections.add(connection)
    return connection
  }

  #forget(text: string, made: Promise<PeerConnection>): void {
    if (this.#dialled.get(text) === made) this.#dialled.delete(text)
  }
}
