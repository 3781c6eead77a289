import type { SessionId } from '@deos/domain'
import { crc32 } from './crc32.ts'
import { IncomingTransfer } from './incoming-transfer.ts'
import { Tombstones } from './tombstones.ts'
import type {
  KvAbort,
  KvAddress,
  KvBlock,
  KvCommit,
  KvMessage,
  KvOffer,
  KvPlan,
  KvVerdict,
} from './transfer-messages.ts'

export interface KvReceiverOptions {
  /** Bytes that one sender may have under way to here, all sessions together. */
  readonly windowBytes: number
  /** Transfers are given up so long after their coordinator could not be reached, unless it sends its plan again. */
  readonly orphanPatienceMs: number
  readonly maxTransfers: number
}

export const defaultReceiverOptions: KvReceiverOptions = {
  windowBytes: 8 * 1024 * 1024,
  orphanPatienceMs: 60_000,
  maxTransfers: 256,
}

export type ReceiverEvent =
  /** A link is there; it may have been there before. Only gateways may make plans. */
  | { readonly type: 'linked'; readonly peer: string; readonly role: 'gateway' | 'worker' }
  | { readonly type: 'unlinked'; readonly peer: string }
  | { readonly type: 'message'; readonly peer: string; readonly message: KvMessage }
  /**
   * Answers the effect `look-up`: blocks of this machine's store that are in the session's pages now, at the level wanted
   * or a better one.
   */
  | {
      readonly type: 'found'
      readonly session: SessionId
      readonly epoch: number
      readonly blocks: readonly (KvAddress & { readonly level: number })[]
    }
  /** Answers the effect `write`; not `stored` if the block cannot be decoded. */
  | ({
      readonly type: 'written'
      readonly session: SessionId
      readonly epoch: number
      readonly level: number
      readonly stored: boolean
    } & KvAddress)
  /** The session's pages are gone: its KV cannot be kept any longer. */
  | { readonly type: 'lost'; readonly session: SessionId; readonly reason: string }
  /** The session's pages hold what was promised, and cannot be written any more: nothing is refined from now on. */
  | { readonly type: 'closed'; readonly session: SessionId }
  | { readonly type: 'tick' }

export type ReceiverEffect =
  | { readonly type: 'send'; readonly peer: string; readonly message: KvMessage }
  | { readonly type: 'look-up'; readonly plan: KvPlan }
  /**
   * Decode the block, write it into the session's pages, and answer with `written`. Of the same place what was asked
   * last is better, and must be what stays.
   */
  | { readonly type: 'write'; readonly block: KvBlock }
  /** The sender sent more than it may, or what its plan does not name; close the link. */
  | { readonly type: 'close-link'; readonly peer: string; readonly reason: string }
  /** Nothing more is to be written for this session: forget the writes that were not begun. */
  | { readonly type: 'over'; readonly session: SessionId }

interface Sender {
  /** Received and not yet acknowledged. */
  bytes: number
  /** Blocks of a former link are still being written: what it may send is said when they are. */
  draining: boolean
}

/**
 * The receiving side of one stage, for all sessions and senders. A block counts once it is written; what has arrived
 * stays when links break, when senders are replaced and when plans change, as long as its content is the same. Asked by
 * the coordinator, it says how far all of its layers reach.
 */
export class KvReceiver {
  readonly #senders = new Map<string, Sender>()
  readonly #linked = new Map<string, 'gateway' | 'worker'>()
  readonly #transfers = new Map<SessionId, IncomingTransfer>()
  readonly #tombstones = new Tombstones(4096)
  /** Offers that came before their plan. */
  readonly #early = new Map<string, { readonly peer: string; readonly offer: KvOffer }>()

  constructor(private readonly options: KvReceiverOptions = defaultReceiverOptions) {}

  get open(): number {
    return this.#transfers.size
  }

  /** The plan in force; `null` if the session is not handed over. */
  planOf(session: SessionId): KvPlan | null {
    return this.#transfers.get(session)?.plan ?? null
  }

  /** Bytes of a sender that arrived and are not acknowledged. */
  bytesHeld(peer: string): number {
    return this.#senders.get(peer)?.bytes ?? 0
  }

  /** @param nowMs - monotonic; never less than in the event before */
  onEvent(event: ReceiverEvent, nowMs: number): readonly ReceiverEffect[] {
    const out: ReceiverEffect[] = []
    switch (event.type) {
      case 'linked':
        this.#linked.set(event.peer, event.role)
        this.#senders.set(event.peer, {
          bytes: this.bytesHeld(event.peer),
          draining: this.bytesHeld(event.peer) > 0,
        })
        break
      case 'unlinked':
        this.#linked.delete(event.peer)
        if (this.bytesHeld(event.peer) === 0) this.#senders.delete(event.peer)
        for (const transfer of this.#transfers.values()) transfer.offers.delete(event.peer)
        for (const [key, { peer }] of this.#early) if (peer === event.peer) this.#early.delete(key)
        for (const transfer of this.#transfers.values()) {
          if (transfer.coordinator === event.peer) transfer.orphanedMs = nowMs
        }
        break
      case 'message':
        this.#message(event.peer, event.message, out)
        break
      case 'found': {
        const transfer = this.#transfers.get(event.session)
        if (transfer?.plan.epoch !== event.epoch) break
        transfer.found(event.blocks)
        this.#answerOffers(transfer, out)
        this.#vote(transfer, out)
        break
      }
      case 'written':
        this.#written(event, out)
        break
      case 'lost':
        this.#lost(event.session, event.reason, out)
        break
      case 'closed':
        this.#closed(event.session, out)
        break
      case 'tick':
        for (const transfer of [...this.#transfers.values()]) {
          if (nowMs - transfer.orphanedMs > this.options.orphanPatienceMs) {
            this.#end(transfer, transfer.plan.epoch, out)
          }
        }
    }
    return out
  }

  #message(peer: string, message: KvMessage, out: ReceiverEffect[]): void {
    const role = this.#linked.get(peer)
    if (role === undefined) return
    switch (message.type) {
      case 'kv-plan':
        if (message.role === 'receive' && role === 'gateway') this.#plan(peer, message, out)
        break
      case 'kv-offer':
        this.#offer(peer, message, out)
        break
      case 'kv-block':
        this.#block(peer, message, out)
        break
      case 'kv-commit':
        this.#commit(peer, message, out)
        break
      case 'kv-abort':
        this.#abort(peer, message, out)
    }
  }

  #plan(peer: string, plan: KvPlan, out: ReceiverEffect[]): void {
    const { session, epoch } = plan
    const former = this.#transfers.get(session)
    if (this.#tombstones.over(session, epoch)) return
    if (former !== undefined && former.coordinator !== peer) return
    if (former !== undefined && epoch <= former.plan.epoch) {
      // The coordinator is back, and still wants it.
      if (epoch === former.plan.epoch) former.orphanedMs = Number.POSITIVE_INFINITY
      return
    }
    if (former === undefined && this.#transfers.size >= this.options.maxTransfers) {
      const reason = `${this.#transfers.size} sessions are being taken over already.`
      const message: KvMessage = { type: 'kv-abort', epoch, session, outcome: 'keep', reason, bytes: 0 }
      out.push({ type: 'send', peer, message })
      return
    }
    const transfer = new IncomingTransfer(plan, peer, former ?? null)
    this.#transfers.set(session, transfer)
    if (former !== undefined) this.#abandon(former, out)
    for (const [key, early] of this.#early) {
      if (early.offer.session !== session) continue
      this.#early.delete(key)
      if (early.offer.epoch === epoch) this.#takeOffer(transfer, early.peer, early.offer)
    }
    out.push({ type: 'look-up', plan })
  }

  #offer(peer: string, offer: KvOffer, out: ReceiverEffect[]): void {
    const transfer = this.#transfers.get(offer.session)
    if (transfer === undefined || transfer.plan.epoch < offer.epoch) {
      if (this.#tombstones.over(offer.session, offer.epoch)) return
      if (this.#early.size >= this.options.maxTransfers) {
        for (const oldest of this.#early.keys()) {
          this.#early.delete(oldest)
          break
        }
      }
      this.#early.set(JSON.stringify([peer, offer.session]), { peer, offer })
      return
    }
    if (transfer.plan.epoch > offer.epoch) return
    this.#takeOffer(transfer, peer, offer)
    this.#answerOffers(transfer, out)
  }

  #takeOffer(transfer: IncomingTransfer, peer: string, offer: KvOffer): void {
    const { layers } = offer
    const route = transfer.route(peer)
    if (route === null || route.layers.first !== layers.first || route.layers.end !== layers.end) return
    const known = transfer.offers.get(peer)
    if (known === undefined || known < offer.offer) transfer.offers.set(peer, offer.offer)
  }

  /** Tells senders what need not travel, once this is known and what they sent before is dealt with. */
  #answerOffers(transfer: IncomingTransfer, out: ReceiverEffect[]): void {
    if (!transfer.lookedUp || transfer.sealed) return
    const { session, epoch } = transfer.plan
    for (const [peer, offer] of transfer.offers) {
      if (this.#senders.get(peer)?.draining === true) continue
      transfer.offers.delete(peer)
      const have = transfer.have(peer)
      if (have === null || !this.#linked.has(peer)) continue
      const { windowBytes } = this.options
      const message: KvMessage = {
        type: 'kv-have',
        ...{ epoch, session, offer, windowBytes, count: have.size, bits: have.bytes },
      }
      out.push({ type: 'send', peer, message })
    }
  }

  #block(peer: string, block: KvBlock, out: ReceiverEffect[]): void {
    const transfer = this.#transfers.get(block.session)
    if (transfer?.plan.epoch !== block.epoch) return
    // The decode side may compute what is missing at any moment: nothing may be written over that.
    if (transfer.sealed) return
    const problem = transfer.judge(peer, block)
    if (problem !== null) {
      out.push({ type: 'close-link', peer, reason: problem })
      return
    }
    const { block: index, layer, part, level } = block
    const verdict = { block: index, layer, part, level }
    if (transfer.holds(block)) {
      this.#ack(transfer, peer, { ...verdict, stored: true }, out)
      return
    }
    // Its answer is on its way; if it cannot be written, the sender hears of that once.
    if (transfer.pending(block)) return
    if (crc32(block.bytes) !== block.checksum) {
      this.#ack(transfer, peer, { ...verdict, stored: false }, out)
      return
    }
    const sender = this.#senders.get(peer) ?? { bytes: 0, draining: false }
    const { windowBytes } = this.options
    // Twice, since a sender whose plan changed does not know what of the former one is still being written.
    if (sender.bytes > 0 && sender.bytes + block.bytes.length > 2 * windowBytes) {
      const reason = `more than twice the ${windowBytes} bytes allowed were under way`
      out.push({ type: 'close-link', peer, reason })
      return
    }
    sender.bytes += block.bytes.length
    this.#senders.set(peer, sender)
    transfer.writing(peer, block)
    out.push({ type: 'write', block })
  }

  #written(event: ReceiverEvent & { readonly type: 'written' }, out: ReceiverEffect[]): void {
    const { session, block, layer, part, level, stored } = event
    const transfer = this.#transfers.get(session)
    const done = transfer?.written(event, stored)
    if (transfer === undefined || done === undefined || done === null) return
    const { peer, bytes } = done
    this.#free(peer, bytes)
    this.#ack(transfer, peer, { block, layer, part, level, stored }, out)
    // Unasked, since it may be over before everything is refined.
    if (stored && transfer.reports()) this.#promise(transfer, transfer.plan.shape.length, true, out)
    if (this.#senders.get(peer)?.bytes === 0) this.#drained(peer, out)
    this.#vote(transfer, out)
  }

  #free(peer: string, bytes: number): void {
    const sender = this.#senders.get(peer)
    if (sender !== undefined) sender.bytes -= bytes
  }

  #drained(peer: string, out: ReceiverEffect[]): void {
    const sender = this.#senders.get(peer)
    if (sender?.draining !== true) return
    sender.draining = false
    for (const transfer of this.#transfers.values()) {
      if (transfer.offers.has(peer)) this.#answerOffers(transfer, out)
    }
  }

  #ack(transfer: IncomingTransfer, peer: string, verdict: KvVerdict, out: ReceiverEffect[]): void {
    if (!this.#linked.has(peer)) return
    const { session, epoch } = transfer.plan
    out.push({ type: 'send', peer, message: { type: 'kv-ack', epoch, session, verdicts: [verdict] } })
  }

  #commit(peer: string, message: KvCommit, out: ReceiverEffect[]): void {
    const transfer = this.#transfers.get(message.session)
    if (transfer?.coordinator !== peer || transfer.plan.epoch !== message.epoch) return
    if (message.levels.length !== transfer.plan.levels.length) return
    transfer.commit = message
    transfer.orphanedMs = Number.POSITIVE_INFINITY
    this.#vote(transfer, out)
  }

  /** Answers the coordinator's last question as soon as that can be. */
  #vote(transfer: IncomingTransfer, out: ReceiverEffect[]): void {
    const { commit } = transfer
    if (commit === null || !transfer.lookedUp) return
    const position = transfer.prefix(commit.levels)
    if (!commit.partial && position < transfer.plan.shape.length) {
      if (transfer.closed) this.#refuse(transfer, 'Its pages cannot be written any more.', out)
      return
    }
    // What is being written would only be lost to a question about what is there.
    if (commit.partial && transfer.pendingCount > 0) return
    transfer.commit = null
    if (commit.partial) transfer.sealed = true
    else transfer.refining = true
    this.#promise(transfer, position, commit.partial, out)
  }

  #promise(transfer: IncomingTransfer, position: number, partial: boolean, out: ReceiverEffect[]): void {
    const { session, epoch } = transfer.plan
    const { receivedBytes: bytes, coordinator: peer } = transfer
    const coarsest = transfer.coarsest(position)
    const message: KvMessage = { type: 'kv-committed', epoch, session, position, partial, coarsest, bytes }
    out.push({ type: 'send', peer, message })
  }

  #abort(peer: string, message: KvAbort, out: ReceiverEffect[]): void {
    const transfer = this.#transfers.get(message.session)
    if (transfer !== undefined) {
      if (transfer.coordinator !== peer || message.epoch < transfer.plan.epoch) return
      this.#end(transfer, message.epoch, out)
    }
    const bytes = transfer?.receivedBytes ?? 0
    out.push({ type: 'send', peer, message: { ...message, bytes } })
  }

  #closed(session: SessionId, out: ReceiverEffect[]): void {
    const transfer = this.#transfers.get(session)
    if (transfer === undefined) return
    transfer.sealed = true
    transfer.closed = true
    this.#vote(transfer, out)
  }

  #refuse(transfer: IncomingTransfer, reason: string, out: ReceiverEffect[]): void {
    const { session, epoch } = transfer.plan
    const { receivedBytes: bytes, coordinator: peer } = transfer
    transfer.commit = null
    const message: KvMessage = { type: 'kv-abort', epoch, session, outcome: 'keep', reason, bytes }
    out.push({ type: 'send', peer, message })
  }

  #lost(session: SessionId, reason: string, out: ReceiverEffect[]): void {
    const transfer = this.#transfers.get(session)
    if (transfer === undefined) return
    const { epoch } = transfer.plan
    const message: KvMessage = { type: 'kv-abort', epoch, session, outcome: 'keep', reason, bytes: 0 }
    out.push({ type: 'send', peer: transfer.coordinator, message })
    this.#end(transfer, epoch, out)
  }

  #end(transfer: IncomingTransfer, epoch: number, out: ReceiverEffect[]): void {
    const { session } = transfer.plan
    this.#transfers.delete(session)
    this.#tombstones.bury(session, epoch)
    this.#abandon(transfer, out)
    out.push({ type: 'over', session })
  }

  /** Whatever of it is still being written is nobody's business any more. */
  #abandon(transfer: IncomingTransfer, out: ReceiverEffect[]): void {
    for (const { peer, bytes } of transfer.abandon()) {
      this.#free(peer, bytes)
      if (this.#senders.get(peer)?.bytes === 0) this.#drained(peer, out)
    }
  }
}
