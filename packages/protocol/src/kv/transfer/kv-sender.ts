import type { LayerRange, SessionId } from '@deos/domain'
import { crc32 } from './crc32.ts'
import { type Candidate, OutgoingRoute } from './outgoing-route.ts'
import { Tombstones } from './tombstones.ts'
import type {
  KvAbort,
  KvAck,
  KvAddress,
  KvCommitted,
  KvGuardRow,
  KvHave,
  KvMessage,
  KvPlan,
} from './transfer-messages.ts'

export interface KvSenderOptions {
  /** Bytes under way on one link, those being encoded included; the receiver's own limit holds if it is lower. */
  readonly maxBytesInFlight: number
  /** Of those, bytes that only refine: they are all that a block that somebody waits for may find before it. */
  readonly maxRefiningBytes: number
  /** A block refused so often ends the transfer: it will not get better. */
  readonly maxRefusals: number
  /** After so long without an answer an offer is made again. */
  readonly offerRetryMs: number
  /** Transfers are given up so long after their coordinator could not be reached, unless it sends its plan again. */
  readonly orphanPatienceMs: number
  readonly maxTransfers: number
}

export const defaultSenderOptions: KvSenderOptions = {
  maxBytesInFlight: 8 * 1024 * 1024,
  maxRefiningBytes: 1024 * 1024,
  maxRefusals: 3,
  offerRetryMs: 2_000,
  orphanPatienceMs: 60_000,
  maxTransfers: 256,
}

export type SenderEvent =
  /** A link is there; it may have been there before. Only gateways may make plans. */
  | { readonly type: 'linked'; readonly peer: string; readonly role: 'gateway' | 'worker' }
  | { readonly type: 'unlinked'; readonly peer: string }
  | { readonly type: 'message'; readonly peer: string; readonly message: KvMessage }
  /** The KV of positions `[0, end)` of these layers is there to be read. */
  | {
      readonly type: 'computed'
      readonly session: SessionId
      readonly layers: LayerRange
      readonly end: number
    }
  /** Answers the effect `encode`, with its session, epoch, peer and offer. */
  | ({
      readonly type: 'encoded'
      readonly session: SessionId
      readonly epoch: number
      readonly peer: string
      readonly offer: number
      readonly level: number
      readonly basis: number
      readonly bytes: Uint8Array
    } & KvAddress)
  /** The last prompt tokens' logits, where the head is. */
  | { readonly type: 'guard'; readonly session: SessionId; readonly rows: readonly KvGuardRow[] }
  | { readonly type: 'tick' }

export type SenderEffect =
  | { readonly type: 'send'; readonly peer: string; readonly message: KvMessage }
  | ({
      readonly type: 'encode'
      readonly session: SessionId
      readonly epoch: number
      readonly peer: string
      readonly offer: number
      readonly level: number
    } & KvAddress)
  /** A transfer begins: say with `computed` what is there already, and from then on what comes. */
  | { readonly type: 'begin'; readonly session: SessionId }
  /** The decode side has the session, and needs no more of it: its pages may go. */
  | { readonly type: 'release'; readonly session: SessionId }
  /** The hand-over is off. `keep`: this ring goes on with the session. */
  | { readonly type: 'aborted'; readonly session: SessionId; readonly outcome: 'keep' | 'drop' }

interface Transfer {
  readonly plan: KvPlan
  readonly coordinator: string
  readonly deadlineMs: number
  readonly arrival: number
  readonly routes: readonly OutgoingRoute[]
  /** Positions computed, by layer. */
  readonly ready: Map<number, number>
  guard: readonly KvGuardRow[] | null
  /** The decode side owns the session; only refinements are still sent. */
  committed: boolean
  /** It is told to refine what is there. */
  refines: boolean
  orphanedMs: number
}

interface Link {
  readonly role: 'gateway' | 'worker'
  windowBytes: number
}

/**
 * The sending side of one stage, for all sessions and links. Blocks leave in the order in which they are needed: base
 * before enhancement, then by deadline, then by position and layer. What a link may carry at once is bounded, and a
 * block is encoded only when it may leave, so that memory is bounded too.
 *
 * The stage keeps the KV until the effect `release`: until then it can send everything again, to whomever. What refines
 * leaves only when the decode side has the session, since until then it may still be judged as it came.
 */
export class KvSender {
  readonly #links = new Map<string, Link>()
  readonly #transfers = new Map<SessionId, Transfer>()
  readonly #tombstones = new Tombstones(4096)
  #arrivals = 0

  constructor(private readonly options: KvSenderOptions = defaultSenderOptions) {}

  /** Sessions whose KV must stay. */
  get open(): number {
    return this.#transfers.size
  }

  /** The plan in force; `null` if the session is not handed over. */
  planOf(session: SessionId): KvPlan | null {
    return this.#transfers.get(session)?.plan ?? null
  }

  /** Bytes under way to a receiver, those being encoded counted as large as they may become. */
  bytesInFlight(peer: string): number {
    let bytes = 0
    for (const { routes } of this.#transfers.values()) {
      for (const route of routes) if (route.peer === peer) bytes += route.bytesInFlight
    }
    return bytes
  }

  #refiningBytesInFlight(peer: string): number {
    let bytes = 0
    for (const { routes } of this.#transfers.values()) {
      for (const route of routes) if (route.peer === peer) bytes += route.refiningBytesInFlight
    }
    return bytes
  }

  /**
   * @param nowMs - monotonic; never less than in the event before
   * @throws RangeError if an encoded block is larger than its plan allows
   */
  onEvent(event: SenderEvent, nowMs: number): readonly SenderEffect[] {
    const out: SenderEffect[] = []
    switch (event.type) {
      case 'linked':
        this.#linked(event.peer, event.role, nowMs, out)
        break
      case 'unlinked':
        this.#unlinked(event.peer, nowMs)
        break
      case 'message':
        this.#message(event.peer, event.message, nowMs, out)
        break
      case 'computed':
        this.#computed(event.session, event.layers, event.end)
        break
      case 'encoded':
        this.#encoded(event, out)
        break
      case 'guard':
        this.#guard(event.session, event.rows, out)
        break
      case 'tick':
        this.#tick(nowMs, out)
    }
    this.#pump(out)
    this.#finish(out)
    return out
  }

  #linked(peer: string, role: Link['role'], nowMs: number, out: SenderEffect[]): void {
    this.#links.set(peer, { role, windowBytes: this.options.maxBytesInFlight })
    for (const transfer of this.#transfers.values()) {
      if (transfer.coordinator === peer) this.#sendGuard(transfer, out)
      for (const route of transfer.routes) if (route.peer === peer) this.#offer(transfer, route, nowMs, out)
    }
  }

  #unlinked(peer: string, nowMs: number): void {
    this.#links.delete(peer)
    for (const transfer of this.#transfers.values()) {
      if (transfer.coordinator === peer) transfer.orphanedMs = nowMs
      for (const route of transfer.routes) if (route.peer === peer) route.reset()
    }
  }

  #offer(transfer: Transfer, route: OutgoingRoute, nowMs: number, out: SenderEffect[]): void {
    route.reset()
    route.offer += 1
    this.#sendOffer(transfer, route, nowMs, out)
  }

  #sendOffer(transfer: Transfer, route: OutgoingRoute, nowMs: number, out: SenderEffect[]): void {
    route.offeredMs = nowMs
    const { epoch, session } = transfer.plan
    const { layers } = route.slice
    const message: KvMessage = { type: 'kv-offer', epoch, session, offer: route.offer, layers }
    out.push({ type: 'send', peer: route.peer, message })
  }

  #message(peer: string, message: KvMessage, nowMs: number, out: SenderEffect[]): void {
    const link = this.#links.get(peer)
    if (link === undefined) return
    switch (message.type) {
      case 'kv-plan':
        if (message.role === 'send' && link.role === 'gateway') this.#plan(peer, message, nowMs, out)
        break
      case 'kv-have':
        this.#have(peer, message)
        break
      case 'kv-ack':
        this.#ack(peer, message, out)
        break
      case 'kv-committed':
        this.#committed(peer, message, out)
        break
      case 'kv-abort':
        this.#abort(peer, message, out)
    }
  }

  #plan(peer: string, plan: KvPlan, nowMs: number, out: SenderEffect[]): void {
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
      const reason = `${this.#transfers.size} sessions are being handed over already.`
      const message: KvMessage = { type: 'kv-abort', epoch, session, outcome: 'keep', reason, bytes: 0 }
      out.push({ type: 'send', peer, message })
      return
    }
    const transfer: Transfer = {
      plan,
      coordinator: peer,
      deadlineMs: nowMs + plan.deadlineMs,
      arrival: former?.arrival ?? this.#arrivals++,
      routes: plan.routes.map((route) => new OutgoingRoute(plan, route)),
      ready: former?.ready ?? new Map(),
      guard: former?.guard ?? null,
      committed: false,
      refines: false,
      orphanedMs: Number.POSITIVE_INFINITY,
    }
    this.#transfers.set(session, transfer)
    if (former === undefined) out.push({ type: 'begin', session })
    this.#sendGuard(transfer, out)
    for (const route of transfer.routes) {
      if (this.#links.has(route.peer)) this.#offer(transfer, route, nowMs, out)
    }
  }

  /** The transfer and its route to a receiver, if the message belongs to the plan in force. */
  #route(peer: string, { session, epoch }: KvHave | KvAck): readonly [Transfer, OutgoingRoute] | null {
    const transfer = this.#transfers.get(session)
    if (transfer?.plan.epoch !== epoch) return null
    const route = transfer.routes.find((candidate) => candidate.peer === peer)
    return route === undefined ? null : [transfer, route]
  }

  #have(peer: string, message: KvHave): void {
    const found = this.#route(peer, message)
    const link = this.#links.get(peer)
    if (found === null || link === undefined || !found[1].accept(message)) return
    link.windowBytes = Math.min(this.options.maxBytesInFlight, message.windowBytes)
  }

  #ack(peer: string, message: KvAck, out: SenderEffect[]): void {
    const found = this.#route(peer, message)
    if (found === null) return
    const [transfer, route] = found
    for (const verdict of message.verdicts) {
      const refusals = route.settle(verdict)
      if (refusals < this.options.maxRefusals) continue
      const { block, layer, level } = verdict
      const reason = `Block ${block} of layer ${layer} at level ${level} was refused ${refusals} times.`
      const { session, epoch } = message
      const abort: KvMessage = { type: 'kv-abort', epoch, session, outcome: 'keep', reason, bytes: 0 }
      out.push({ type: 'send', peer: transfer.coordinator, message: abort })
      return
    }
  }

  /** Answered even if nobody remembers the session: whoever asks again lost the answer. */
  #committed(peer: string, message: KvCommitted, out: SenderEffect[]): void {
    const transfer = this.#transfers.get(message.session)
    if (transfer !== undefined) {
      if (transfer.coordinator !== peer || message.epoch < transfer.plan.epoch) return
      transfer.committed = true
      transfer.orphanedMs = Number.POSITIVE_INFINITY
      transfer.refines = transfer.plan.enhanceTo !== null && !message.partial
    }
    out.push({ type: 'send', peer, message })
  }

  #abort(peer: string, message: KvAbort, out: SenderEffect[]): void {
    const transfer = this.#transfers.get(message.session)
    if (transfer !== undefined) {
      if (transfer.coordinator !== peer || message.epoch < transfer.plan.epoch) return
      this.#end(transfer, message.epoch)
      const outcome = transfer.committed ? 'drop' : message.outcome
      out.push({ type: 'aborted', session: message.session, outcome })
    }
    out.push({ type: 'send', peer, message })
  }

  #computed(session: SessionId, layers: LayerRange, end: number): void {
    const transfer = this.#transfers.get(session)
    if (transfer === undefined) return
    for (let layer = layers.first; layer < layers.end; layer++) {
      transfer.ready.set(layer, Math.max(transfer.ready.get(layer) ?? 0, end))
    }
  }

  #encoded(event: SenderEvent & { readonly type: 'encoded' }, out: SenderEffect[]): void {
    const { session, epoch, peer, offer, level, basis, bytes } = event
    const transfer = this.#transfers.get(session)
    if (transfer?.plan.epoch !== epoch) return
    const route = transfer.routes.find((candidate) => candidate.peer === peer)
    if (route?.offer !== offer) return
    const { maxBlockBytes } = transfer.plan
    if (bytes.length > maxBlockBytes) {
      throw new RangeError(`A block of ${bytes.length} bytes exceeds the ${maxBlockBytes} of its plan.`)
    }
    const { block, layer, part } = event
    if (!route.encoded(route.slice.index({ block, layer, part }), level, bytes.length)) return
    const checksum = crc32(bytes)
    const message: KvMessage = {
      type: 'kv-block',
      ...{ epoch, session, block, layer, part, level, basis, checksum, bytes },
    }
    out.push({ type: 'send', peer, message })
  }

  #guard(session: SessionId, rows: readonly KvGuardRow[], out: SenderEffect[]): void {
    const transfer = this.#transfers.get(session)
    if (transfer === undefined) return
    transfer.guard = rows
    this.#sendGuard(transfer, out)
  }

  #sendGuard({ plan, guard, coordinator }: Transfer, out: SenderEffect[]): void {
    if (guard === null || !this.#links.has(coordinator)) return
    const { epoch, session } = plan
    out.push({ type: 'send', peer: coordinator, message: { type: 'kv-guard', epoch, session, rows: guard } })
  }

  #tick(nowMs: number, out: SenderEffect[]): void {
    const { offerRetryMs, orphanPatienceMs } = this.options
    for (const transfer of [...this.#transfers.values()]) {
      if (nowMs - transfer.orphanedMs > orphanPatienceMs) {
        this.#end(transfer, transfer.plan.epoch)
        out.push({ type: 'aborted', session: transfer.plan.session, outcome: 'drop' })
        continue
      }
      for (const route of transfer.routes) {
        if (route.answered || !this.#links.has(route.peer)) continue
        // The same offer: behind blocks of others the answer to the first may take longer than that.
        if (nowMs - route.offeredMs >= offerRetryMs) this.#sendOffer(transfer, route, nowMs, out)
      }
    }
  }

  #pump(out: SenderEffect[]): void {
    for (const [peer, { windowBytes }] of this.#links) {
      let left = windowBytes - this.bytesInFlight(peer)
      let refining = this.#refiningBytesInFlight(peer)
      for (;;) {
        const next = this.#next(peer)
        if (next === null) break
        const { transfer, route, candidate } = next
        const { session, epoch, maxBlockBytes } = transfer.plan
        // A block larger than the window travels alone.
        if (maxBlockBytes > left && left < windowBytes) break
        if (candidate.pass === 'enhancement') {
          if (refining > 0 && refining + maxBlockBytes > this.options.maxRefiningBytes) break
          refining += maxBlockBytes
        }
        left -= maxBlockBytes
        route.begin(candidate, maxBlockBytes)
        const address = route.slice.address(candidate.index)
        const { level } = candidate
        out.push({ type: 'encode', session, epoch, peer, offer: route.offer, level, ...address })
        if (left <= 0) break
      }
    }
  }

  /** The most urgent block for a receiver. */
  #next(peer: string): { transfer: Transfer; route: OutgoingRoute; candidate: Candidate } | null {
    let best: { transfer: Transfer; route: OutgoingRoute; candidate: Candidate } | null = null
    for (const transfer of this.#transfers.values()) {
      for (const route of transfer.routes) {
        if (route.peer !== peer) continue
        const candidate = route.next(transfer.ready, transfer.refines)
        if (candidate === null) continue
        if (best === null || precedes(transfer, candidate, best.transfer, best.candidate)) {
          best = { transfer, route, candidate }
        }
      }
    }
    return best
  }

  /** Lets go of what was handed over and has nothing left to refine. */
  #finish(out: SenderEffect[]): void {
    for (const transfer of [...this.#transfers.values()]) {
      if (!transfer.committed) continue
      const refining = transfer.refines && transfer.orphanedMs === Number.POSITIVE_INFINITY
      if (refining && transfer.routes.some((route) => !route.done)) continue
      this.#end(transfer, transfer.plan.epoch)
      out.push({ type: 'release', session: transfer.plan.session })
    }
  }

  #end({ plan }: Transfer, epoch: number): void {
    this.#transfers.delete(plan.session)
    this.#tombstones.bury(plan.session, epoch)
  }
}

function precedes(a: Transfer, first: Candidate, b: Transfer, second: Candidate): boolean {
  if (first.pass !== second.pass) return first.pass === 'base'
  if (a.deadlineMs !== b.deadlineMs) return a.deadlineMs < b.deadlineMs
  return a.arrival < b.arrival
}
