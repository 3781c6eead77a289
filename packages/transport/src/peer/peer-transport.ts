import type { Hello } from '@deos/protocol'
import type { Link, LinkHandlers, Transport } from '../link.ts'
import { LinkError } from '../link-error.ts'
import type { LinkIdentity } from '../link-identity.ts'
import { checkLinkLimits, type LinkLimits } from '../link-limits.ts'
import { guestKey, ringKey } from '../ring-secret.ts'
import type { PeerChannel } from './peer-channel.ts'
import type { PeerConnection } from './peer-connection.ts'
import { PeerLink } from './peer-link.ts'
import type { PeerNode } from './peer-node.ts'
import { formatDoor } from './ring-door.ts'
import { isSameProof, ringProof } from './ring-proof.ts'

export interface PeerTransportOptions {
  readonly identity: LinkIdentity
  /**
   * Shared by everybody in the ring: who has it may be a part of it, whichever machine it is. For a guest the key made
   * for it and its machine.
   */
  readonly secret: Uint8Array
  readonly limits: LinkLimits
  /** Told about every incoming link that did not come about. */
  readonly onRefused?: (from: string, error: LinkError) => void
}

/** What comes with the first word on a channel. */
export interface DoorCall {
  readonly proof: Buffer
  readonly from: string
  /** Who comes as a guest; `null` for members and gateways. */
  readonly guest: string | null
}

/** Links of one ring over the connections of a {@link PeerNode}; made by `PeerNode.transport`. */
export class PeerTransport implements Transport {
  readonly #key: Buffer
  readonly #links = new Set<PeerLink>()
  /** Those that wait for a hello. */
  readonly #pending = new Set<PeerLink>()
  #onLink: ((link: Link) => LinkHandlers) | null = null
  #stopped = false

  /** @throws RangeError if the secret is too short or a limit makes no sense */
  constructor(
    private readonly node: PeerNode,
    private readonly options: PeerTransportOptions,
  ) {
    checkLinkLimits(options.limits)
    const { identity, secret } = options
    this.#key = this.isGuest ? Buffer.from(secret) : ringKey(secret, identity.ring)
  }

  /** Whether it only calls on a ring to which it does not belong. */
  get isGuest(): boolean {
    return this.options.identity.role === 'guest'
  }

  /** What it asks for on the channels that it opens. */
  get door(): string {
    const { ring, peer } = this.options.identity
    return formatDoor({ ring, guest: this.isGuest ? peer : null })
  }

  get ring(): string {
    return this.options.identity.ring
  }

  async listen(address: string, onLink: (link: Link) => LinkHandlers): Promise<string> {
    this.#onLink = onLink
    return await this.node.listen(address, this)
  }

  async connect(address: string, handlers: LinkHandlers, signal?: AbortSignal): Promise<Link> {
    if (signal?.aborted || this.#stopped) throw abandoned(address)
    const connection = await unlessAborted(this.node.connection(address), address, signal)
    if (this.#stopped) throw abandoned(address)
    return await this.#openLink(connection, address, handlers, signal)
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    for (const link of [...this.#pending]) link.refuse(new LinkError('LINK_ABORTED', 'This side stopped.'))
    const links = [...this.#links]
    for (const link of links) link.close('this side stopped')
    await Promise.all(links.map(({ closed }) => closed))
    await this.node.release(this)
  }

  /** @returns proof of this end; `null` if the peer's is wrong */
  accept(connection: PeerConnection, channel: PeerChannel, { proof, from, guest }: DoorCall): Buffer | null {
    const { identity, secret, limits, onRefused } = this.options
    const { ring } = identity
    // A guest's key is good under its name, from its machine, and nowhere else.
    const key = guest === null ? this.#key : guestKey(secret, ring, guest, connection.peerKey)
    const door = formatDoor({ ring, guest })
    const { binding } = connection
    if (!isSameProof(proof, ringProof(key, binding, door, channel.id, 'open'))) {
      const matter = guest === null ? "does not know the ring's secret" : `is not the guest ${guest}`
      onRefused?.(from, new LinkError('LINK_UNAUTHENTICATED', `${from} ${matter}.`))
      return null
    }
    const onLink = this.#onLink
    if (onLink === null || this.#stopped) return null
    const link = new PeerLink(channel, connection, identity, limits, 'acceptor', {
      helloProblem: (hello) => guestProblem(hello, guest),
      onOpen: (self) => this.#register(self, onLink(self)),
      onRefused: (error) => {
        this.#pending.delete(link)
        onRefused?.(from, error)
      },
    })
    this.#pending.add(link)
    return ringProof(key, binding, door, channel.id, 'accept')
  }

  isAccepted(connection: PeerConnection, channel: PeerChannel, proof: Buffer): boolean {
    return isSameProof(proof, this.#proof(connection, channel.id, 'accept'))
  }

  #openLink(
    connection: PeerConnection,
    address: string,
    handlers: LinkHandlers,
    signal: AbortSignal | undefined,
  ): Promise<Link> {
    const { identity, limits } = this.options
    return new Promise((resolve, reject) => {
      const channel = this.node.open(connection, this, (id) => this.#proof(connection, id, 'open'))
      const abort = (): void => link.refuse(abandoned(address))
      const settle = (): void => signal?.removeEventListener('abort', abort)
      const link = new PeerLink(channel, connection, identity, limits, 'dialler', {
        onOpen: (self) => {
          settle()
          resolve(self)
          return this.#register(self, handlers)
        },
        onRefused: (error) => {
          this.#pending.delete(link)
          settle()
          reject(error)
        },
      })
      this.#pending.add(link)
      signal?.addEventListener('abort', abort)
    })
  }

  /** Of the channels that it opens. */
  #proof({ binding }: PeerConnection, channel: number, side: 'open' | 'accept'): Buffer {
    return ringProof(this.#key, binding, this.door, channel, side)
  }

  #register(link: PeerLink, handlers: LinkHandlers): LinkHandlers {
    this.#pending.delete(link)
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

/** Members are no guests, and a guest has no other name than the one that it proved. */
function guestProblem({ role, peer }: Hello, guest: string | null): LinkError | null {
  if ((role === 'guest' ? peer : null) === guest) return null
  const proven = guest === null ? 'a member' : `the guest ${guest}`
  return new LinkError(
    'LINK_UNAUTHENTICATED',
    `A peer authenticated as ${proven} calls itself ${role} ${peer}.`,
  )
}

const abandoned = (address: string): LinkError =>
  new LinkError('LINK_ABORTED', `Connecting to ${address} was given up.`)

/** Others may want the connection, too: it goes on coming about. */
function unlessAborted<T>(made: Promise<T>, address: string, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return made
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(abandoned(address))
    signal.addEventListener('abort', abort, { once: true })
    made.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
