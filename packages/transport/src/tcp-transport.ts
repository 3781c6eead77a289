import { randomBytes } from 'node:crypto'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import type { Hello } from '@deos/protocol'
import { HostQuota } from './host-quota.ts'
import { connectThrough, type HttpProxy } from './http-proxy.ts'
import type { Link, LinkHandlers, Transport } from './link.ts'
import { LinkError, type LinkErrorCode, tooManyUnproven } from './link-error.ts'
import { findHelloProblem, type LinkIdentity } from './link-identity.ts'
import { checkLinkLimits, defaultLinkLimits, type LinkLimits } from './link-limits.ts'
import { GUEST_PREFIX, guestKey, pskTls, ringKey } from './ring-secret.ts'
import { formatTcpAddress, isLoopback, parseTcpAddress, type TcpAddress } from './tcp-address.ts'
import { TcpLink } from './tcp-link.ts'

export interface TcpTransportOptions {
  readonly identity: LinkIdentity
  /**
   * Shared by everybody in the ring, or a guest's own key; both ends prove it in the TLS handshake. `null` sends everything in the clear
   * and unproven, and works on loopback addresses only: for measuring what TLS costs.
   */
  readonly secret: Uint8Array | null
  readonly limits?: LinkLimits
  /** Dials everything through it; `null` and absent dial directly. */
  readonly proxy?: HttpProxy | null
  /** Told about every incoming link that did not come about. */
  readonly onRefused?: (from: string, error: LinkError) => void
}

/** Links over TCP with TLS under the ring's pre-shared key. One transport serves one ring. */
export class TcpTransport implements Transport {
  readonly #identity: LinkIdentity
  readonly #limits: LinkLimits
  readonly #key: Buffer | null
  readonly #secret: Uint8Array | null
  readonly #proxy: HttpProxy | null
  readonly #onRefused: (from: string, error: LinkError) => void
  readonly #servers = new Set<Server>()
  readonly #sockets = new Set<Socket>()
  readonly #unproven: HostQuota
  /** By the name of the connection, what to call when it has proved itself. */
  readonly #provers = new Map<string, () => void>()
  readonly #links = new Set<TcpLink>()
  readonly #stopping = new AbortController()
  #stopped = false

  /** @throws RangeError if the secret is too short or a limit makes no sense */
  constructor(options: TcpTransportOptions) {
    this.#identity = options.identity
    this.#limits = options.limits ?? defaultLinkLimits
    checkLinkLimits(this.#limits)
    this.#unproven = new HostQuota(this.#limits.maxUnprovenPerAddress)
    const { secret, identity } = options
    // A guest was given a key made for it; members derive theirs.
    if (secret === null) this.#key = null
    else this.#key = identity.role === 'guest' ? Buffer.from(secret) : ringKey(secret, identity.ring)
    this.#secret = secret
    this.#proxy = options.proxy ?? null
    this.#onRefused = options.onRefused ?? (() => {})
  }

  listen(address: string, onLink: (link: Link) => LinkHandlers): Promise<string> {
    return new Promise((resolve, reject) => {
      const { host, port } = this.#parse(address)
      const server = this.#createServer(onLink)
      server.maxConnections = this.#limits.maxLinks
      server.once('error', (cause) => {
        reject(new LinkError('LINK_ADDRESS', `Cannot listen on ${address}: ${cause.message}.`, { cause }))
      })
      server.listen(port, host, () => {
        this.#servers.add(server)
        const bound = server.address()
        resolve(formatTcpAddress({ host, port: typeof bound === 'object' && bound ? bound.port : port }))
      })
    })
  }

  connect(address: string, handlers: LinkHandlers, signal?: AbortSignal): Promise<Link> {
    return new Promise((resolve, reject) => {
      const target = this.#parse(address)
      if (signal?.aborted || this.#stopped) throw abandoned(address)
      const dial = (through: Socket | null): void => {
        this.#dialTo(address, target, through, handlers, signal, resolve, reject)
      }
      if (this.#proxy === null) return dial(null)
      const signals = [this.#stopping.signal, ...(signal === undefined ? [] : [signal])]
      const limits = { timeoutMs: this.#limits.handshakeTimeoutMs, signal: AbortSignal.any(signals) }
      connectThrough(this.#proxy, target, limits).then(dial, reject)
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#stopping.abort()
    const closed = [...this.#servers].map((server) => new Promise((resolve) => server.close(resolve)))
    const links = [...this.#links]
    for (const link of links) link.close('this side stopped')
    await Promise.all(links.map((link) => link.closed))
    // What is left are unfinished handshakes.
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }

  /** Guests have no guests: only members know the secret. */
  #guestKey(guest: string): Uint8Array {
    const { role, ring } = this.#identity
    if (role === 'guest' || this.#secret === null) return randomBytes(32)
    return guestKey(this.#secret, ring, guest)
  }

  #parse(address: string): TcpAddress {
    const parsed = parseTcpAddress(address)
    if (this.#key === null && !isLoopback(parsed.host)) {
      throw new LinkError(
        'LINK_ADDRESS',
        `${address} is not a loopback address; links beyond it need a secret.`,
      )
    }
    return parsed
  }

  #createServer(onLink: (link: Link) => LinkHandlers): Server {
    const key = this.#key
    const accept =
      key === null
        ? (socket: Socket): void => this.#accept(socket, null, onLink)
        : this.#acceptTls(key, onLink)
    return createServer((socket) => {
      if (this.#admit(socket)) accept(socket)
    })
  }

  /** One address cannot keep the others out with connections on which nothing is proved. */
  #admit(socket: Socket): boolean {
    this.#track(socket)
    const name = connectionName(socket)
    const host = socket.remoteAddress ?? 'a peer that left'
    const proved = this.#unproven.take(host)
    if (proved === null) {
      socket.destroy()
      this.#onRefused(describeRemote(socket), tooManyUnproven(host, this.#unproven.of(host)))
      return false
    }
    this.#provers.set(name, proved)
    socket.once('close', () => {
      proved()
      if (this.#provers.get(name) === proved) this.#provers.delete(name)
    })
    return true
  }

  #acceptTls(key: Buffer, onLink: (link: Link) => LinkHandlers): (socket: Socket) => void {
    const identities = new WeakMap<object, string>()
    const server = createTlsServer({
      ...pskTls,
      handshakeTimeout: this.#limits.handshakeTimeoutMs,
      pskCallback: (socket, identity) => {
        identities.set(socket, identity)
        if (!identity.startsWith(GUEST_PREFIX)) return key
        return Buffer.from(this.#guestKey(identity.slice(GUEST_PREFIX.length)))
      },
    })
    server.on('secureConnection', (socket) => this.#accept(socket, identities.get(socket) ?? '', onLink))
    server.on('tlsClientError', (cause, socket) => {
      const from = describeRemote(socket)
      this.#onRefused(
        from,
        new LinkError('LINK_UNAUTHENTICATED', `TLS with ${from} failed: ${cause.message}.`, { cause }),
      )
      socket.destroy()
    })
    // It listens to nothing: connections are handed to it.
    return (socket) => void server.emit('connection', socket)
  }

  /** @param proven - identity from the TLS handshake; `null` without TLS */
  #accept(socket: Socket, proven: string | null, onLink: (link: Link) => LinkHandlers): void {
    this.#track(socket)
    const from = describeRemote(socket)
    const name = connectionName(socket)
    const link = new TcpLink(socket, this.#identity, this.#limits, {
      onHello: (hello, self) => {
        clearTimeout(timer)
        // The peer learns our version and ring even if we refuse, and can say what is wrong.
        self.sendHello()
        this.#checkHello(hello, proven)
      },
      onOpen: (self) => {
        this.#provers.get(name)?.()
        return this.#register(self, onLink(self))
      },
      onRefused: (error) => {
        clearTimeout(timer)
        this.#onRefused(from, error)
      },
    })
    const timer = setTimeout(() => {
      link.refuse(
        new LinkError('LINK_TIMEOUT', `${from} sent no hello within ${this.#limits.handshakeTimeoutMs} ms.`),
      )
    }, this.#limits.handshakeTimeoutMs)
  }

  #checkHello(hello: Hello, proven: string | null): void {
    const problem = findHelloProblem(this.#identity, hello)
    if (problem !== null) throw problem
    if (proven !== null && proven !== provenName(hello.role, hello.peer)) {
      throw new LinkError(
        'LINK_UNAUTHENTICATED',
        `A peer authenticated as ${proven} calls itself ${hello.peer}.`,
      )
    }
  }

  #dialTo(
    address: string,
    target: TcpAddress,
    through: Socket | null,
    handlers: LinkHandlers,
    signal: AbortSignal | undefined,
    resolve: (link: Link) => void,
    reject: (error: LinkError) => void,
  ): void {
    const { socket, securedBy } = this.#createSocket(target, through)
    this.#track(socket)
    let link: TcpLink | null = null
    const settle = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
    const fail = (error: LinkError): void => {
      settle()
      reject(error)
    }
    const giveUp = (error: LinkError): void => {
      fail(error)
      if (link === null) socket.destroy()
      else link.refuse(error)
    }
    const abort = (): void => giveUp(abandoned(address))
    const timer = setTimeout(() => {
      giveUp(
        new LinkError(
          'LINK_TIMEOUT',
          `${address} did not answer within ${this.#limits.handshakeTimeoutMs} ms.`,
        ),
      )
    }, this.#limits.handshakeTimeoutMs)
    signal?.addEventListener('abort', abort)

    let failure: LinkError | null = null
    const onError = (cause: NodeJS.ErrnoException): void => {
      failure = connectError(address, cause)
    }
    const onClose = (): void => {
      fail(failure ?? new LinkError('LINK_UNAUTHENTICATED', `${address} hung up during the TLS handshake.`))
    }
    socket.on('error', onError)
    socket.once('close', onClose)
    const onSecured = (): void => {
      socket.off('error', onError)
      socket.off('close', onClose)
      link = new TcpLink(socket, this.#identity, this.#limits, {
        onHello: (hello) => {
          const problem = findHelloProblem(this.#identity, hello)
          if (problem !== null) throw problem
        },
        onOpen: (self) => {
          settle()
          resolve(self)
          return this.#register(self, handlers)
        },
        onRefused: fail,
      })
      link.sendHello()
    }
    if (securedBy === null) {
      onSecured()
      socket.resume()
    } else socket.once(securedBy, onSecured)
  }

  /** @returns `securedBy` is the event after which the socket may be used; null if it may at once */
  #createSocket(
    target: TcpAddress,
    through: Socket | null,
  ): { readonly socket: Socket; readonly securedBy: string | null } {
    const key = this.#key
    if (key === null && through !== null) return { socket: through, securedBy: null }
    if (key === null) return { socket: createConnection(target), securedBy: 'connect' }
    const socket: TLSSocket = connectTls({
      ...(through === null ? target : { socket: through }),
      ...pskTls,
      // The pre-shared key authenticates the server; it shows no certificate to check.
      checkServerIdentity: () => undefined,
      pskCallback: () => ({ psk: key, identity: provenName(this.#identity.role, this.#identity.peer) }),
    })
    return { socket, securedBy: 'secureConnect' }
  }

  #track(socket: Socket): void {
    if (this.#sockets.has(socket)) return
    this.#sockets.add(socket)
    // Without a listener a late reset would end the process.
    socket.on('error', () => {})
    socket.once('close', () => this.#sockets.delete(socket))
  }

  #register(link: TcpLink, handlers: LinkHandlers): LinkHandlers {
    this.#links.add(link)
    return {
      onMessage: (message, self) => handlers.onMessage(message, self),
      onClose: (reason, self) => {
        this.#links.delete(link)
        handlers.onClose(reason, self)
      },
    }
  }
}

/** What a peer calls itself in the TLS handshake; a guest's key opens doors under no other name. */
const provenName = (role: LinkIdentity['role'], peer: string): string =>
  role === 'guest' ? `${GUEST_PREFIX}${peer}` : peer

const abandoned = (address: string): LinkError =>
  new LinkError('LINK_ABORTED', `Connecting to ${address} was given up.`)

const describeRemote = (socket: Socket): string =>
  socket.remoteAddress === undefined ? 'a peer that left' : `${socket.remoteAddress}:${socket.remotePort}`

const connectionName = ({ localPort, remoteAddress, remotePort }: Socket): string =>
  `${localPort} ${remoteAddress} ${remotePort}`

const codeBySystemError: Readonly<Record<string, LinkErrorCode>> = {
  ECONNREFUSED: 'LINK_REFUSED',
  ETIMEDOUT: 'LINK_TIMEOUT',
  EHOSTUNREACH: 'LINK_UNREACHABLE',
  ENETUNREACH: 'LINK_UNREACHABLE',
  ENOTFOUND: 'LINK_UNREACHABLE',
  EAI_AGAIN: 'LINK_UNREACHABLE',
}

function connectError(address: string, cause: NodeJS.ErrnoException): LinkError {
  const code = codeBySystemError[cause.code ?? '']
  if (code !== undefined)
    return new LinkError(code, `${address} cannot be reached (${cause.code}).`, { cause })
  return new LinkError('LINK_UNAUTHENTICATED', `TLS with ${address} failed: ${cause.message}.`, { cause })
}
