import { LAST_SAMPLED, type RingCapacity, type StepEntry } from '../../messages.ts'
import { allowedTokens } from '../admission.ts'
import type { RingSession, Stay } from '../ring-session.ts'
import { PrefillBudget } from './prefill-budget.ts'
import { type Lane, PromptLine } from './prompt-line.ts'
import type { Residents } from './residents.ts'
import { PROMPT_TOKEN_SERVICE } from './tenant-shares.ts'

export interface StepComposerOptions {
  /** Steps in flight at once, at first. */
  readonly microbatches: number
  readonly maxBatchTokens: number
  /** Most prompt tokens in a step; `auto` measures what decoding sessions hardly notice. */
  readonly prefillChunkTokens: number | 'auto'
  /** A session may be in a second step while the token of its first is awaited: who samples also embeds. */
  readonly ahead: boolean
}

export interface ComposedStep {
  readonly entries: readonly StepEntry[]
  /** Ids of all entries, one after another. */
  readonly tokens: Int32Array
  readonly decodes: number
  readonly promptTokens: number
  /** Mean position of the prompt tokens. */
  readonly promptPosition: number
  /** Whose entries sample. */
  readonly sampling: readonly Stay[]
}

/** Most that a step gives to a short prompt goes in multiples of this, so that shapes of steps repeat. */
const GRANULE = 8
/** Tokens of a step that are kept for prompts, if it is long enough. */
const PROMPT_RESERVE = 8

/**
 * Chooses what goes into the next step.
 *
 * With A decoding sessions and M microbatches a step takes at most ceil(A / M) of them, oldest first: then M steps
 * share all sessions evenly and every stage has work, and with A ≤ M nobody waits for company. Groups that drift
 * apart even out, because what exceeds the share waits for the next step.
 *
 * Prompt chunks fill up the step within a budget, in the order of the line. A waiting session is opened only when
 * its first chunk goes: so late it finds the most in the cache, and who came later but goes first still can. In a
 * tenant's line the shortest prompt shares the budget with the oldest, which gets at least about half.
 *
 * Only a prompt's last chunk samples, so its chunks may follow each other without waiting; a decoding session
 * returns when its token is known. Steps that pool alternate with steps that generate.
 */
export class StepComposer {
  /** Steps in flight at once. */
  microbatches: number
  readonly #line = new PromptLine()
  readonly #budget = new PrefillBudget()
  #ready: Stay[] = []
  /** Stays whose prompt is through. */
  #decoding = 0
  #limit = 0
  #capacity: RingCapacity | null = null
  #scratch = new Int32Array(0)
  #pooledLast = false
  #promptLast = false
  /** Who comes next but does not fit; until it does, only higher priorities pass it. */
  #blocked: RingSession | null = null
  #blockedAt = -1
  /** Prompt tokens given out in the step that is being put together. */
  readonly #grants = new Map<Stay, number>()

  constructor(
    private readonly options: StepComposerOptions,
    private readonly residents: Residents,
  ) {
    this.microbatches = options.microbatches
    residents.observe({
      closed: (stay) => this.#closed(stay),
      preempted: (session) => this.add(session),
    })
  }

  start(capacity: RingCapacity): void {
    this.#capacity = capacity
    this.#limit = Math.min(this.options.maxBatchTokens, capacity.maxBatchTokens)
    this.#scratch = new Int32Array(this.#limit)
  }

  /** Nobody waits and nothing runs any more. */
  stop(): void {
    this.#line.clear()
    this.#ready = []
    this.#decoding = 0
    this.#blocked = null
  }

  /** Somebody waits although there are places: for pages. */
  get blocked(): boolean {
    return this.#blocked !== null
  }

  /** A session waits to be opened. */
  add(session: RingSession): void {
    session.estimate = session.tokens.length - this.residents.cachedTokens(session)
    this.#line.add(session)
  }

  /** A session waits no more; one that does not wait is ignored. */
  remove(session: RingSession): void {
    this.#line.remove(session)
    if (this.#blocked === session) this.#blocked = null
  }

  /** The stay's last sampled token came back, and it goes on. */
  advance(stay: Stay): void {
    if (stay.ready || !this.#mayContinue(stay)) return
    stay.ready = true
    this.#ready.push(stay)
  }

  /** Whether the stay wants another token after those awaited, and may be sent for it now. */
  #mayContinue({ session, awaited, leaving, over }: Stay): boolean {
    if (over || leaving || session.pooling || awaited > (this.options.ahead ? 1 : 0)) return false
    return awaited === 0 || session.generated + awaited < allowedTokens(session.request, this.#capacity!)
  }

  /** A step is through. */
  measured(step: ComposedStep, engineUs: number): void {
    const { decodes, promptTokens, promptPosition } = step
    this.#budget.observe({ decodes, promptTokens, position: promptPosition, engineUs })
  }

  /** The next step, or `null` when every session is in flight or there is none. */
  next(): ComposedStep | null {
    this.#retryBlocked()
    for (const pooling of this.#kinds()) {
      let step = this.#compose(pooling, this.#promptReserve)
      // Prompts may not have used what was kept for them.
      if (step === null && !pooling && this.#ready.length > 0) step = this.#compose(false, 0)
      if (step === null) continue
      this.#pooledLast = pooling
      this.#promptLast = step.promptTokens > 0
      if (this.options.ahead) for (const stay of step.sampling) this.advance(stay)
      return step
    }
    return null
  }

  #closed(stay: Stay): void {
    this.#line.remove(stay.session)
    if (stay.sent >= stay.promptLength && !stay.session.promptOnly) this.#decoding -= 1
  }

  /** What the next step may consist of, the first choice first: higher priority, or the other kind than last time. */
  #kinds(): readonly boolean[] {
    const pooled = this.#line.topPriority(true)
    if (pooled === null) return onlyGenerating
    const generated = this.#line.topPriority(false)
    if (generated === null && this.#ready.length === 0) return onlyPooling
    if (generated !== null && generated !== pooled) return pooled > generated ? poolingFirst : generatingFirst
    return this.#pooledLast ? generatingFirst : poolingFirst
  }

  /** @param reserve - tokens of the step that decoding leaves to prompts */
  #compose(pooling: boolean, reserve: number): ComposedStep | null {
    const writer = new StepWriter(this.#scratch, this.residents)
    if (!pooling) this.#decode(writer, this.#limit - reserve)
    const decodes = writer.total
    const budget = this.#promptBudget(pooling, decodes)
    if (budget > 0) this.#fill(pooling, budget, writer)
    return writer.finish(decodes)
  }

  #decode(writer: StepWriter, limit: number): void {
    const share = Math.min(this.#share, limit)
    const stays = this.#ready
    const waiting: Stay[] = []
    let index = 0
    for (; index < stays.length && writer.total < share; index++) {
      const stay = stays[index]!
      stay.ready = false
      if (stay.over || stay.leaving) continue
      if (this.residents.grow(stay)) {
        writer.add(stay, 1)
        stay.awaited += 1
      } else if (!stay.over) {
        stay.ready = true
        waiting.push(stay)
      }
    }
    for (; index < stays.length; index++) waiting.push(stays[index]!)
    this.#ready = waiting
  }

  /** Decoding sessions in one step, with every other step given to pooling if any is asked for. */
  get #share(): number {
    const { microbatches } = this
    const steps = this.#line.topPriority(true) === null ? microbatches : Math.ceil(microbatches / 2)
    return Math.ceil(this.#decoding / steps)
  }

  /** Room in every step that decoding leaves to prompts, so that they progress. */
  get #promptReserve(): number {
    if (this.#line.topPriority(false) === null) return 0
    if (this.#limit === 1) return this.#promptLast ? 0 : 1
    return Math.min(PROMPT_RESERVE, Math.max(1, this.#limit >> 2))
  }

  #promptBudget(pooling: boolean, decodes: number): number {
    const room = this.#limit - decodes
    const { prefillChunkTokens } = this.options
    if (prefillChunkTokens !== 'auto') return Math.min(room, prefillChunkTokens)
    if (this.#decoding === 0 || room === 0) return room
    const next = this.#line.first(pooling, this.#mayProgress)?.session
    if (next === undefined || this.#budget.measures(decodes)) return 0
    const budget = this.#budget.tokens({
      decodes: Math.max(decodes, this.#share),
      position: next.tokens.length - next.remaining,
      promptTokens: next.estimate,
      behind: this.#behind(pooling),
    })
    return Math.min(room, budget)
  }

  /** Prompts behind the first that there are places for, by how many steps share them. */
  #behind(pooling: boolean): number {
    const { maxSessions } = this.residents
    const waiting = Math.min(this.#line.count(pooling), maxSessions - this.#decoding)
    return Math.max(0, Math.floor((waiting - 1) / this.microbatches))
  }

  /** Gives the budget to prompts and writes their chunks. */
  #fill(pooling: boolean, budget: number, writer: StepWriter): void {
    let left = budget
    while (left > 0) {
      const turn = this.#firstOpen(pooling)
      if (turn === null) break
      const { stay, lane } = turn
      const lent = this.#lend(stay, lane, left)
      const own = this.#grant(stay, left - lent)
      lane.lent = Math.max(0, lane.lent + lent - own)
      left -= lent + own
    }
    for (const [stay, count] of this.#grants) {
      if (stay.over) continue
      writer.add(stay, count)
      this.#sent(stay)
    }
    this.#grants.clear()
  }

  /** Who is next, opened if it was not yet. */
  #firstOpen(pooling: boolean): { readonly stay: Stay; readonly lane: Lane } | null {
    for (;;) {
      const turn = this.#line.first(pooling, this.#mayProgress)
      if (turn === null) return null
      const stay = turn.session.stay ?? this.#open(turn.session)
      if (stay !== null) return { stay, lane: turn.lane }
    }
  }

  /** A part of the budget for the shortest prompt of the lane, unless the oldest is owed that. */
  #lend(oldest: Stay, lane: Lane, left: number): number {
    if (lane.lent > 0 || lane.sessions.length === 1) return 0
    const shortest = this.#line.shortest(lane, this.#mayProgress)
    if (shortest === null || shortest === oldest.session) return 0
    const stay = shortest.stay ?? this.#open(shortest)
    if (stay === null) return 0
    return this.#grant(stay, Math.min(left, Math.ceil(left / 2 / GRANULE) * GRANULE))
  }

  #grant(stay: Stay, most: number): number {
    const granted = this.#grants.get(stay) ?? 0
    const count = Math.min(most, stay.promptLength - stay.sent - granted)
    if (count > 0) this.#grants.set(stay, granted + count)
    return count
  }

  /** Bookkeeping of a chunk that is written. */
  #sent(stay: Stay): void {
    const { session, sent, promptLength } = stay
    session.tenant.service += PROMPT_TOKEN_SERVICE * Math.max(0, sent - session.paid)
    session.paid = Math.max(session.paid, sent)
    if (sent < promptLength) return
    this.#line.remove(session)
    if (session.promptOnly) return
    stay.awaited += 1
    this.#decoding += 1
  }

  readonly #mayProgress = (session: RingSession): boolean => {
    const { stay, priority } = session
    if (stay !== null) return stay.sent + (this.#grants.get(stay) ?? 0) < stay.promptLength && !stay.leaving
    if (this.#blocked !== null && priority <= this.#blocked.priority) return false
    return !this.#follows(session)
  }

  /** Whether a prompt waits for one that begins alike and is under way. */
  #follows(session: RingSession): boolean {
    const { follows } = session
    if (follows !== null && !follows.stay.over && follows.stay.sent < follows.until) return true
    session.follows = null
    return false
  }

  #open(session: RingSession): Stay | null {
    session.follows = this.residents.forerunner(session)
    if (session.follows !== null) return null
    const stay = this.residents.open(session)
    if (stay !== null) {
      if (this.#blocked === session) this.#blocked = null
      return stay
    }
    this.#blocked = session
    this.#blockedAt = this.residents.departures
    return null
  }

  /** Who was next and did not fit gets the first chance when somebody has left. */
  #retryBlocked(): void {
    const session = this.#blocked
    if (session === null || this.#blockedAt === this.residents.departures) return
    this.#blocked = null
    this.#open(session)
  }
}

/** Collects the entries of one step. */
class StepWriter {
  readonly #entries: StepEntry[] = []
  readonly #stays: Stay[] = []
  readonly #sampling: Stay[] = []
  #positions = 0
  #prompts = 0
  total = 0

  /** @param scratch - room for the ids of the longest step */
  constructor(
    private readonly scratch: Int32Array,
    private readonly residents: Residents,
  ) {}

  /** The stay's next `count` positions. */
  add(stay: Stay, count: number): void {
    const { key, sent: position, session, promptLength } = stay
    const end = position + count
    const sample = end >= promptLength && !session.promptOnly
    if (position < promptLength) {
      this.#prompts += count
      this.#positions += count * (position + count / 2)
    }
    if (count === 1) {
      const known = position < session.tokens.length
      this.scratch[this.total] = known ? session.tokens.at(position) : LAST_SAMPLED
    } else this.scratch.set(session.tokens.view(position, end), this.total)
    const pages = this.residents.pagesUpTo(stay, end)
    this.#entries.push({ key, position, count, sample, pages })
    this.#stays.push(stay)
    if (sample) this.#sampling.push(stay)
    stay.sent = end
    this.total += count
  }

  finish(decodes: number): ComposedStep | null {
    if (this.total === 0) return null
    for (const stay of this.#stays) this.residents.launched(stay)
    return {
      entries: this.#entries,
      tokens: this.scratch.slice(0, this.total),
      decodes,
      promptTokens: this.#prompts,
      promptPosition: this.#prompts === 0 ? 0 : this.#positions / this.#prompts,
      sampling: this.#sampling,
    }
  }
}

const onlyGenerating = [false] as const
const onlyPooling = [true] as const
const generatingFirst = [false, true] as const
const poolingFirst = [true, false] as const
