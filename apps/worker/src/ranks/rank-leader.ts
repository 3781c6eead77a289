import type { RankMessage, RingCapacity } from '@deos/protocol'
import type { Link, LinkHandlers } from '@deos/transport'
import type { MaskedEngine } from '../constrained-engine.ts'
import { encodeRequest, readCapacity, sendRank, smallest } from './rank-frames.ts'
import { RankedEngine } from './ranked-engine.ts'

export interface RankLeaderHandlers {
  /** All ranks are loaded and linked. */
  onReady(engine: RankedEngine): void
  /** One is lost; its engine and those of the others are started again. */
  onLost(reason: string): void
}

/** The engine of rank 0. */
export interface FirstEngine extends MaskedEngine {
  hand(from: number, data: Uint8Array): void
}

interface Peer {
  readonly link: Link
  /** Null while its engine is not ready. */
  capacity: RingCapacity | null
}

/**
 * Rank 0 of a stage: waits until all ranks are there, and passes on what they have for each other. Ranks live and die
 * together, because what one holds of a session is worth nothing without the others.
 */
export class RankLeader {
  private readonly peers = new Map<number, Peer>()
  private local: FirstEngine | null = null
  private epoch = 0
  private together = false

  /** @param ranks - of the stage, this one included */
  constructor(
    private readonly ranks: number,
    private readonly handlers: RankLeaderHandlers,
  ) {}

  accept(link: Link): LinkHandlers {
    let rank: number | null = null
    return {
      onMessage: (message) => {
        if (message.type !== 'rank') link.close(`a rank sends no ${message.type}`)
        else if (message.kind === 'ready') rank = this.ready(message, link)
        else if (rank !== null && this.peers.get(rank)?.link === link) this.receive(rank, message)
      },
      onClose: (reason) => {
        if (rank === null || this.peers.get(rank)?.link !== link) return
        this.peers.delete(rank)
        this.end(`Rank ${rank} is gone: ${reason}.`)
      },
    }
  }

  attach(engine: FirstEngine): void {
    this.local = engine
    this.begin()
  }

  /** The engine of rank 0 is gone. */
  detach(reason: string): void {
    this.local = null
    this.end(reason)
  }

  /** What the engine of rank 0 has for others. */
  hand(to: readonly number[], data: Uint8Array): void {
    this.pass(0, to, data)
  }

  private ready({ from, data }: RankMessage, link: Link): number | null {
    const capacity = readCapacity(data)
    if (capacity === null || from < 1 || from >= this.ranks) {
      link.close(`there is no rank ${from} of ${this.ranks} with that capacity`)
      return null
    }
    const older = this.peers.get(from)
    this.peers.set(from, { link, capacity })
    if (older && older.link !== link) older.link.close('the rank connected again')
    if (this.together) this.end(`Rank ${from} began anew.`)
    // Its engine is new already.
    this.peers.set(from, { link, capacity })
    this.begin()
    return from
  }

  private receive(rank: number, { kind, epoch, to, reason, data }: RankMessage): void {
    if (kind === 'values' && this.together && epoch === this.epoch) this.pass(rank, to, data)
    if (kind === 'lost') {
      this.peers.get(rank)!.capacity = null
      this.end(`Rank ${rank}: ${reason}`)
    }
  }

  private pass(from: number, to: readonly number[], data: Uint8Array): void {
    if (!this.together) return
    const { epoch } = this
    for (const rank of to) {
      if (rank === 0) this.local?.hand(from, data)
      else this.send(rank, { epoch, kind: 'values', from, to: [rank], data })
    }
  }

  private begin(): void {
    const capacities = [...this.peers.values()].map(({ capacity }) => capacity)
    const known = capacities.filter((capacity) => capacity !== null)
    if (this.together || this.local === null || known.length < this.ranks - 1) return
    this.together = true
    this.epoch += 1
    const { epoch } = this
    for (const rank of this.peers.keys()) this.send(rank, { epoch, kind: 'begin', from: 0 })
    const engine = new RankedEngine(
      this.local,
      smallest([this.local.capacity, ...known]),
      (request, payload) => {
        if (!this.together || this.epoch !== epoch) return
        const data = encodeRequest(request, payload)
        for (const rank of this.peers.keys()) this.send(rank, { epoch, kind: 'request', from: 0, data })
      },
    )
    this.handlers.onReady(engine)
  }

  private end(reason: string): void {
    if (!this.together) return
    this.together = false
    const { epoch } = this
    for (const [rank, peer] of this.peers) {
      peer.capacity = null
      this.send(rank, { epoch, kind: 'lost', from: 0, reason: reason.slice(0, 1000) })
    }
    // Computing, it would wait for the others for ever; another is on its way.
    void this.local?.stop()
    this.local = null
    this.handlers.onLost(reason)
  }

  private send(rank: number, message: Parameters<typeof sendRank>[1]): void {
    const peer = this.peers.get(rank)
    if (peer) sendRank(peer.link, message)
  }
}
