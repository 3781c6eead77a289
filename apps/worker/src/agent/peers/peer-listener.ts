import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { DomainError, describeError } from '@deos/domain'
import { formatTcpAddress, pskTls } from '@deos/transport'
import { FrameChannel, LONGEST_PAYLOAD } from './frame-channel.ts'
import { type PeerAnswer, type PeerRequest, peerRequestSchema } from './peer-messages.ts'
import { findTicketProblem, ticketKey } from './peer-ticket.ts'

/** Nobody can reach this machine where it was told to listen. */
export class ListenError extends DomainError {
  readonly code = 'AGENT_LISTEN'
  readonly retriable = false
}

/** Whose tickets are good here; null before this machine has joined. */
export interface PeerIdentity {
  readonly machineId: string
  readonly peerSecret: Uint8Array
}

export interface PeerListenerOptions {
  readonly host: string
  readonly port: number
}

export interface PeerListenerParts {
  readonly identity: () => PeerIdentity | null
  /** Pieces this machine holds; throws if some are not there. */
  readonly readBlob: (digest: string, range: { first: number; end: number }) => AsyncIterable<Uint8Array>
  readonly now: () => number
  readonly onRefused: (from: string, problem: string) => void
}

const HANDSHAKE_MS = 10_000
const IDLE_MS = 30_000
const MOST_CONNECTIONS = 64
/** Of a blob in one request. */
const LONGEST_READ = 64 * 2 ** 20

/** Where other machines measure the link to this one and fetch pieces from it, each with a ticket of the control plane. */
export class PeerListener {
  readonly #server: Server
  readonly #sockets = new Set<Duplex>()

  constructor(
    private readonly options: PeerListenerOptions,
    private readonly parts: PeerListenerParts,
  ) {
    this.#server = createServer({
      ...pskTls,
      handshakeTimeout: HANDSHAKE_MS,
      pskCallback: (socket, ticket) => this.#keyFor(socket, ticket),
    })
    this.#server.maxConnections = MOST_CONNECTIONS
    this.#server.on('connection', (socket: Duplex) => {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.#server.on('tlsClientError', (error, socket) => {
      parts.onRefused(remoteOf(socket), error.message)
      socket.destroy()
    })
    this.#server.on('secureConnection', (socket) => void this.#serve(socket))
  }

  /** @returns the address it listens on @throws ListenError */
  start(): Promise<string> {
    const { host, port } = this.options
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => {
        reject(
          new ListenError(
            `Nothing can listen on ${formatTcpAddress({ host, port })}: ${cause.message}.`,
            'Choose another --listen or --link-port; 0 takes any free port.',
            { cause },
          ),
        )
      })
      this.#server.listen(port, host, () => {
        const bound = this.#server.address()
        resolve(formatTcpAddress({ host, port: typeof bound === 'object' && bound ? bound.port : port }))
      })
    })
  }

  /** A stream that came over a relay instead. */
  accept(stream: Duplex): void {
    this.#server.emit('connection', stream)
  }

  stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    return closed
  }

  /** Null refuses. */
  #keyFor(socket: TLSSocket, ticket: string): Buffer | null {
    const identity = this.parts.identity()
    const problem =
      identity === null
        ? 'this machine has not joined'
        : findTicketProblem(ticket, identity.machineId, this.parts.now())
    if (identity !== null && problem === null) return ticketKey(identity.peerSecret, ticket)
    this.parts.onRefused(remoteOf(socket), `its ticket is not good: ${problem}`)
    return null
  }

  async #serve(socket: TLSSocket): Promise<void> {
    socket.setNoDelay(true)
    socket.setTimeout(IDLE_MS, () => socket.destroy())
    const channel = new FrameChannel(socket)
    try {
      for (let frame = await channel.read(); frame; frame = await channel.read()) {
        const { data: request } = peerRequestSchema.safeParse(frame.header)
        if (request === undefined) break
        await this.#answer(request, channel)
      }
    } catch (error) {
      // Whoever asked has gone, or talks nonsense.
      if (!(error instanceof DomainError)) throw error
    } finally {
      channel.close()
    }
  }

  async #answer(request: PeerRequest, channel: FrameChannel): Promise<void> {
    const send = (answer: PeerAnswer, payload?: Uint8Array) => channel.write(answer, payload)
    if (request.type !== 'read') return send({ type: 'done' })
    const { digest, ...range } = request
    const length = range.end - range.first
    if (length <= 0 || length > LONGEST_READ) {
      return send({ type: 'problem', message: `A part of ${length} bytes cannot be had.` })
    }
    const reading = this.parts.readBlob(digest, range)[Symbol.asyncIterator]()
    for (;;) {
      const next = await reading.next().catch((error: unknown) => describeError(error))
      if (typeof next === 'string') return send({ type: 'problem', message: next.slice(0, 2000) })
      if (next.done === true) return send({ type: 'done' })
      for (let at = 0; at < next.value.length; at += LONGEST_PAYLOAD) {
        await send({ type: 'bytes' }, next.value.subarray(at, at + LONGEST_PAYLOAD))
      }
    }
  }
}

const remoteOf = ({ remoteAddress, remotePort }: Socket): string =>
  remoteAddress === undefined ? 'a peer that left' : `${remoteAddress}:${remotePort}`
