import type { Link, LinkHandlers, Transport } from '../link.ts'
import { LinkError } from '../link-error.ts'
import type { LinkIdentity } from '../link-identity.ts'
import { checkLinkLimits, type LinkLimits } from '../link-limits.ts'
import { ringKey } from '../ring-secret.ts'
import type { PeerChannel } from './peer-channel.ts'
import type { PeerConnection } from './peer-connection.ts'
import { PeerLink } from './peer-link.ts'
import type { PeerNode } from './peer-node.ts'
import { isSameProof, ringProof } from './ring-proof.ts'

export interface PeerTransportOptions {
  readonly identity: LinkIdentity
  /** Shared by everybody in the ring: who has it may be a part of it, whichever machine it is. */
  readonly secret: Uint8Array
  readonly limits: LinkLimits
  /** Told about every incoming link that did not come about. */
  readonly onRefused?: (from: string, error: LinkError) => void
}

/** Links of one ring over the connections of a {@link PeerNode}; made by `PeerNode.transport`. */
export class PeerTransport implements Transport {
  readonly #key: Buffer
  readonly #links = new Set<PeerLink>()
  #onLink: ((link: Link) => LinkHandlers) | null = null
  #stopped = false

  /** @throws RangeError if the secret is too short or a limit makes no sense */
  constructor(
    private readonly node: PeerNode,
    private readonly options: PeerTransportOptions,
  ) {
    checkLinkLimits(options.limits)
    this.#key = ringKey(options.secret, options.identity.ring)
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
    const links = [...this.#links]
    for (const link of links) link.close('this side stopped')
    await Promise.all(links.map(({ closed }) => closed))
    await this.node.release(this)
  }

  /** @returns proof of this end; `null` if the peer's is wrong */
  accept(connection: PeerConnection, channel: PeerChannel, proof: Buffer, from: string): Buffer | null {
    const { identity, limits, onRefused } = this.options
    if (!isSameProof(proof, this.#proof(connection, channel, 'open'))) {
      onRefused?.(from, new LinkError('LINK_UNAUTHENTICATED', `${from} does not know the ring's secret.`))
      return null
    }
    const onLink = this.#onLink
    if (onLink === null || this.#stopped) return null
    new PeerLink(channel, connection, identity, limits, 'acceptor', {
      onOpen: (link) => this.#register(link, onLink(link)),
      onRefused: (error) => onRefused?.(from, error),
    })
    return this.#proof(connection, channel, 'accept')
  }

  isAccepted(connection: PeerConnection, channel: PeerChannel, proof: Buffer): boolean {
    return isSameProof(proof, this.#proof(connection, channel, 'accept'))
  }

  #openLink(
    connection: PeerConnection,
    address: string,
    handlers: LinkHandlers,
    signal: AbortSignal | undefined,
  ): Promise<Link> {
    const { identity, limits } = this.options
    return new Promise((resolve, reject) => {
      const channel = this.node.open(connection, this, (id) =>
        ringProof(this.#key, connection.binding, this.ring, id, 'open'),
      )
      const abort = (): void => link.refuse(abandoned(address))
      const settle = (): void => signal?.removeEventListener('abort', abort)
      const link = new PeerLink(channel, connection, identity, limits, 'dialler', {
        onOpen: (self) => {
          settle()
          resolve(self)
          return this.#register(self, handlers)
        },
        onRefused: (error) => {
          settle()
          reject(error)
        },
      })
      signal?.addEventListener('abort', abort)
    })
  }

  #proof(connection: PeerConnection, channel: PeerChannel, side: 'open' | 'accept'): Buffer {
    return ringProof(this.#key, connection.binding, this.ring, channel.id, side)
  }

  #register(link: PeerLink, handlers: LinkHandlers): LinkHandlers {
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
