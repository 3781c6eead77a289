import { defaultSampling, modelId, sessionId, workerId } from '@deos/domain'
import {
  type FailCode,
  type FinishReason,
  LAST_SAMPLED,
  type OpenRequest,
  type OpenSession,
  type Prepare,
  plainNeeds,
  type RejectCode,
  type RingCapacity,
  type RingMessage,
  type Step,
  type StepDone,
  type StepResult,
} from '../../messages.ts'
import { mix } from '../../testing/fake-model.ts'
import { type LeaderEffect, type LeaderSnapshot, RingLeader } from '../ring-leader.ts'
import { defaultLeaderOptions, type RingLeaderOptions } from '../ring-options.ts'

const VOCAB = 50
const GATEWAY = 'g'

/** What a step consisted of, for a synthetic engine to say how long it takes. */
export interface BenchStep {
  readonly entries: readonly { readonly position: number; readonly count: number; readonly sample: boolean }[]
  readonly sessions: readonly string[]
  readonly decodes: number
  readonly promptTokens: number
}

export interface BenchOutcome {
  readonly tokens: number[]
  end: FinishReason | FailCode | RejectCode | 'vector' | null
  /** Steps that were through when the first token came, and when it ended. */
  firstAt: number | null
  endAt: number | null
}

interface ModelSession {
  readonly open: OpenSession
  /** All tokens that were fed. */
  readonly history: number[]
  readonly pages: number[]
  length: number
  generated: number
  /** The token it sampled last; -1 before there is one. */
  last: number
}

export const benchRequest = (id: string, overrides: Partial<OpenRequest> = {}): OpenRequest => ({
  type: 'open-request',
  session: sessionId(id),
  tokens: Int32Array.of(1, 2, 3),
  resumed: 0,
  maxTokens: 4,
  stopTokens: [],
  sampling: defaultSampling,
  deadlineMs: 0,
  tenant: 't',
  priority: 0,
  needs: plainNeeds,
  pooling: null,
  trace: null,
  ...overrides,
})

const scopeOf = ({ tenant, needs }: OpenRequest): number =>
  [...`${tenant}/${needs.adapter}`].reduce((hash, character) => mix(hash, character.charCodeAt(0)), 7)

const tokenAfter = (tokens: Iterable<number>): number => {
  let hash = 3
  for (const token of tokens) hash = mix(hash, token)
  return hash % VOCAB
}

/** What a request generates in a ring that never interrupts it. */
export function expectedTokens(request: OpenRequest, capacity: RingCapacity): readonly number[] {
  const longest = Math.min(capacity.contextLength, capacity.kvPages * capacity.pageTokens)
  const room = Math.min(request.maxTokens, longest - request.tokens.length)
  const tokens = [...request.tokens]
  const generated: number[] = []
  while (generated.length < room) {
    const token = tokenAfter(tokens)
    tokens.push(token)
    generated.push(token)
    if (request.stopTokens.includes(token)) break
  }
  return generated
}

/**
 * A leader before a model of all its stages, which checks whatever it is told: that positions continue, that a page
 * is written by one session only, and that what a session reads is what its own tokens would have stored.
 */
export class LeaderBench {
  readonly leader: RingLeader
  readonly outcomes = new Map<string, BenchOutcome>()
  readonly steps: BenchStep[] = []
  readonly opens: OpenSession[] = []
  readonly prepares: Prepare[] = []
  nowMs = 0
  readonly #requests = new Map<string, OpenRequest>()
  readonly #sessions = new Map<number, ModelSession>()
  /** For each slot of each page, what stands for everything up to its token. */
  readonly #slots: number[]
  #inbox: { readonly message: RingMessage; readonly tokens: Int32Array | null }[] = []

  constructor(
    readonly capacity: RingCapacity,
    options: Partial<RingLeaderOptions> = {},
    private readonly stepUs: (step: BenchStep) => number = () => 1_000,
  ) {
    this.leader = new RingLeader({
      ...defaultLeaderOptions,
      stages: 1,
      microbatches: 1,
      ahead: false,
      vocabSize: VOCAB,
      firstEpoch: 1,
      ...options,
    })
    this.#slots = new Array<number>(capacity.kvPages * capacity.pageTokens).fill(0)
    this.#act((out) => this.leader.gatewayConnected(GATEWAY, out))
    this.#act((out) => this.leader.tick(this.nowMs, out))
    this.beReady()
  }

  get snapshot(): LeaderSnapshot {
    return this.leader.snapshot()
  }

  /** Whether steps are under way. */
  get busy(): boolean {
    return this.#inbox.some(({ message }) => message.type === 'step')
  }

  outcome(id: string): BenchOutcome {
    const outcome = this.outcomes.get(id)
    if (outcome === undefined) throw new Error(`nothing was asked as ${id}`)
    return outcome
  }

  /** A probe returns. */
  beReady(): void {
    const { capacity } = this
    const { epoch } = this.snapshot
    const report = {
      ...{ worker: workerId('w'), stage: 0, layers: [0, 1] as const, model: modelId('m') },
      ...{ kvPagesFree: capacity.kvPages, capacity, calibration: null, kv: null },
    }
    const probe = { type: 'probe', epoch, sequence: 1_000_000, reports: [report] } as const
    this.#act((out) => this.leader.probeReturned(probe, this.nowMs, out))
  }

  ask(request: OpenRequest): void {
    this.#requests.set(request.session, request)
    this.outcomes.set(request.session, { tokens: [], end: null, firstAt: null, endAt: null })
    this.#act((out) => this.leader.gatewayMessage(GATEWAY, request, this.nowMs, out))
  }

  cancel(id: string): void {
    const message = { type: 'cancel-request', session: sessionId(id) } as const
    this.#act((out) => this.leader.gatewayMessage(GATEWAY, message, this.nowMs, out))
  }

  tick(afterMs: number): void {
    this.nowMs += afterMs
    this.#act((out) => this.leader.tick(this.nowMs, out))
  }

  fault(): void {
    this.#act((out) => this.leader.fault('drawn', this.nowMs, out))
    this.#inbox = []
    this.#sessions.clear()
    this.#slots.fill(0)
  }

  answerPrepare(request: number, problem: string | null = null): void {
    const prepare = this.prepares.find((candidate) => candidate.request === request)!
    this.#act((out) => this.leader.prepared({ ...prepare, problem }, this.nowMs, out))
  }

  /** The oldest step comes through; false if there is none. */
  step(): boolean {
    for (;;) {
      const next = this.#inbox.shift()
      if (next === undefined) return false
      const done = this.#apply(next.message, next.tokens)
      if (done === null) continue
      this.nowMs += done.engineUs / 1_000
      this.#act((out) => this.leader.stepDone(done, this.nowMs, out))
      this.#checkPages()
      return true
    }
  }

  /** Steps until something is so. */
  until(reached: () => boolean, limit = 1_000): void {
    for (let count = 0; !reached(); count++) {
      if (count >= limit || !this.step()) throw new Error(`not reached after ${count} steps`)
    }
  }

  /** Steps until nothing is under way. */
  settle(limit = 10_000): void {
    for (let count = 0; this.step(); count++) {
      if (count >= limit) throw new Error(`still busy after ${limit} steps`)
    }
  }

  #act(action: (out: LeaderEffect[]) => void): void {
    const out: LeaderEffect[] = []
    action(out)
    for (const effect of out) {
      if (effect.type === 'ring') this.#take(effect.message, effect.tokens)
      else if (effect.type === 'gateway' && 'session' in effect.message) {
        const { message } = effect
        const outcome = this.outcome(message.session)
        if (message.type !== 'failed' && message.type !== 'rejected') throw new Error(message.type)
        this.#end(outcome, message.code)
      }
    }
  }

  #take(message: RingMessage, tokens: Int32Array | null): void {
    if (message.type === 'prepare') this.prepares.push(message)
    else if (message.type !== 'probe') this.#inbox.push({ message, tokens })
  }

  #end(outcome: BenchOutcome, end: BenchOutcome['end']): void {
    if (outcome.end !== null) throw new Error(`ended twice: ${outcome.end}, ${end}`)
    outcome.end = end
    outcome.endAt = this.steps.length
  }

  #apply(message: RingMessage, tokens: Int32Array | null): StepDone | null {
    switch (message.type) {
      case 'open':
        this.#open(message)
        return null
      case 'close':
        if (!this.#sessions.delete(message.key)) throw new Error(`key ${message.key} is not open`)
        return null
      case 'step':
        return this.#step(message, tokens!)
      default:
        throw new Error(`the leader sent a ${message.type}`)
    }
  }

  #open(open: OpenSession): void {
    const { key, tokens, cachedTokens, pages, resumed } = open
    if (this.#sessions.has(key)) throw new Error(`key ${key} is open`)
    if (cachedTokens >= tokens.length) throw new Error(`${cachedTokens} of ${tokens.length} are cached`)
    if (pages.length * this.capacity.pageTokens !== cachedTokens) throw new Error('cached pages are not full')
    this.opens.push(open)
    const history = [...tokens]
    const session = { open, history, pages: [...pages], length: cachedTokens, generated: resumed, last: -1 }
    this.#sessions.set(key, session)
    this.#checkReads(session)
  }

  #step({ epoch, step, entries }: Step, tokens: Int32Array): StepDone {
    const results: StepResult[] = []
    let at = 0
    let decodes = 0
    const poolings = new Set<boolean>()
    for (const { key, position, count, sample, pages } of entries) {
      const session = this.#sessions.get(key)
      if (session === undefined) throw new Error(`step ${step} names unknown key ${key}`)
      if (position !== session.length) throw new Error(`${position} does not continue ${session.length}`)
      this.#takePages(session, pages)
      if (position >= session.open.tokens.length) {
        if (tokens[at] === LAST_SAMPLED) tokens[at] = session.last
        session.history.push(tokens[at]!)
        decodes += 1
      }
      this.#checkReads(session)
      for (let offset = 0; offset < count; offset++) {
        if (tokens[at + offset] !== session.history[position + offset]) throw new Error('a token is wrong')
        this.#slots[this.#slot(session, position + offset)] = this.#content(session, position + offset)
      }
      session.length += count
      at += count
      poolings.add(session.open.pooling !== null)
      if (sample) results.push(this.#sample(session))
    }
    if (at > this.capacity.maxBatchTokens) throw new Error(`${at} tokens are too many`)
    if (at !== tokens.length) throw new Error(`${tokens.length} tokens for ${at} positions`)
    if (poolings.size > 1) throw new Error('pooling and generating sessions are mixed')
    const sessions = entries.map(({ key }) => this.#sessions.get(key)!.open.session)
    const done: BenchStep = { entries, sessions, decodes, promptTokens: at - decodes }
    this.steps.push(done)
    return { type: 'step-done', epoch, step, results, engineUs: this.stepUs(done) }
  }

  #takePages(session: ModelSession, pages: readonly number[]): void {
    for (const page of pages) {
      if (page < 0 || page >= this.capacity.kvPages) throw new Error(`there is no page ${page}`)
      for (const other of this.#sessions.values()) {
        if (other.pages.includes(page)) throw new Error(`page ${page} is held by ${other.open.session}`)
      }
      session.pages.push(page)
    }
  }

  #slot(session: ModelSession, position: number): number {
    const { pageTokens } = this.capacity
    const page = session.pages[Math.floor(position / pageTokens)]
    if (page === undefined) throw new Error(`position ${position} has no page`)
    return page * pageTokens + (position % pageTokens)
  }

  #content({ open, history }: ModelSession, position: number): number {
    let hash = scopeOf(this.#requests.get(open.session)!)
    for (let index = 0; index <= position; index++) hash = mix(hash, history[index]!)
    return hash
  }

  #checkReads(session: ModelSession): void {
    for (let position = 0; position < session.length; position++) {
      if (this.#slots[this.#slot(session, position)] !== this.#content(session, position)) {
        throw new Error(`${session.open.session} reads something else at position ${position}`)
      }
    }
  }

  #sample(session: ModelSession): StepResult {
    const { key, session: id, pooling, maxTokens, stopTokens } = session.open
    const outcome = this.outcome(id)
    const live = outcome.end === null
    if (pooling !== null) {
      if (live) this.#end(outcome, 'vector')
      return { key, token: -1, finish: 'stop' }
    }
    const token = tokenAfter(session.history)
    if (live && session.generated !== outcome.tokens.length) throw new Error(`${id} repeats or skips a token`)
    session.generated += 1
    session.last = token
    const finish = stopTokens.includes(token) ? 'stop' : session.generated >= maxTokens ? 'length' : null
    if (live) {
      outcome.tokens.push(token)
      outcome.firstAt ??= this.steps.length + 1
      if (finish !== null) this.#end(outcome, finish)
    }
    return { key, token, finish }
  }

  #checkPages(): void {
    const { pages, pagesFree, pagesCached, pagesHeld } = this.snapshot
    if (pagesFree + pagesCached + pagesHeld !== pages) throw new Error('pages are lost')
    if (pagesFree < 0 || pagesCached < 0 || pagesHeld < 0) throw new Error('there are less than no pages')
  }
}
