import type { Random } from '@deos/domain'
import type { Message, RankMessage, RingCapacity } from '@deos/protocol'
import { defaultHostTiming, type Link, SupervisedLink, type Timers, type Transport } from '@deos/transport'
import { capacityBytes, decodeRequest, type SharedRequest, sendRank } from './rank-frames.ts'

/** The engine of a rank that is not the first. */
export interface HelpingEngine {
  readonly capacity: RingCapacity
  hand(from: number, data: Uint8Array): void
  forward(request: SharedRequest, payload: Uint8Array): void
  stop(): Promise<void>
}

export interface RankFollowerParts {
  readonly transport: Transport
  readonly timers: Timers
  readonly random: Random
  readonly onNote: (text: string) => void
}

/** A rank that is not the first: does what rank 0 asks, over a link that it keeps up itself. */
export class RankFollower {
  private supervised: SupervisedLink | null = null
  private engine: HelpingEngine | null = null
  /** Of the ranks it began with; 0 while it waits. */
  private epoch = 0

  constructor(
    private readonly rank: number,
    private readonly parts: RankFollowerParts,
  ) {}

  /** Dials rank 0. */
  connectNext(address: string): void {
    this.supervised?.stop()
    const { transport, timers, random, onNote } = this.parts
    const options = { address, ...defaultHostTiming.reconnect }
    this.supervised = new SupervisedLink(options, transport, timers, random, {
      onUp: () => this.report(),
      onMessage: (message, link) => this.receive(message, link),
      onDown: (reason) => this.giveUp(`The link to rank 0 ended: ${reason}.`),
      onRetry: (error, delayMs) => onNote(`Rank 0 at ${address}: ${String(error)} Again in ${delayMs} ms.`),
    })
    this.supervised.start()
  }

  attach(engine: HelpingEngine): void {
    this.engine = engine
    this.report()
  }

  /** The engine is gone; another is on its way. */
  detach(reason: string): void {
    this.engine = null
    this.tell(reason)
  }

  /** The engine failed at something, and the others wait for it. */
  fail(reason: string): void {
    this.tell(reason)
    this.dropEngine()
  }

  hand(to: readonly number[], data: Uint8Array): void {
    const link = this.supervised?.link
    const { epoch, rank } = this
    if (link && epoch > 0) sendRank(link, { epoch, kind: 'values', from: rank, to, data })
  }

  stop(): void {
    this.supervised?.stop()
  }

  private report(): void {
    const link = this.supervised?.link
    if (!link || !this.engine || this.epoch > 0) return
    sendRank(link, { epoch: 0, kind: 'ready', from: this.rank, data: capacityBytes(this.engine.capacity) })
  }

  private tell(reason: string): void {
    const link = this.supervised?.link
    const { epoch, rank } = this
    this.epoch = 0
    if (link && epoch > 0) sendRank(link, { epoch, kind: 'lost', from: rank, reason: reason.slice(0, 1000) })
  }

  private giveUp(reason: string): void {
    if (this.epoch === 0) return
    this.parts.onNote(reason)
    this.epoch = 0
    this.dropEngine()
  }

  /** Waiting for the others it would never end; another is on its way. */
  private dropEngine(): void {
    void this.engine?.stop()
    this.engine = null
  }

  private receive(message: Message, link: Link): void {
    if (message.type !== 'rank') {
      link.close(`rank 0 sends no ${message.type}`)
      return
    }
    if (message.kind === 'begin' && this.engine) this.epoch = message.epoch
    else if (message.epoch === this.epoch && this.epoch > 0) this.obey(message, link)
  }

  private obey({ kind, from, reason, data }: RankMessage, link: Link): void {
    if (kind === 'values') this.engine?.hand(from, data)
    if (kind === 'lost') this.giveUp(reason)
    if (kind !== 'request') return
    const request = decodeRequest(data)
    if (request === null) link.close('rank 0 asked for what no rank does')
    else this.engine?.forward(request.message, request.payload)
  }
}
