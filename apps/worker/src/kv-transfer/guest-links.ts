import { describeError, type Random } from '@deos/domain'
import type { KvIntroduce, KvMessage } from '@deos/protocol'
import { isKvMessage } from '@deos/protocol'
import {
  type Link,
  linkIdentity,
  type RingNetwork,
  ringTransport,
  SupervisedLink,
  type Timers,
  type Transport,
} from '@deos/transport'

export interface GuestLinksOptions {
  /** As whom this worker calls on others. */
  readonly worker: string
  /** With this worker's key: where machines prove theirs, a guest's key is made for it. */
  readonly network: RingNetwork
  readonly timers: Timers
  readonly random: Random
  readonly onNote: (level: 'info' | 'warn', text: string) => void
  readonly onUp: (peer: string) => void
  readonly onMessage: (peer: string, message: KvMessage) => void
  readonly onDown: (peer: string) => void
}

interface Visit {
  readonly introduction: KvIntroduce
  introducedMs: number
  readonly link: SupervisedLink
  readonly transport: Transport
}

const reconnect = { firstDelayMs: 50, maxDelayMs: 2_000 } as const
/** Who cannot be reached so long after its last introduction is called on no more: its ring may be gone for good. */
const PATIENCE_MS = 120_000
/** Workers of other rings that are called on at once; the one introduced longest ago makes room. */
const MAX_VISITS = 64

/** Links to workers of other rings, as introduced by gateways. They stay for the next session. */
export class GuestLinks {
  readonly #visits = new Map<string, Visit>()

  constructor(private readonly options: GuestLinksOptions) {}

  link(peer: string): Link | null {
    return this.#visits.get(peer)?.link.link ?? null
  }

  introduce(introduction: KvIntroduce): void {
    const { peer, ring, address, key } = introduction
    const { worker, network, timers, random, onNote } = this.options
    const known = this.#visits.get(peer)
    if (known !== undefined && sameDoor(known.introduction, introduction)) {
      known.introducedMs = timers.now()
      // The most recent stay longest.
      this.#visits.delete(peer)
      this.#visits.set(peer, known)
      return
    }
    if (known !== undefined) this.#end(peer, known)
    for (const [oldest, visit] of this.#visits) {
      if (this.#visits.size < MAX_VISITS) break
      this.#end(oldest, visit)
    }
    const transport = ringTransport(address, linkIdentity('guest', worker, ring), key, network)
    const link = new SupervisedLink({ address, ...reconnect }, transport, timers, random, {
      onUp: (open) => {
        if (open.peer === peer) this.options.onUp(peer)
        else open.close(`${peer} was expected here`)
      },
      onMessage: (message, open) => {
        if (open.peer !== peer) return
        if (isKvMessage(message)) this.options.onMessage(peer, message)
        else open.close(`a host sends no ${message.type}`)
      },
      onDown: () => this.options.onDown(peer),
      onRetry: (error, delayMs) => {
        const sinceMs = timers.now() - visit.introducedMs
        const said = `Guest link to ${peer}: ${describeError(error)}`
        if (sinceMs < PATIENCE_MS) {
          onNote('warn', `${said} Again in ${delayMs} ms.`)
          return
        }
        this.#end(peer, visit)
        onNote('info', `${said} Given up ${Math.round(sinceMs / 1000)} s after its last introduction.`)
      },
    })
    const visit: Visit = { introduction, introducedMs: timers.now(), link, transport }
    this.#visits.set(peer, visit)
    link.start()
  }

  async stop(): Promise<void> {
    const visits = [...this.#visits.values()]
    this.#visits.clear()
    for (const { link } of visits) link.stop()
    await Promise.all(visits.map(({ transport }) => transport.stop()))
  }

  #end(peer: string, { link, transport }: Visit): void {
    this.#visits.delete(peer)
    const wasUp = link.link !== null
    link.stop()
    void transport.stop()
    if (wasUp) this.options.onDown(peer)
  }
}

const sameDoor = (a: KvIntroduce, b: KvIntroduce): boolean =>
  a.ring === b.ring && a.address === b.address && a.key.every((byte, at) => byte === b.key[at])
