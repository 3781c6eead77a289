import type { RingCapacity, SessionKey } from '../../messages.ts'
import { allowedTokens } from '../admission.ts'
import { KvMemory } from '../memory/kv-memory.ts'
import type { PageImport } from '../memory/page-import.ts'
import { commonLength, type TokenSequence } from '../memory/token-sequence.ts'
import type { RingSession, Stay } from '../ring-session.ts'
import type { OutputLengths } from './output-lengths.ts'

/** Told at once when a session leaves the ring. */
export interface DepartureObserver {
  closed(stay: Stay): void
  /** Before this, it was closed to make room; it goes on later. */
  preempted(session: RingSession): void
}

/** What the stages are to be told, in order. */
export type ResidenceChange =
  | { readonly type: 'opened'; readonly stay: Stay }
  | { readonly type: 'closed'; readonly key: SessionKey }
  | { readonly type: 'importing'; readonly entry: PageImport }
  /** It had to make room, and is closed. */
  | { readonly type: 'import-lost'; readonly entry: PageImport }
  /** Nobody waited for it, and others needed its room: it is over. */
  | { readonly type: 'spared'; readonly session: RingSession }

export interface ResidenceCounters {
  promptTokens: number
  cachedTokens: number
  recomputedTokens: number
  preemptions: number
}

/**
 * The sessions that are open in the ring, and their pages.
 *
 * A session is let in when its prompt, and what everybody is expected to grow by, fits. Expectations may fail: who
 * then needs a page takes it from cached prefixes, or from another session, which goes on when there is room again.
 * The oldest session of the highest priority never makes room, so that somebody always gets to the end.
 */
export class Residents {
  readonly counters: ResidenceCounters = {
    promptTokens: 0,
    cachedTokens: 0,
    recomputedTokens: 0,
    preemptions: 0,
  }
  /** Grows whenever pages or a place became free. */
  departures = 0
  readonly #byKey = new Map<SessionKey, Stay>()
  readonly #imports = new Map<SessionKey, PageImport>()
  #observer: DepartureObserver | null = null
  #changes: ResidenceChange[] = []
  #memory: KvMemory | null = null
  #capacity: RingCapacity | null = null
  #evictionsBefore = 0
  #leaving = 0
  #nextKey = 1

  constructor(
    readonly maxSessions: number,
    private readonly lengths: OutputLengths,
  ) {}

  observe(observer: DepartureObserver): void {
    this.#observer = observer
  }

  /** What changed since the last call. */
  takeChanges(): readonly ResidenceChange[] {
    if (this.#changes.length === 0) return nothing
    const changes = this.#changes
    this.#changes = []
    return changes
  }

  get size(): number {
    return this.#byKey.size
  }

  get evictions(): number {
    return this.#evictionsBefore + (this.#memory?.evictions ?? 0)
  }

  get pages(): { readonly free: number; readonly cached: number; readonly held: number } {
    const memory = this.#memory
    return { free: memory?.free ?? 0, cached: memory?.cached ?? 0, held: memory?.held ?? 0 }
  }

  get(key: SessionKey): Stay | undefined {
    return this.#byKey.get(key)
  }

  /** Begins with empty pages. */
  start(capacity: RingCapacity): void {
    this.stop()
    this.#capacity = capacity
    this.#memory = new KvMemory(capacity)
  }

  /** Everything in the ring is lost. Returns the sessions that were there; nobody is told. */
  stop(): readonly RingSession[] {
    const sessions = [...this.#byKey.values()].map((stay) => {
      stay.over = true
      stay.session.stay = null
      return stay.session
    })
    this.#byKey.clear()
    this.#imports.clear()
    this.#changes = []
    this.#evictionsBefore = this.evictions
    this.#memory = null
    this.#capacity = null
    this.#leaving = 0
    this.departures += 1
    return sessions
  }

  /** Positions of a waiting session that are cached at the moment. */
  cachedTokens(session: RingSession): number {
    if (this.#memory === null || this.#capacity === null) return 0
    return this.#memory.lookUp(session.scope, session.tokens).blocks * this.#capacity.pageTokens
  }

  /**
   * Another session whose prompt begins like this one's further than the cache reaches, and is being computed:
   * waiting for it saves computing the same once more.
   */
  forerunner(session: RingSession): { readonly stay: Stay; readonly until: number } | null {
    if (session.scope === null || this.#capacity === null) return null
    const { pageTokens } = this.#capacity
    const usable = Math.floor((session.tokens.length - 1) / pageTokens)
    let cached = -1
    for (const stay of this.#byKey.values()) {
      const other = stay.session
      if (stay.leaving || stay.sent >= stay.promptLength) continue
      if (other.scope !== session.scope || other.priority < session.priority) continue
      const common = Math.min(usable, Math.floor(commonLength(session.tokens, other.tokens) / pageTokens))
      const until = common * pageTokens
      if (stay.sent >= until) continue
      if (cached < 0) cached = this.cachedTokens(session)
      if (until > cached) return { stay, until }
    }
    return null
  }

  /** Lets a waiting session in, if it fits; sessions of lower priority make room. */
  open(session: RingSession): Stay | null {
    const memory = this.#memory
    const capacity = this.#capacity
    if (memory === null || capacity === null) return null
    if (this.size >= this.maxSessions) this.#endSpare()
    if (this.size >= this.maxSessions && !this.#makeRoom(session, 0)) return null
    let missing = this.#missing(session, memory)
    if (missing > 0 && this.#endCourtesies()) missing = this.#missing(session, memory)
    if (missing > 0 && !this.#makeRoom(session, missing)) return null
    let prefix = memory.lookUp(session.scope, session.tokens)
    let holding = memory.open(session.scope, prefix, session.tokens.length)
    // Alone, every session fits: only imports can be in its way.
    while (holding === null && this.size === 0 && (this.#endCourtesies() || this.#giveUpImport())) {
      prefix = memory.lookUp(session.scope, session.tokens)
      holding = memory.open(session.scope, prefix, session.tokens.length)
    }
    if (holding === null) return null
    const cachedTokens = prefix.blocks * capacity.pageTokens
    const stay: Stay = {
      key: this.#freshKey(),
      session,
      holding,
      promptLength: session.tokens.length,
      sent: cachedTokens,
      pagesTold: prefix.blocks,
      awaited: 0,
      ready: false,
      leaving: false,
      over: false,
    }
    this.#count(session, cachedTokens)
    session.stay = stay
    session.started = true
    session.follows = null
    this.#byKey.set(stay.key, stay)
    this.#changes.push({ type: 'opened', stay })
    return stay
  }

  /** Makes sure that there is a page for the next position; otherwise the session has to wait, or had to go. */
  grow(stay: Stay): boolean {
    const memory = this.#memory!
    if (memory.pagesFor(stay.sent + 1) <= stay.holding.pages.length) return true
    while (!memory.extend(stay.holding)) {
      // Whoever is leaving already may bring enough.
      if (this.#leaving > 0) return false
      if (this.#endCourtesies() || this.#giveUpImport()) continue
      const victim = this.#victim()
      if (victim === null)
        throw new Error(`Session ${stay.session.request.session} fits alone, but gets no page.`)
      this.#dismiss(victim)
      if (victim.leaving || victim === stay) return false
    }
    return true
  }

  /** Pages that the stages have to be told of before positions below `length` are computed. */
  pagesUpTo(stay: Stay, length: number): readonly number[] {
    const pages = this.#memory!.pagesFor(length)
    if (pages === stay.pagesTold) return noPages
    const told = stay.holding.pages.slice(stay.pagesTold, pages)
    stay.pagesTold = pages
    return told
  }

  /** The step with all positions sent so far is launched. */
  launched(stay: Stay): void {
    this.#memory!.stored(stay.holding, stay.session.tokens, knownLength(stay))
  }

  /** An awaited token is here; a session that was to make room goes with the last one. */
  returned(stay: Stay): void {
    stay.awaited -= 1
    if (stay.leaving && stay.awaited === 0) this.#preempt(stay)
  }

  /** The session is over. */
  close(stay: Stay): void {
    if (stay.leaving) this.#leaving -= 1
    this.#memory!.close(stay.holding, stay.session.tokens, knownLength(stay))
    this.#byKey.delete(stay.key)
    stay.over = true
    stay.session.stay = null
    this.departures += 1
    this.#changes.push({ type: 'closed', key: stay.key })
    this.#observer?.closed(stay)
  }

  /**
   * Pages for the KV of a prompt that is computed elsewhere, as many whole ones as leave a token to compute here.
   *
   * @returns `null` if the pages cannot be had beside what everybody here is expected to need
   */
  openImport(scope: string, tokens: TokenSequence): PageImport | null {
    const memory = this.#memory
    const capacity = this.#capacity
    if (memory === null || capacity === null) return null
    const end = Math.floor((tokens.length - 1) / capacity.pageTokens) * capacity.pageTokens
    const fits = (): boolean => {
      const { blocks, idle } = memory.lookUp(scope, tokens)
      let needed = memory.pagesFor(end) - blocks + idle
      for (const stay of this.#byKey.values()) if (!stay.leaving) needed += this.#growth(stay)
      return needed <= memory.available
    }
    if (!fits() && !(this.#endCourtesies() && fits())) return null
    const prefix = memory.lookUp(scope, tokens)
    const holding = memory.open(scope, prefix, end)
    if (holding === null) return null
    const first = prefix.blocks * capacity.pageTokens
    const entry: PageImport = { key: this.#freshKey(), tokens, holding, first, end, kept: null }
    this.#imports.set(entry.key, entry)
    this.#changes.push({ type: 'importing', entry })
    return entry
  }

  /**
   * Sessions find what was filled from now on, and the pages stay with the import so that better copies can be written.
   *
   * @param position - how far its pages were filled
   */
  keepImport(entry: PageImport, position: number): void {
    if (!this.#imports.has(entry.key)) return
    entry.kept = Math.min(entry.end, Math.max(entry.first, position))
    this.#memory!.stored(entry.holding, entry.tokens, entry.kept)
    this.departures += 1
  }

  /** @param position - how far its pages were filled; they stay in the cache, the others go back */
  closeImport(entry: PageImport, position: number): void {
    if (!this.#imports.delete(entry.key)) return
    const length = entry.kept ?? Math.min(entry.end, Math.max(entry.first, position))
    this.#memory!.close(entry.holding, entry.tokens, length)
    this.departures += 1
    this.#changes.push({ type: 'closed', key: entry.key })
  }

  /** The youngest import makes room: nobody has seen anything of it yet. */
  #giveUpImport(): boolean {
    const entry = [...this.#imports.values()].findLast(({ kept }) => kept === null)
    if (entry === undefined) return false
    this.closeImport(entry, entry.first)
    this.#changes.push({ type: 'import-lost', entry })
    return true
  }

  /** A prompt that nobody waits for any more; it stays until room is needed. */
  spare(stay: Stay): void {
    stay.session.spare = true
    this.departures += 1
  }

  /** Sessions that end as soon as room is needed. */
  get spares(): number {
    let count = 0
    for (const { session } of this.#byKey.values()) if (session.spare) count += 1
    return count
  }

  /** The oldest session that nobody waits for makes room. */
  #endSpare(): boolean {
    for (const stay of this.#byKey.values()) {
      if (!stay.session.spare) continue
      this.close(stay)
      this.#changes.push({ type: 'spared', session: stay.session })
      return true
    }
    return false
  }

  /**
   * Whatever is only there to make better what others have already goes, if that brings a page.
   *
   * @returns whether it did
   */
  #endCourtesies(): boolean {
    const kept = [...this.#imports.values()].filter((entry) => entry.kept !== null)
    const spare = [...this.#byKey.values()].filter(({ session }) => session.spare)
    const freedBy = this.#memory!.freedBy()
    let freed = 0
    for (const { holding } of [...kept, ...spare]) freed += freedBy(holding)
    if (freed === 0) return false
    for (const entry of kept) this.closeImport(entry, entry.end)
    while (this.#endSpare());
    return true
  }

  /**
   * Pages are where they should be.
   *
   * @throws Error if not: a bug
   */
  verify(): void {
    this.#memory?.verify([...this.#byKey.values(), ...this.#imports.values()].map(({ holding }) => holding))
  }

  /** Pages that are missing for this session's prompt and everybody's expected growth. Alone, every session fits. */
  #missing(session: RingSession, memory: KvMemory): number {
    if (this.size === 0) return 0
    const prefix = memory.lookUp(session.scope, session.tokens)
    const now = memory.pagesFor(session.tokens.length)
    let needed = now - prefix.blocks + prefix.idle + this.#expectedPages(session) - now
    for (const stay of this.#byKey.values()) {
      if (!stay.leaving) needed += this.#growth(stay)
    }
    return needed - memory.available
  }

  #growth(stay: Stay): number {
    return Math.max(0, this.#expectedPages(stay.session) - stay.holding.pages.length)
  }

  /** Pages of a session at its expected end; the last token is never fed back. */
  #expectedPages({ request, tokens, tenant, generated, pooling }: RingSession): number {
    if (pooling) return this.#memory!.pagesFor(tokens.length)
    const limit = Math.max(generated + 1, allowedTokens(request, this.#capacity!))
    const remaining = this.lengths.expectRemaining(tenant.name, generated, limit)
    return this.#memory!.pagesFor(tokens.length + remaining - 1)
  }

  /**
   * Dismisses sessions of lower priority until `missing` pages and a place are there; nobody if that were in vain.
   *
   * @returns whether the room is there now; it may come when tokens return
   */
  #makeRoom(session: RingSession, missing: number): boolean {
    const lower = [...this.#byKey.values()].filter((stay) => stay.session.priority < session.priority)
    lower.sort((a, b) => Number(b.leaving) - Number(a.leaving) || (yields(a, b) ? -1 : 1))
    const freedBy = this.#memory!.freedBy()
    const chosen: Stay[] = []
    let left = missing
    let places = Math.max(0, this.size + 1 - this.maxSessions)
    for (const stay of lower) {
      if (left <= 0 && places <= 0) break
      left -= freedBy(stay.holding) + (stay.leaving ? 0 : this.#growth(stay))
      places -= 1
      chosen.push(stay)
    }
    if (left > 0 || places > 0) return false
    for (const stay of chosen) {
      if (!stay.leaving) this.#dismiss(stay)
    }
    return chosen.every((stay) => stay.over)
  }

  /** Who makes room first; not the one that must get to its end. */
  #victim(): Stay | null {
    let last: Stay | null = null
    let victim: Stay | null = null
    for (const stay of this.#byKey.values()) {
      if (last === null || outlasts(stay, last)) last = stay
    }
    for (const stay of this.#byKey.values()) {
      if (stay === last || stay.leaving) continue
      if (victim === null || yields(stay, victim)) victim = stay
    }
    return victim
  }

  #dismiss(stay: Stay): void {
    if (stay.awaited === 0) {
      this.#preempt(stay)
      return
    }
    stay.leaving = true
    this.#leaving += 1
  }

  #preempt(stay: Stay): void {
    if (stay.session.spare) {
      this.close(stay)
      this.#changes.push({ type: 'spared', session: stay.session })
      return
    }
    this.counters.preemptions += 1
    this.close(stay)
    this.#observer?.preempted(stay.session)
  }

  #count(session: RingSession, cachedTokens: number): void {
    const { length } = session.tokens
    if (session.started) {
      this.counters.recomputedTokens += Math.max(0, session.paid - cachedTokens)
      return
    }
    this.counters.promptTokens += length
    this.counters.cachedTokens += cachedTokens
    session.paid = cachedTokens
  }

  #freshKey(): SessionKey {
    while (this.#byKey.has(this.#nextKey) || this.#imports.has(this.#nextKey))
      this.#nextKey = (this.#nextKey + 1) >>> 0
    const key = this.#nextKey
    this.#nextKey = (key + 1) >>> 0
    return key
  }
}

/** Positions sent whose tokens are known: the last may be of one that is still awaited. */
const knownLength = ({ sent, session }: Stay): number => Math.min(sent, session.tokens.length)

const noPages: readonly number[] = []
const nothing: readonly ResidenceChange[] = []

/** Whether `a` makes room before `b`: lower priority, then the tenant that received more, then the younger. */
function yields({ session: a }: Stay, { session: b }: Stay): boolean {
  if (a.priority !== b.priority) return a.priority < b.priority
  if (a.tenant.service !== b.tenant.service) return a.tenant.service > b.tenant.service
  return a.arrival > b.arrival
}

/** Whether `a` is to get to its end before `b`: higher priority, then the older. */
const outlasts = ({ session: a }: Stay, { session: b }: Stay): boolean =>
  a.priority > b.priority || (a.priority === b.priority && a.arrival < b.arrival)
