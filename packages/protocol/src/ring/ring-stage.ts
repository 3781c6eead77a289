import type { SampledToken } from '@deos/domain'
import type {
  CloseSession,
  EmbeddingDelivery,
  FinishReason,
  ImportPages,
  OpenSession,
  Prepare,
  Probe,
  RingCapacity,
  RingMessage,
  SessionKey,
  SessionNeeds,
  StageKv,
  StageReport,
  StageTime,
  Step,
  StepEntry,
  StepResult,
  TokenDelivery,
} from '../messages.ts'
import type { EngineStepResult } from '../stage-engine.ts'
import { HeldPages } from './held-pages.ts'
import { shortReason } from './reason.ts'
import type { EngineEffect, ImportEffect, RingEvent, StageIdentity } from './ring-events.ts'
import { addTimes, computeUs } from './stage-times.ts'

/** What a stage asks of its worker: `ring` goes to the next stage, or to the leader from the last one. */
export type StageEffect =
  | EngineEffect
  | ImportEffect
  | { readonly type: 'ring'; readonly message: RingMessage }
  | {
      readonly type: 'deliver'
      readonly gateway: string
      readonly message: TokenDelivery | EmbeddingDelivery
    }
  | { readonly type: 'note'; readonly level: 'info' | 'warn'; readonly text: string }

interface StageSession {
  readonly open: OpenSession
  readonly stopTokens: ReadonlySet<number>
  /** Positions that entered the engine. */
  length: number
  readonly pages: number[]
  /** Tokens sampled here, resumed ones included. */
  generated: number
  /** What its steps took since its last token, at each stage; counted where tokens are sampled. */
  times: readonly StageTime[]
  closed: boolean
}

interface PendingStep {
  readonly kind: 'step'
  readonly step: number
  readonly entries: readonly StepEntry[]
  readonly total: number
  /** At earlier stages. */
  readonly times: readonly StageTime[]
  /** Of the entries, and of those that sample. */
  readonly sessions: readonly StageSession[]
  readonly sampling: readonly StageSession[]
  done: { readonly result: EngineStepResult; readonly time: StageTime } | null
}

type Outgoing = PendingStep | { readonly kind: 'message'; readonly message: RingMessage }

/** While an engine resets, the leader sends nothing but probes; more than a few messages mean a broken peer. */
const MAX_HELD = 64

interface Held {
  readonly message: RingMessage
  readonly tokens: Int32Array | null
}

/**
 * One stage of a ring: checks what comes from upstream, feeds the engine, and passes results on in the order in
 * which their causes came. The stage with the head also counts tokens, ends generations and delivers to gateways.
 *
 * A stage follows the highest epoch it has seen. When it can no longer vouch for its sessions it raises a fault once
 * and ignores the rest of that epoch; the next epoch starts with an empty engine.
 */
export class RingStage {
  #epoch = 0
  #faultReason: string | null = null
  #engine: 'absent' | 'ready' | 'resetting' = 'absent'
  /** Whether the engine may hold sessions. */
  #dirty = false
  #capacity: RingCapacity | null = null
  #kv: StageKv | null = null
  readonly #pages = new HeldPages()
  readonly #preparing = new Map<number, Prepare>()
  readonly #sessions = new Map<SessionKey, StageSession>()
  readonly #imports = new Map<SessionKey, ImportPages>()
  readonly #outbox: Outgoing[] = []
  readonly #held: Held[] = []

  constructor(private readonly identity: StageIdentity) {}

  get epoch(): number {
    return this.#epoch
  }

  get sessions(): number {
    return this.#sessions.size
  }

  get pagesHeld(): number {
    return this.#pages.count
  }

  /** Steps inside the engine. */
  get pendingSteps(): number {
    return this.#outbox.filter((item) => item.kind === 'step').length
  }

  /** @param tokens - ids of a step at stage 0, which has no hidden states yet; else `null` */
  receive(message: RingMessage, tokens: Int32Array | null, out: StageEffect[]): void {
    if (message.type === 'fault') {
      out.push({ type: 'ring', message })
      return
    }
    if (message.epoch < this.#epoch) {
      // Only a leader that restarted with a stale counter probes below our epoch; tell it where we are.
      if (message.type === 'probe') this.#sendFault(`epoch ${message.epoch} is over`, out)
      return
    }
    if (message.epoch > this.#epoch) this.#adopt(message.epoch, out)
    if (this.#faultReason !== null) {
      if (message.type === 'probe') this.#sendFault(this.#faultReason, out)
      return
    }
    if (this.#engine === 'resetting') this.#hold(message, tokens, out)
    else this.#process(message, tokens, out)
  }

  /** The stage can no longer vouch for its sessions in this epoch. */
  fault(reason: string, out: StageEffect[]): void {
    if (this.#faultReason !== null || this.#epoch === 0) return
    this.#faultReason = shortReason(reason)
    this.#forgetAll(out)
    out.push({
      type: 'note',
      level: 'warn',
      text: `Stage ${this.identity.stage} faults epoch ${this.#epoch}: ${reason}.`,
    })
    this.#sendFault(this.#faultReason, out)
  }

  /** @param kv - `null` if the engine does not say */
  engineReady(capacity: RingCapacity, kv: StageKv | null, out: StageEffect[]): void {
    this.#capacity = capacity
    this.#kv = kv
    this.#engine = 'ready'
    this.#dirty = false
    this.#releaseHeld(out)
  }

  engineLost(reason: string, out: StageEffect[]): void {
    this.#engine = 'absent'
    this.#dirty = false
    this.#capacity = null
    this.fault(`the engine is gone (${reason})`, out)
  }

  engineResetDone(out: StageEffect[]): void {
    if (this.#engine !== 'resetting') return
    this.#engine = 'ready'
    this.#releaseHeld(out)
  }

  engineStepped(
    { epoch, step, result, waitUs, linkUs }: Extract<RingEvent, { type: 'engine-stepped' }>,
    out: StageEffect[],
  ): void {
    if (epoch !== this.#epoch || this.#faultReason !== null) return
    const pending = this.#outbox.find((item) => item.kind === 'step' && item.step === step)
    if (pending?.kind !== 'step') return
    const problem = this.#checkResult(pending, result)
    if (problem !== null) {
      this.fault(problem, out)
      return
    }
    pending.done = { result, time: { waitUs, computeUs: result.computeUs, linkUs } }
    this.#flush(out)
  }

  engineFailed(epoch: number, step: number, reason: string, out: StageEffect[]): void {
    if (epoch !== this.#epoch) return
    this.fault(`step ${step} failed in the engine (${reason})`, out)
  }

  enginePrepared(epoch: number, request: number, problem: string | null, out: StageEffect[]): void {
    const message = this.#preparing.get(request)
    if (epoch !== this.#epoch || message === undefined) return
    this.#preparing.delete(request)
    out.push({
      type: 'ring',
      message: { ...message, problem: problem === null ? null : shortReason(problem) },
    })
  }

  #adopt(epoch: number, out: StageEffect[]): void {
    this.#epoch = epoch
    this.#faultReason = null
    this.#forgetAll(out)
    if (this.#engine === 'ready' && this.#dirty) {
      this.#engine = 'resetting'
      this.#dirty = false
      out.push({ type: 'engine-reset' })
    }
  }

  #forgetAll(out: StageEffect[]): void {
    for (const { key, session } of this.#imports.values()) out.push({ type: 'import-closed', key, session })
    this.#imports.clear()
    this.#sessions.clear()
    this.#outbox.length = 0
    this.#held.length = 0
    this.#pages.clear()
    this.#preparing.clear()
  }

  #sendFault(reason: string, out: StageEffect[]): void {
    out.push({
      type: 'ring',
      message: { type: 'fault', epoch: this.#epoch, stage: this.identity.stage, reason },
    })
  }

  #hold(message: RingMessage, tokens: Int32Array | null, out: StageEffect[]): void {
    const last = this.#held.at(-1)
    // A newer probe says all that an unanswered one said.
    if (message.type === 'probe' && last?.message.type === 'probe') this.#held.pop()
    this.#held.push({ message, tokens })
    if (this.#held.length > MAX_HELD) this.fault(`${MAX_HELD} messages came while the engine reset`, out)
  }

  #releaseHeld(out: StageEffect[]): void {
    for (const { message, tokens } of this.#held.splice(0)) {
      if (this.#faultReason === null) this.#process(message, tokens, out)
    }
  }

  #process(message: RingMessage, tokens: Int32Array | null, out: StageEffect[]): void {
    const problem = this.#apply(message, tokens, out)
    if (problem !== null) this.fault(problem, out)
  }

  /** Returns why the message cannot be, which ends the epoch; `null` if it took effect. */
  #apply(message: RingMessage, tokens: Int32Array | null, out: StageEffect[]): string | null {
    const capacity = this.#capacity
    if (capacity === null) {
      return message.type === 'probe' ? null : `a ${message.type} came before the engine was ready`
    }
    switch (message.type) {
      case 'probe':
        this.#probe(message, capacity, out)
        return null
      case 'prepare':
        this.#prepare(message, out)
        return null
      case 'open':
        return this.#open(message, capacity, out)
      case 'import':
        return this.#import(message, capacity, out)
      case 'close':
        return this.#close(message, out)
      case 'step':
        return this.#step(message, tokens, capacity, out)
      default:
        return `the previous stage sent a ${message.type}`
    }
  }

  /** Probes overtake steps: they show that links and epochs are sound, not how long computing takes. */
  #probe(message: Probe, capacity: RingCapacity, out: StageEffect[]): void {
    const { worker, stage, layers, model, calibration = null } = this.identity
    const report: StageReport = {
      worker,
      stage,
      layers: [layers.first, layers.end],
      model,
      kvPagesFree: capacity.kvPages - this.#pages.count,
      capacity,
      calibration,
      kv: this.#kv,
    }
    out.push({ type: 'ring', message: { ...message, reports: [...message.reports, report] } })
  }

  /** A grammar matters only where sampling is. */
  #ownNeeds(needs: SessionNeeds): SessionNeeds {
    return this.#last ? needs : { ...needs, grammar: null }
  }

  /** Getting ready takes its time beside steps. */
  #prepare(message: Prepare, out: StageEffect[]): void {
    const { epoch, request, problem } = message
    const needs = this.#ownNeeds(message.needs)
    if (problem !== null || (needs.adapter === null && needs.grammar === null)) {
      out.push({ type: 'ring', message })
      return
    }
    this.#preparing.set(request, message)
    out.push({ type: 'engine-prepare', epoch, request, needs, maxTokens: message.maxTokens })
  }

  #open(message: OpenSession, capacity: RingCapacity, out: StageEffect[]): string | null {
    const { key, tokens, resumed, maxTokens, sampling, pooling, trace, cachedTokens, pages } = message
    if (this.#sessions.has(key) || this.#imports.has(key)) return `session key ${key} is already open`
    if (tokens.length > capacity.contextLength) {
      return `${tokens.length} prompt tokens exceed ${capacity.contextLength} positions`
    }
    if (cachedTokens !== pages.length * capacity.pageTokens) {
      return `${cachedTokens} cached positions do not fill ${pages.length} pages`
    }
    const problem = this.#pages.share(pages, capacity.kvPages)
    if (problem !== null) return problem
    this.#sessions.set(key, {
      open: message,
      stopTokens: new Set(message.stopTokens),
      length: cachedTokens,
      pages: [...pages],
      generated: resumed,
      times: [],
      closed: false,
    })
    this.#dirty = true
    const needs = this.#ownNeeds(message.needs)
    out.push({
      type: 'engine-open',
      session: { key, tokens, resumed, maxTokens, sampling, needs, pooling, trace, cachedTokens, pages },
      id: message.session,
    })
    this.#passOn(message, out)
    return null
  }

  /** Its pages are kept for what comes from outside, until it is closed. */
  #import(message: ImportPages, capacity: RingCapacity, out: StageEffect[]): string | null {
    const { key, session, gateway, first, end, pages } = message
    if (this.#sessions.has(key) || this.#imports.has(key)) return `session key ${key} is already open`
    if (end > capacity.contextLength) return `an import to ${end} exceeds ${capacity.contextLength} positions`
    if (first % capacity.pageTokens !== 0 || end - first !== pages.length * capacity.pageTokens) {
      return `an import of [${first}, ${end}) does not fill ${pages.length} pages`
    }
    const problem = this.#pages.take(pages, capacity.kvPages)
    if (problem !== null) return problem
    this.#imports.set(key, message)
    this.#dirty = true
    out.push({ type: 'import-opened', key, session, gateway, first, end, pages })
    // Behind the steps that may still use its pages.
    this.#outbox.push({ kind: 'message', message })
    this.#flush(out)
    return null
  }

  #close(message: CloseSession, out: StageEffect[]): string | null {
    const imported = this.#imports.get(message.key)
    if (imported !== undefined) {
      this.#pages.release(imported.pages)
      this.#imports.delete(message.key)
      out.push({ type: 'import-closed', key: message.key, session: imported.session })
      this.#passOn(message, out)
      return null
    }
    const session = this.#sessions.get(message.key)
    if (session === undefined) return `session key ${message.key} to close is not open`
    session.closed = true
    this.#pages.release(session.pages)
    this.#sessions.delete(message.key)
    out.push({ type: 'engine-close', key: message.key })
    this.#passOn(message, out)
    return null
  }

  #step(message: Step, tokens: Int32Array | null, capacity: RingCapacity, out: StageEffect[]): string | null {
    const { step, entries } = message
    let total = 0
    let pooling = 0
    const sessions: StageSession[] = []
    const sampling: StageSession[] = []
    for (const entry of entries) {
      const session = this.#sessions.get(entry.key)
      if (session === undefined) return `step ${step} names unknown session key ${entry.key}`
      const problem = this.#extend(session, entry, capacity)
      if (problem !== null) return `step ${step}: ${problem}`
      sessions.push(session)
      if (entry.sample) sampling.push(session)
      if (session.open.pooling !== null) pooling += 1
      total += entry.count
    }
    if (pooling > 0 && pooling < entries.length) return `step ${step} mixes generating and pooling sessions`
    if (total > capacity.maxBatchTokens) {
      return `step ${step} has ${total} tokens, the engine takes ${capacity.maxBatchTokens}`
    }
    const hidden = tokens === null ? message.hidden : null
    const expected = total * this.identity.hiddenSize * 4
    const { times, coded } = message
    if (hidden !== null && !fits(hidden, coded, expected)) {
      return `step ${step} carries ${sizeOf(hidden, coded)} of hidden states, not ${expected}`
    }
    this.#outbox.push({ kind: 'step', step, entries, total, times, sessions, sampling, done: null })
    out.push({
      type: 'engine-step',
      epoch: this.#epoch,
      step,
      work: { entries, tokens, hidden, ...(hidden && coded && { coded }) },
    })
    return null
  }

  /** Counts positions and pages of an entry, or says why it cannot be. */
  #extend(session: StageSession, entry: StepEntry, capacity: RingCapacity): string | null {
    if (entry.position !== session.length) {
      return `session key ${entry.key} continues at ${entry.position}, but holds ${session.length} positions`
    }
    const length = session.length + entry.count
    if (length > capacity.contextLength) {
      return `session key ${entry.key} reaches ${length} of ${capacity.contextLength} positions`
    }
    const problem = this.#pages.take(entry.pages, capacity.kvPages)
    if (problem !== null) return problem
    session.pages.push(...entry.pages)
    session.length = length
    return session.pages.length * capacity.pageTokens < length
      ? `session key ${entry.key} reaches ${length} positions in ${session.pages.length} pages`
      : null
  }

  get #last(): boolean {
    return this.identity.stage === this.identity.stages - 1
  }

  /** Opens and closes end at the last stage; before it they stay behind the steps they followed. */
  #passOn(message: RingMessage, out: StageEffect[]): void {
    if (this.#last) return
    this.#outbox.push({ kind: 'message', message })
    this.#flush(out)
  }

  #flush(out: StageEffect[]): void {
    for (;;) {
      const head = this.#outbox[0]
      if (head === undefined) return
      if (head.kind === 'message') out.push({ type: 'ring', message: head.message })
      else if (head.done === null) return
      else this.#finish(head, head.done.result, [...head.times, head.done.time], out)
      this.#outbox.shift()
    }
  }

  #finish(
    pending: PendingStep,
    result: EngineStepResult,
    times: readonly StageTime[],
    out: StageEffect[],
  ): void {
    const { step, entries } = pending
    const epoch = this.#epoch
    if (!this.#last) {
      const { hidden, coded } = result
      const message = { type: 'step', epoch, step, entries, times, hidden, ...(coded && { coded }) } as const
      out.push({ type: 'ring', message })
      return
    }
    for (const session of pending.sessions) session.times = addTimes(session.times, times)
    const results = pending.sampling.map((session, index) =>
      session.open.pooling === null
        ? this.#deliver(session, result.sampled[index]!, out)
        : this.#deliverVector(session, result.pooled[index]!, out),
    )
    const engineUs = computeUs(times)
    out.push({ type: 'ring', message: { type: 'step-done', epoch, step, results, engineUs } })
  }

  #deliver(session: StageSession, sampled: SampledToken, out: StageEffect[]): StepResult {
    const { key, gateway, session: id, cachedTokens } = session.open
    if (session.closed) return { key, token: sampled.token, finish: null }
    session.generated += 1
    const finish = this.#finishReason(session, sampled.token)
    const message: TokenDelivery = {
      type: 'token',
      session: id,
      index: session.generated - 1,
      sampled,
      finish,
      times: session.times,
      cachedTokens,
    }
    session.times = []
    // A step ahead may bring one more, which nobody asked for.
    if (finish !== null) session.closed = true
    out.push({ type: 'deliver', gateway, message })
    return { key, token: sampled.token, finish }
  }

  #deliverVector(session: StageSession, vector: Uint8Array, out: StageEffect[]): StepResult {
    const { key, gateway, session: id } = session.open
    if (!session.closed) {
      out.push({ type: 'deliver', gateway, message: { type: 'embedding', session: id, vector } })
    }
    return { key, token: -1, finish: 'stop' }
  }

  #finishReason(session: StageSession, token: number): FinishReason | null {
    if (session.stopTokens.has(token)) return 'stop'
    if (session.generated >= session.open.maxTokens) return 'length'
    return session.length >= (this.#capacity?.contextLength ?? 0) ? 'length' : null
  }

  #checkResult(pending: PendingStep, result: EngineStepResult): string | null {
    const results = this.#last ? pending.sampling.length : 0
    const pooling = pending.sampling.some(({ open }) => open.pooling !== null)
    const { sampled, pooled } = result
    if (sampled.length !== (pooling ? 0 : results) || pooled.length !== (pooling ? results : 0)) {
      return `the engine gave ${sampled.length} tokens and ${pooled.length} vectors in step ${pending.step}, not ${results} of one kind`
    }
    const vectorBytes = this.identity.hiddenSize * 4
    const odd = pooled.find(({ byteLength }) => byteLength !== vectorBytes)
    if (odd !== undefined) return `the engine gave a vector of ${odd.byteLength} bytes, not ${vectorBytes}`
    const hidden = this.#last ? 0 : pending.total * this.identity.hiddenSize * 4
    if (!fits(result.hidden, result.coded, hidden)) {
      return `the engine returned ${sizeOf(result.hidden, result.coded)} in step ${pending.step}, not ${hidden}`
    }
    return null
  }
}

/** Coded hidden states are always fewer bytes, which only whoever decodes them can judge. */
const fits = ({ byteLength }: Uint8Array, coded: true | undefined, expected: number): boolean =>
  coded ? byteLength > 0 && byteLength < expected : byteLength === expected

const sizeOf = ({ byteLength }: Uint8Array, coded: true | undefined): string =>
  `${byteLength} ${coded ? 'coded bytes' : 'bytes'}`
