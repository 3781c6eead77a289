import { randomBytes } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Dial, dialTcp } from '../dial.ts'
import { HostQuota } from '../host-quota.ts'
import { LinkError, tooManyUnproven } from '../link-error.ts'
import type { LinkPath } from '../link-estimates.ts'
import { checkLinkLimits, defaultLinkLimits, type LinkLimits } from '../link-limits.ts'
import { punch } from '../relay/punch.ts'
import { askCircuit, type Circuit, RelaySeat } from '../relay/relay-client.ts'
import { formatTcpAddress, parseTcpAddress } from '../tcp-address.ts'
import { systemTimers } from '../timers.ts'
import type { MachineKey } from './machine-key.ts'
import { formatPeerAddress, type PeerAddress, parsePeerAddress } from './peer-address.ts'
import type { PeerChannel } from './peer-channel.ts'
import { type ConnectionOwner, PeerConnection } from './peer-connection.ts'
import { PeerTransport, type PeerTransportOptions } from './peer-transport.ts'
import { parseDoor } from './ring-door.ts'
import { type SecureStream, secureStream } from './secure-stream.ts'

export interface PeerNodeOptions {
  readonly key: MachineKey
  readonly limits?: LinkLimits
  readonly dial?: Dial
  /** Whether to look for a direct way when a connection goes over a relay; by default it does. */
  readonly punches?: boolean
  readonly onNote?: (text: string) => void
  /** Told about every incoming connection that did not come about. */
  readonly onRefused?: (from: string, error: LinkError) => void
}

/** Unguessable: who does not know it cannot even ask. */
export const newCircuitName = (): string => randomBytes(18).toString('base64url')

/** About finding a better way. */
const MOST_WORDS = 2

/**
 * This process as other machines see it: one key, and one connection to each address however many rings' links go over
 * it. Closes all of them when its last transport is stopped.
 */
export class PeerNode {
  readonly key: MachineKey
  readonly limits: LinkLimits
  readonly dial: Dial
  readonly #onRefused: (from: string, error: LinkError) => void
  readonly #seats = new Set<RelaySeat>()
  readonly #servers = new Map<string, Server>()
  readonly #transports = new Set<PeerTransport>()
  /** By ring, those that take links. */
  readonly #listening = new Map<string, PeerTransport>()
  readonly #dialled = new Map<string, Promise<PeerConnection>>()
  readonly #connections = new Set<PeerConnection>()
  readonly #opening = new WeakMap<PeerChannel, PeerTransport>()
  /** Connections on which no ring's secret was proved yet: any key gets as far as that. */
  readonly #unproven: HostQuota
  readonly #unfinished = new Set<Duplex>()
  #stopping = new AbortController()

  /** @throws RangeError if a limit makes no sense */
  constructor(private readonly options: PeerNodeOptions) {
    this.key = options.key
    this.limits = options.limits ?? defaultLinkLimits
    this.dial = options.dial ?? dialTcp
    this.#onRefused = options.onRefused ?? (() => {})
    checkLinkLimits(this.limits)
    this.#unproven = new HostQuota(this.limits.maxUnprovenPerAddress)
  }

  /** @throws RangeError if the secret is too short */
  transport(options: Omit<PeerTransportOptions, 'limits'> & { readonly limits?: LinkLimits }): PeerTransport {
    const transport = new PeerTransport(this, { limits: this.limits, ...options })
    this.#transports.add(transport)
    return transport
  }

  /** Connections open at the moment. */
  get connections(): readonly PeerConnection[] {
    return [...this.#connections]
  }

  /** @returns the address with this node's key @throws LinkError if it cannot be had, or another takes the ring's links */
  listen(address: string, transport: PeerTransport): Promise<string> {
    const { ring, isGuest } = transport
    if (isGuest)
      return Promise.reject(new LinkError('LINK_ADDRESS', 'A guest of a ring takes no links for it.'))
    if ((this.#listening.get(ring) ?? transport) !== transport)
      return Promise.reject(new LinkError('LINK_ADDRESS', `Ring ${ring} is listened for here already.`))
    this.#listening.set(ring, transport)
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

  /**
   * Waits at a relay for who wants this process; for machines that nobody can dial.
   *
   * @param relay - `host:port;key=…`
   * @param circuit - name to wait under, of whoever is to be found at one address for longer than it runs
   * @returns the address under which this process is reached there
   * @throws LinkError if the relay cannot be reached or refuses
   */
  async waitAt(relay: string, circuit = newCircuitName()): Promise<string> {
    await this.#seat(relay, circuit).start()
    return this.addressAt(relay, circuit)
  }

  /** As `waitAt`, but goes on trying if the relay is away or does not know this machine yet. */
  beginWaitingAt(relay: string, circuit: string): string {
    this.#seat(relay, circuit).begin()
    return this.addressAt(relay, circuit)
  }

  addressAt(relay: string, circuit: string): string {
    return formatPeerAddress({ at: parsePeerAddress(relay).at, key: this.key.publicKey, circuit })
  }

  #seat(relay: string, circuit: string): RelaySeat {
    const { key, dial, limits, options } = this
    const onNote = options.onNote ?? (() => {})
    const seat = new RelaySeat({
      ...{ relay, circuit, key, dial, onNote, random: { next: () => Math.random() } },
      timeoutMs: limits.handshakeTimeoutMs,
      onCircuit: (made) => void this.#acceptCircuit(made),
    })
    this.#seats.add(seat)
    return seat
  }

  /** The connection to the address, made if there is none. @throws LinkError */
  async connection(text: string): Promise<PeerConnection> {
    const address = parsePeerAddress(text)
    const known = this.#dialled.get(text)
    if (known !== undefined) {
      const connection = await known
      if (connection.isOpen) return connection
      this.#forget(text, known)
    }
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
    const channel = connection.open(transport.door, prove)
    this.#opening.set(channel, transport)
    return channel
  }

  async release(transport: PeerTransport): Promise<void> {
    this.#transports.delete(transport)
    if (this.#listening.get(transport.ring) === transport) this.#listening.delete(transport.ring)
    if (this.#transports.size > 0) return
    const closed = [...this.#servers.values()].map((server) => new Promise((done) => server.close(done)))
    this.#servers.clear()
    for (const seat of this.#seats) seat.stop()
    this.#seats.clear()
    const connections = [...this.#connections]
    for (const connection of connections) connection.finish('this side stopped')
    this.#stopping.abort()
    this.#stopping = new AbortController()
    for (const raw of this.#unfinished) raw.destroy()
    await Promise.all([...closed, ...connections.map((connection) => connection.closed)])
  }

  async #dialAddress(address: PeerAddress, text: string): Promise<PeerConnection> {
    if (address.key === null)
      throw new LinkError('LINK_ADDRESS', `${text} does not say which machine is there.`)
    const { handshakeTimeoutMs: timeoutMs } = this.limits
    const { signal } = this.#stopping
    const circuit =
      address.circuit === null
        ? null
        : await askCircuit(this.dial, address.at, address.circuit, timeoutMs, signal)
    const raw = circuit?.stream ?? (await this.dial(address.at, { timeoutMs, signal }))
    this.#unfinished.add(raw)
    try {
      const { key } = this
      const who = { expected: address.key, name: address.at }
      const secure = await secureStream(raw, { key, side: 'dialler', timeoutMs, ...who })
      const connection = this.#connected(secure, 'dialler', circuit, address.at)
      if (circuit !== null && this.options.punches !== false) connection.punch(Buffer.from('ask'))
      return connection
    } finally {
      this.#unfinished.delete(raw)
    }
  }

  #incoming(socket: Socket): void {
    const host = socket.remoteAddress ?? 'a peer that left'
    socket.on('error', () => {})
    const proved = this.#unproven.take(host)
    if (proved === null) {
      socket.destroy()
      this.#onRefused(host, tooManyUnproven(host, this.#unproven.of(host)))
      return
    }
    void this.#accept(socket, null, `${host}:${socket.remotePort}`).then(proved)
  }

  async #acceptCircuit(circuit: Circuit): Promise<void> {
    await this.#accept(circuit.stream, circuit, circuit.peerAt)
  }

  async #accept(raw: Duplex, circuit: Circuit | null, from: string): Promise<void> {
    const secure = await this.#secured(raw, 'acceptor', null, from)
    if (secure !== null) await this.#connected(secure, 'acceptor', circuit, from).proven
  }

  /** The relay goes on carrying the connection until another way is there. */
  async #findWay(connection: PeerConnection, side: 'dialler' | 'acceptor', circuit: Circuit): Promise<void> {
    if (circuit.localPort === null || this.options.punches === false || !connection.isOpen) return
    const over = new AbortController()
    void connection.closed.then(() => over.abort())
    const raw = await punch(
      this.dial,
      circuit.peerAt,
      circuit.localPort,
      () => systemTimers.now(),
      AbortSignal.any([this.#stopping.signal, over.signal]),
    )
    if (raw === null) {
      if (!connection.isOpen) return
      this.options.onNote?.(`No direct way to ${circuit.peerAt} was found; the relay is used on.`)
      return
    }
    const secure = await this.#secured(raw, side, connection.peerKey, circuit.peerAt)
    if (secure === null) return
    this.options.onNote?.(`A direct way to ${circuit.peerAt} was found.`)
    connection.move(secure, 'punched')
  }

  /** Both ends begin at about the same time: the one half a round trip after it has told the other. */
  #punched(word: string, connection: PeerConnection, side: 'dialler' | 'acceptor', circuit: Circuit): void {
    if (side === 'acceptor') {
      if (word === 'ask') connection.punch(Buffer.from('yes'))
      else if (word === 'go') void this.#findWay(connection, side, circuit)
    } else if (word === 'yes') {
      connection.punch(Buffer.from('go'))
      const halfMs = (connection.estimates.roundTripMs ?? 0) / 2
      systemTimers.after(halfMs, () => void this.#findWay(connection, side, circuit))
    }
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
    circuit: Circuit | null,
    name: string,
  ): PeerConnection {
    let words = 0
    const path: LinkPath = circuit === null ? 'direct' : 'relayed'
    const owner: ConnectionOwner = {
      onOpen: (channel, ring, proof) => {
        const door = parseDoor(ring)
        const transport = this.#listening.get(door.ring)
        if (transport === undefined) return 'unknown-ring'
        return (
          transport.accept(connection, channel, { proof, from: name, guest: door.guest }) ?? 'unauthenticated'
        )
      },
      isAccepted: (channel, proof) =>
        this.#opening.get(channel)?.isAccepted(connection, channel, proof) ?? false,
      onClosed: () => this.#connections.delete(connection),
      onPunch: (payload) => {
        words += 1
        if (circuit !== null && words <= MOST_WORDS)
          this.#punched(payload.toString('latin1'), connection, side, circuit)
      },
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
