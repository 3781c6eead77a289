import type { SessionId } from '@deos/domain'
import { blocksOf, commonLayers } from './kv-slice.ts'
import type {
  KvAbortOutcome,
  KvCommitted,
  KvGuardRow,
  KvMessage,
  KvRoute,
  KvShape,
} from './transfer-messages.ts'
import { KV_ID_BYTES } from './transfer-messages.ts'

export interface HandoverOptions {
  readonly session: SessionId
  readonly shape: KvShape
  /** Content ids of the blocks, as in the plan. */
  readonly ids: Uint8Array
  readonly maxBlockBytes: number
  /** The stages of both rings; each covers all layers without a gap. */
  readonly senders: readonly KvRoute[]
  readonly receivers: readonly KvRoute[]
  /** For each layer the level to send. */
  readonly levels: readonly number[]
  /** Level that blocks are refined to once the decode ring has the session; `null` leaves them as they came. */
  readonly enhanceTo: number | null
  /** How long that may take. Default 10 s. */
  readonly enhanceMs?: number
  /** Id of the calibration that all workers have and blocks are coded with. Default none. */
  readonly calibration?: string | null
  /**
   * Levels with loss are not compared before the decode ring begins: whoever starts it does that, where nobody else finds
   * what came. Default `false`.
   */
  readonly judgedLater?: boolean
  /** What has not come by then, from the beginning or the last change of plan, is computed again. */
  readonly deadlineMs: number
  /** How long answers to the last question may take before the hand-over goes on without them. */
  readonly answerMs: number
  /** Above every epoch of an earlier hand-over of this session. */
  readonly firstEpoch: number
}

/**
 * `streaming`: blocks are under way. `settling`: no more will come, how far do they reach? `judging`: all is there, is it
 * good enough? `starting`: the decode ring was asked to begin. Until it says that it has, the prefill side owns the
 * session and keeps everything; `releasing`: it may let go. `refining`: better copies of what came with loss follow.
 * `aborting`: everybody is told that it is off.
 */
export type HandoverPhase =
  | 'streaming'
  | 'settling'
  | 'judging'
  | 'starting'
  | 'releasing'
  | 'refining'
  | 'aborting'
  | 'over'

export type CoordinatorEvent =
  | { readonly type: 'begin' }
  | { readonly type: 'linked'; readonly peer: string }
  | { readonly type: 'unlinked'; readonly peer: string }
  | { readonly type: 'message'; readonly peer: string; readonly message: KvMessage }
  /** Those who compute died: these come in their place, or nobody, and the decode side computes what is missing. */
  | { readonly type: 'senders-changed'; readonly senders: readonly KvRoute[] | null }
  /** The decode ring failed, or could not begin: these have fresh pages for the session, or nobody has. */
  | { readonly type: 'receivers-changed'; readonly receivers: readonly KvRoute[] | null }
  /** Answers the effect `judge`. If it did not pass, `levels` are better ones to try, or `null` if there are none. */
  | {
      readonly type: 'judged'
      readonly epoch: number
      readonly passed: boolean
      readonly levels: readonly number[] | null
    }
  /** Answers the effect `start`: the decode ring has the session. */
  | { readonly type: 'started'; readonly epoch: number }
  /** The session is over, or nobody wants it any more. */
  | { readonly type: 'cancel' }
  | { readonly type: 'tick' }

/** Who goes on with the session; `nobody` has it whole: it begins anew from its tokens, or was cancelled. */
export type HandoverOutcome = 'decode' | 'prefill' | 'nobody'

export type CoordinatorEffect =
  | { readonly type: 'send'; readonly peer: string; readonly message: KvMessage }
  /** Compare what the decode ring makes of the last prompt tokens with these rows. */
  | { readonly type: 'judge'; readonly epoch: number; readonly rows: readonly KvGuardRow[] }
  /** Positions below are stored in the decode ring; it computes from there on. Answer `started`. */
  | { readonly type: 'start'; readonly epoch: number; readonly position: number }
  /** It is decided who goes on. Comes once. */
  | { readonly type: 'decided'; readonly outcome: HandoverOutcome; readonly reason: string }
  /** Nothing is refined any more: everything was, or `reason` says why not. Comes once, if anything was to be refined. */
  | { readonly type: 'refined'; readonly complete: boolean; readonly reason: string }
  /** Everybody knows, or will find out alone; forget the coordinator. */
  | { readonly type: 'over' }

const ENHANCE_MS = 10_000

/**
 * Hands one session over from the ring that computes its prompt to the ring that will decode it, once every receiver has
 * promised to hold all of it. It is the only one to decide: workers never take or give up a session on their own, so
 * that it has one owner at any time.
 */
export class HandoverCoordinator {
  #phase: HandoverPhase = 'streaming'
  #epoch: number
  #senders: readonly KvRoute[]
  #receivers: readonly KvRoute[]
  #levels: readonly number[]
  #sendersGone = false
  #begun = false
  #decided = false
  #started = false
  #untilMs = Number.POSITIVE_INFINITY
  #rows: readonly KvGuardRow[] | null = null
  #guardPassed = false
  /** Better copies are to follow the start. */
  #refines = false
  /** Why they cannot, as is known before they would begin. */
  #hindrance: string | null = null
  readonly #linked = new Set<string>()
  /** How far each receiver promised to hold the session. */
  readonly #promised = new Map<string, number>()
  /** Who was told the outcome and did not answer yet. */
  readonly #untold = new Map<string, KvMessage>()

  /** @throws RangeError if a layer is not sent and received once each, or a worker would do both, or ids do not fit */
  constructor(private readonly options: HandoverOptions) {
    const { senders, receivers, levels, shape, ids } = options
    checkCover('senders', senders, levels.length)
    checkCover('receivers', receivers, levels.length)
    const both = senders.find(({ peer }) => receivers.some((receiver) => receiver.peer === peer))
    if (both !== undefined) throw new RangeError(`${both.peer} cannot send and receive the same session.`)
    if (ids.length !== blocksOf(shape) * KV_ID_BYTES) {
      throw new RangeError(`${ids.length} bytes are not the ids of ${blocksOf(shape)} blocks.`)
    }
    this.#epoch = options.firstEpoch
    this.#senders = options.senders
    this.#receivers = options.receivers
    this.#levels = options.levels
  }

  get phase(): HandoverPhase {
    return this.#phase
  }

  get epoch(): number {
    return this.#epoch
  }

  /** Who has the session now. */
  get owner(): 'prefill' | 'decode' {
    return this.#started ? 'decode' : 'prefill'
  }

  /** @param nowMs - monotonic; never less than in the event before */
  onEvent(event: CoordinatorEvent, nowMs: number): readonly CoordinatorEffect[] {
    const out: CoordinatorEffect[] = []
    if (this.#phase === 'over') return out
    switch (event.type) {
      case 'begin':
        if (this.#begun) break
        this.#begun = true
        this.#stream(nowMs, out)
        break
      case 'linked':
        this.#linked.add(event.peer)
        this.#greet(event.peer, out)
        break
      case 'unlinked':
        this.#linked.delete(event.peer)
        // It may come back without its memory.
        if (this.#phase === 'streaming' || this.#phase === 'settling') this.#promised.delete(event.peer)
        if (this.#phase === 'refining') this.#endRefining(false, `${event.peer} is gone.`, nowMs, out)
        break
      case 'message':
        this.#message(event.peer, event.message, nowMs, out)
        break
      case 'senders-changed':
        this.#changeSenders(event.senders, nowMs, out)
        break
      case 'receivers-changed':
        this.#changeReceivers(event.receivers, nowMs, out)
        break
      case 'judged':
        this.#judged(event, nowMs, out)
        break
      case 'started':
        if (this.#phase === 'starting' && event.epoch === this.#epoch) this.#release(nowMs, out)
        break
      case 'cancel':
        this.#cancel(nowMs, out)
        break
      case 'tick':
        if (nowMs >= this.#untilMs) this.#overdue(nowMs, out)
    }
    return out
  }

  get #exact(): boolean {
    return this.#levels.every((level) => level === 0)
  }

  get #undecided(): boolean {
    return !this.#decided
  }

  /** A plan is in force: everybody is told, and receivers are asked for the promise at once. */
  #stream(nowMs: number, out: CoordinatorEffect[]): void {
    this.#phase = 'streaming'
    this.#promised.clear()
    this.#rows = null
    this.#guardPassed = false
    this.#untilMs = nowMs + this.options.deadlineMs
    for (const { peer } of [...this.#senders, ...this.#receivers]) {
      this.#untold.delete(peer)
      this.#greet(peer, out)
    }
  }

  /** Says to a worker all that it should know. */
  #greet(peer: string, out: CoordinatorEffect[]): void {
    if (!this.#linked.has(peer)) return
    const outcome = this.#untold.get(peer)
    if (outcome !== undefined) out.push({ type: 'send', peer, message: outcome })
    if (!this.#begun || !this.#undecided) return
    const sender = this.#senders.find((candidate) => candidate.peer === peer)
    if (sender !== undefined && !this.#sendersGone) this.#sendPlan('send', sender, this.#receivers, out)
    const receiver = this.#receivers.find((candidate) => candidate.peer === peer)
    if (receiver === undefined) return
    this.#sendPlan('receive', receiver, this.#sendersGone ? [] : this.#senders, out)
    this.#ask(receiver, out)
  }

  #sendPlan(
    role: 'send' | 'receive',
    own: KvRoute,
    others: readonly KvRoute[],
    out: CoordinatorEffect[],
  ): void {
    const { session, shape, enhanceTo, calibration = null, maxBlockBytes, deadlineMs, ids } = this.options
    const routes = others.flatMap(({ peer, layers }) => {
      const common = commonLayers(own.layers, layers)
      return common === null ? [] : [{ peer, layers: common }]
    })
    const { layers, peer } = own
    const levels = this.#levels.slice(layers.first, layers.end)
    const message: KvMessage = {
      type: 'kv-plan',
      ...{ epoch: this.#epoch, session, role, shape, layers, levels, enhanceTo, calibration },
      ...{ maxBlockBytes, deadlineMs, routes, ids },
    }
    out.push({ type: 'send', peer, message })
  }

  #ask({ peer, layers }: KvRoute, out: CoordinatorEffect[]): void {
    if (!this.#linked.has(peer)) return
    const partial = this.#phase === 'settling'
    const { session, enhanceTo } = this.options
    const most = this.#phase === 'refining' ? (enhanceTo ?? 0) : Number.POSITIVE_INFINITY
    // What was not compared with the exact cache is not built upon.
    const levels = this.#levels
      .slice(layers.first, layers.end)
      .map((level) => (partial ? 0 : Math.min(level, most)))
    const message: KvMessage = { type: 'kv-commit', epoch: this.#epoch, session, partial, levels }
    out.push({ type: 'send', peer, message })
  }

  #message(peer: string, message: KvMessage, nowMs: number, out: CoordinatorEffect[]): void {
    if (message.session !== this.options.session) return
    switch (message.type) {
      case 'kv-committed':
        if (this.#untold.get(peer)?.type === 'kv-committed') this.#told(peer, nowMs, out)
        else this.#promise(peer, message, nowMs, out)
        break
      case 'kv-guard':
        this.#guard(peer, message.epoch, message.rows, nowMs, out)
        break
      case 'kv-abort':
        if (this.#untold.get(peer)?.type === 'kv-abort') this.#told(peer, nowMs, out)
        else if (message.epoch === this.#epoch) this.#refused(peer, message.reason, nowMs, out)
    }
  }

  #promise(
    peer: string,
    { epoch, position, partial, coarsest }: KvCommitted,
    nowMs: number,
    out: CoordinatorEffect[],
  ): void {
    // Answers to the question before the last one do not count.
    const refined = !partial && this.#phase === 'refining' && coarsest <= (this.options.enhanceTo ?? 0)
    if (epoch !== this.#epoch || !(refined || this.#phase === (partial ? 'settling' : 'streaming'))) return
    if (!this.#receivers.some((receiver) => receiver.peer === peer)) return
    this.#promised.set(peer, Math.min(position, this.options.shape.length))
    if (!refined) this.#decide(nowMs, out)
    else if (this.#promised.size === this.#receivers.length) {
      this.#endRefining(true, 'Everything is refined.', nowMs, out)
    }
  }

  #guard(
    peer: string,
    epoch: number,
    rows: readonly KvGuardRow[],
    nowMs: number,
    out: CoordinatorEffect[],
  ): void {
    const last = this.#senders.find(({ layers }) => layers.end === this.options.levels.length)
    if (epoch !== this.#epoch || last?.peer !== peer || rows.length === 0) return
    this.#rows ??= rows
    this.#decide(nowMs, out)
  }

  #decide(nowMs: number, out: CoordinatorEffect[]): void {
    if (this.#phase !== 'streaming' && this.#phase !== 'settling') return
    if (this.#receivers.some(({ peer }) => !this.#promised.has(peer))) return
    const position = Math.min(...this.#promised.values())
    const unjudged = this.#exact || this.options.judgedLater === true
    if (this.#phase === 'settling' || unjudged || this.#guardPassed) {
      this.#start(position, nowMs, out)
    } else if (this.#rows !== null) {
      this.#phase = 'judging'
      this.#untilMs = nowMs + this.options.answerMs
      out.push({ type: 'judge', epoch: this.#epoch, rows: this.#rows })
    }
  }

  #start(position: number, nowMs: number, out: CoordinatorEffect[]): void {
    this.#phase = 'starting'
    const { enhanceTo, shape } = this.options
    const whole = position === shape.length && !this.#sendersGone
    this.#refines = whole && enhanceTo !== null && this.#levels.some((level) => level > enhanceTo)
    this.#untilMs = nowMs + this.options.answerMs
    out.push({ type: 'start', epoch: this.#epoch, position })
  }

  #judged(
    event: CoordinatorEvent & { readonly type: 'judged' },
    nowMs: number,
    out: CoordinatorEffect[],
  ): void {
    if (this.#phase !== 'judging' || event.epoch !== this.#epoch) return
    if (event.passed) {
      this.#guardPassed = true
      this.#start(this.options.shape.length, nowMs, out)
      return
    }
    const better = event.levels?.every((level, layer) => level <= this.#levels[layer]!) === true
    const same = event.levels?.every((level, layer) => level === this.#levels[layer]) === true
    if (this.#sendersGone || !better || same) {
      this.#settle(nowMs, out)
      return
    }
    this.#levels = event.levels ?? this.#levels
    this.#replan(nowMs, out)
  }

  #replan(nowMs: number, out: CoordinatorEffect[]): void {
    this.#epoch += 1
    this.#stream(nowMs, out)
    if (this.#sendersGone) this.#settle(nowMs, out)
  }

  /** No more will come: receivers say what they have, and the rest is computed. */
  #settle(nowMs: number, out: CoordinatorEffect[]): void {
    this.#phase = 'settling'
    this.#promised.clear()
    this.#untilMs = nowMs + this.options.answerMs
    for (const receiver of this.#receivers) this.#ask(receiver, out)
  }

  #changeSenders(senders: readonly KvRoute[] | null, nowMs: number, out: CoordinatorEffect[]): void {
    if (this.#phase === 'starting') this.#refines = false
    if (this.#hindersRefining('The prefill ring has let go of the prompt.', nowMs, out)) return
    if (!this.#undecided || this.#phase === 'starting') return
    if (senders !== null) checkCover('senders', senders, this.options.levels.length)
    this.#dismiss(this.#senders, senders ?? [], out)
    this.#sendersGone = senders === null
    this.#senders = senders ?? this.#senders
    if (this.#phase === 'judging' && senders === null) return
    if (senders !== null) this.#replan(nowMs, out)
    else if (this.#phase === 'streaming') this.#settle(nowMs, out)
  }

  #changeReceivers(receivers: readonly KvRoute[] | null, nowMs: number, out: CoordinatorEffect[]): void {
    if (this.#hindersRefining('The decode ring has failed.', nowMs, out)) return
    if (!this.#undecided) return
    if (receivers === null) {
      this.#abort(this.#sendersGone ? 'drop' : 'keep', 'The decode ring is gone.', nowMs, out)
      return
    }
    checkCover('receivers', receivers, this.options.levels.length)
    this.#dismiss(this.#receivers, receivers, out)
    this.#receivers = receivers
    this.#replan(nowMs, out)
  }

  /** Those who have no part in it any more are told, whenever they can be. */
  #dismiss(former: readonly KvRoute[], present: readonly KvRoute[], out: CoordinatorEffect[]): void {
    for (const { peer } of former) {
      if (present.some((route) => route.peer === peer)) continue
      const message = this.#abortMessage('drop', 'Another takes its place.')
      this.#untold.set(peer, message)
      if (this.#linked.has(peer)) out.push({ type: 'send', peer, message })
    }
  }

  /** A worker cannot go on: without a sender the rest is computed, without a receiver nothing is handed over. */
  #refused(peer: string, reason: string, nowMs: number, out: CoordinatorEffect[]): void {
    if (this.#hindersRefining(reason, nowMs, out) || !this.#undecided) return
    if (this.#receivers.some((receiver) => receiver.peer === peer)) {
      this.#abort(this.#sendersGone ? 'drop' : 'keep', reason, nowMs, out)
    } else if (this.#phase === 'streaming' && this.#senders.some((sender) => sender.peer === peer)) {
      this.#settle(nowMs, out)
    }
  }

  #overdue(nowMs: number, out: CoordinatorEffect[]): void {
    switch (this.#phase) {
      case 'streaming':
      case 'judging':
        this.#settle(nowMs, out)
        break
      case 'settling':
      case 'starting':
        this.#abort(this.#sendersGone ? 'drop' : 'keep', 'The decode ring does not answer.', nowMs, out)
        break
      case 'refining':
        this.#endRefining(false, 'It took too long.', nowMs, out)
        break
      default:
        this.#untold.clear()
        this.#finish(nowMs, out)
    }
  }

  #cancel(nowMs: number, out: CoordinatorEffect[]): void {
    if (this.#phase === 'refining') this.#endRefining(false, 'The session is over.', nowMs, out)
    else if (this.#phase !== 'aborting') this.#abort('drop', 'Cancelled as asked.', nowMs, out)
  }

  /** The decode ring owns the session: the others may let go. */
  #release(nowMs: number, out: CoordinatorEffect[]): void {
    this.#phase = 'releasing'
    this.#started = true
    this.#decideFor('decode', 'The decode ring holds the session.', out)
    const { session, shape } = this.options
    const { length } = shape
    const committed: KvMessage = {
      type: 'kv-committed',
      epoch: this.#epoch,
      session,
      position: length,
      partial: !this.#refines,
      coarsest: 0,
      bytes: 0,
    }
    if (!this.#sendersGone) for (const { peer } of this.#senders) this.#untold.set(peer, committed)
    if (!this.#refines) {
      const over = this.#abortMessage('drop', 'It is handed over.')
      for (const { peer } of this.#receivers) this.#untold.set(peer, over)
    }
    this.#tellAll(nowMs, out)
  }

  #abort(outcome: KvAbortOutcome, reason: string, nowMs: number, out: CoordinatorEffect[]): void {
    this.#phase = 'aborting'
    this.#decideFor(outcome === 'keep' ? 'prefill' : 'nobody', reason, out)
    if (!this.#sendersGone) {
      for (const { peer } of this.#senders) this.#untold.set(peer, this.#abortMessage(outcome, reason))
    }
    for (const { peer } of this.#receivers) this.#untold.set(peer, this.#abortMessage('drop', reason))
    this.#tellAll(nowMs, out)
  }

  #decideFor(outcome: HandoverOutcome, reason: string, out: CoordinatorEffect[]): void {
    if (this.#decided) return
    this.#decided = true
    out.push({ type: 'decided', outcome, reason })
  }

  #tellAll(nowMs: number, out: CoordinatorEffect[]): void {
    this.#untilMs = nowMs + this.options.answerMs
    for (const peer of this.#untold.keys()) this.#greet(peer, out)
    if (this.#untold.size === 0) this.#finish(nowMs, out)
  }

  #told(peer: string, nowMs: number, out: CoordinatorEffect[]): void {
    if (!this.#untold.delete(peer) || this.#untold.size > 0) return
    if (this.#phase === 'releasing' || this.#phase === 'aborting') this.#finish(nowMs, out)
  }

  #finish(nowMs: number, out: CoordinatorEffect[]): void {
    if (this.#phase === 'releasing' && this.#refines) {
      this.#refine(nowMs, out)
      return
    }
    this.#phase = 'over'
    out.push({ type: 'over' })
  }

  /** Senders know that they may; receivers are asked to say when they have it. */
  #refine(nowMs: number, out: CoordinatorEffect[]): void {
    this.#phase = 'refining'
    this.#promised.clear()
    this.#untilMs = nowMs + (this.options.enhanceMs ?? ENHANCE_MS)
    const parties = [...this.#senders, ...this.#receivers]
    const gone = parties.find(({ peer }) => !this.#linked.has(peer))
    const problem = gone === undefined ? this.#hindrance : `${gone.peer} is gone.`
    if (problem !== null) this.#endRefining(false, problem, nowMs, out)
    else for (const receiver of this.#receivers) this.#ask(receiver, out)
  }

  /** Whether it happened when only better copies could suffer from it. */
  #hindersRefining(reason: string, nowMs: number, out: CoordinatorEffect[]): boolean {
    if (this.#phase === 'refining') this.#endRefining(false, reason, nowMs, out)
    else if (this.#phase === 'releasing') this.#hindrance ??= reason
    else return false
    return true
  }

  /** Nobody waits for better copies: whatever is in their way ends them. */
  #endRefining(complete: boolean, reason: string, nowMs: number, out: CoordinatorEffect[]): void {
    out.push({ type: 'refined', complete, reason })
    this.#abort('drop', reason, nowMs, out)
  }

  #abortMessage(outcome: KvAbortOutcome, reason: string): KvMessage {
    const { session } = this.options
    return { type: 'kv-abort', epoch: this.#epoch, session, outcome, reason, bytes: 0 }
  }
}

function checkCover(name: string, routes: readonly KvRoute[], layers: number): void {
  let next = 0
  for (const { layers: range } of [...routes].sort((a, b) => a.layers.first - b.layers.first)) {
    if (range.first !== next || range.end <= range.first) {
      throw new RangeError(`The ${name} do not cover layer ${next} of ${layers} once.`)
    }
    next = range.end
  }
  if (next !== layers) throw new RangeError(`The ${name} cover ${next} of ${layers} layers.`)
}
