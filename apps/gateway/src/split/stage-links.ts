import { describeError, ringId } from '@deos/domain'
import { isKvMessage, type KvMessage } from '@deos/protocol'
import { systemIds, systemRandom } from '@deos/service'
import {
  guestKey,
  linkIdentity,
  namesMachine,
  parsePeerAddress,
  type RingNetwork,
  ringTransport,
  SupervisedLink,
  systemTimers,
  type Transport,
} from '@deos/transport'

export interface StageLinksOptions {
  readonly ring: string
  readonly secret: Uint8Array
  /** Of all stages. */
  readonly stages: readonly string[]
  readonly network: RingNetwork
  readonly onNote: (level: 'info' | 'warn', text: string) => void
}

/** What somebody who hands a session over hears of workers. */
export interface StageListener {
  onUp(peer: string): void
  onDown(peer: string): void
  onMessage(peer: string, message: KvMessage): void
}

const reconnect = { firstDelayMs: 50, maxDelayMs: 2_000 } as const

/** A gateway's links to all stages of a ring, for hand-overs; workers go by the names they prove. */
export class StageLinks {
  readonly #transport: Transport
  readonly #links: readonly { readonly address: string; readonly link: SupervisedLink }[]
  readonly #listeners = new Set<StageListener>()

  constructor(private readonly options: StageLinksOptions) {
    const { ring, secret, stages, network } = options
    const identity = linkIdentity('gateway', systemIds.next('handover'), ringId(ring))
    this.#transport = ringTransport(stages[0] ?? '', identity, secret, network)
    this.#links = stages.map((address) => ({ address, link: this.#supervise(address) }))
  }

  start(): void {
    for (const { link } of this.#links) link.start()
  }

  async stop(): Promise<void> {
    for (const { link } of this.#links) link.stop()
    await this.#transport.stop()
  }

  listen(listener: StageListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Workers that can be reached now. */
  get peers(): readonly string[] {
    return this.#links.flatMap(({ link }) => link.link?.peer ?? [])
  }

  send(peer: string, message: KvMessage): void {
    this.#links.find(({ link }) => link.link?.peer === peer)?.link.link?.send(message)
  }

  /** Where a worker listens; `null` while it cannot be reached. */
  addressOf(peer: string): string | null {
    return this.#links.find(({ link }) => link.link?.peer === peer)?.address ?? null
  }

  /**
   * Where a worker takes guests, and the key that lets one in under its name.
   *
   * @param from - where the guest listens: at a keyed address it is let in from that machine only
   * @returns `null` while the worker cannot be reached, or if it asks for a machine's key and the guest has none
   */
  door(
    peer: string,
    guest: string,
    from: string,
  ): { readonly address: string; readonly key: Uint8Array } | null {
    const address = this.addressOf(peer)
    if (address === null) return null
    const machine = namesMachine(address) ? parsePeerAddress(from).key : null
    if (namesMachine(address) && machine === null) return null
    const { ring, secret } = this.options
    return { address, key: guestKey(secret, ringId(ring), guest, machine) }
  }

  #supervise(address: string): SupervisedLink {
    let peer = ''
    return new SupervisedLink({ address, ...reconnect }, this.#transport, systemTimers, systemRandom, {
      onUp: (link) => {
        peer = link.peer
        for (const listener of this.#listeners) listener.onUp(peer)
      },
      onMessage: (message) => {
        // A leader also says how its ring is, as it does to everybody.
        if (!isKvMessage(message)) return
        for (const listener of this.#listeners) listener.onMessage(peer, message)
      },
      onDown: () => {
        for (const listener of this.#listeners) listener.onDown(peer)
      },
      onRetry: (error, delayMs) =>
        this.options.onNote('warn', `Stage at ${address}: ${describeError(error)} Again in ${delayMs} ms.`),
    })
  }
}
