import type { SessionId } from '@deos/domain'
import type {
  FailCode,
  Fault,
  GatewayToLeader,
  ImportCommit,
  ImportPages,
  ImportRequest,
  OpenRequest,
  OpenSession,
  Prepare,
  Probe,
  RingCapacity,
  RingMessage,
  RingStatus,
  RingUsage,
  StageReport,
  StepDone,
  StepEntry,
  StepResult,
  ToGateway,
} from '../messages.ts'
import { allowedTokens, judgeImport, judgeLength, judgeRequest, type Refusal } from './admission.ts'
import { CompletionRate } from './completion-rate.ts'
import { Imports, importReady } from './imports.ts'
import type { PageImport } from './memory/page-import.ts'
import { TokenSequence } from './memory/token-sequence.ts'
import { Preparations } from './preparations.ts'
import { ProbeWatch } from './probe-watch.ts'
import { shortReason } from './reason.ts'
import { checkLeaderOptions, type RingLeaderOptions } from './ring-options.ts'
import { findReportProblem, ringCapacity } from './ring-reports.ts'
import { cacheScope, RingSession, type Stay } from './ring-session.ts'
import { OutputLengths } from './scheduling/output-lengths.ts'
import { Residents } from './scheduling/residents.ts'
import { type ComposedStep, StepComposer } from './scheduling/step-composer.ts'
import { StepsInFlight } from './scheduling/steps-in-flight.ts'
import { GENERATED_TOKEN_SERVICE, TenantShares } from './scheduling/tenant-shares.ts'

/** What the leader asks for: `ring` enters the stage beside it, as if it came from upstream. */
export type LeaderEffect =
  | { readonly type: 'ring'; readonly message: RingMessage; readonly tokens: Int32Array | null }
  | { readonly type: 'gateway'; readonly gateway: string; readonly message: ToGateway }
  | { readonly type: 'drained' }
  | { readonly type: 'note'; readonly level: 'info' | 'warn'; readonly text: string }

interface Flight {
  readonly step: number
  readonly sentMs: number
  readonly composed: ComposedStep
}

/** Sums since the leader started. */
export interface LeaderCounters {
  readonly steps: number
  readonly generatedTokens: number
  readonly completed: number
  readonly failed: number
  readonly rejected: number
  readonly faults: number
}

export interface LeaderSnapshot extends LeaderCounters, RingUsage {
  readonly ready: boolean
  readonly epoch: number
  /** Sessions open in the ring, and those that wait. */
  readonly active: number
  readonly queued: number
  readonly stepsInFlight: number
  /** Pages of open sessions; the others are free or cached. */
  readonly pagesHeld: number
  readonly capacity: RingCapacity | null
}

const NOT_READY_RETRY_MS = 1_000

/**
 * Runs beside stage 0: admits requests, batches them into steps, keeps the ring full, and watches over it. Which
 * sessions are open and where their KV is, {@link Residents} decides; what goes into a step, {@link StepComposer}.
 *
 * After a fault nothing in the ring can be trusted: every running session fails with `ring_fault`, the epoch rises,
 * and probes go around until one returns. Requests that only waited stay in the queue.
 */
export class RingLeader {
  #epoch: number
  #ready = false
  #notReadySinceMs = Number.NEGATIVE_INFINITY
  #lastRaiseMs = Number.NEGATIVE_INFINITY
  #lastStatusMs = Number.NEGATIVE_INFINITY
  #capacity: RingCapacity | null = null
  #reports: readonly StageReport[] = []
  #reportProblem: string | null = null
  #draining = false
  #drainedSaid = false
  #nextStep = 1
  #arrivals = 0
  readonly #gateways = new Set<string>()
  readonly #sessions = new Map<SessionId, RingSession>()
  readonly #flights: Flight[] = []
  readonly #tenants = new TenantShares()
  readonly #lengths = new OutputLengths()
  readonly #residents: Residents
  readonly #composer: StepComposer
  readonly #preparations: Preparations
  readonly #imports = new Imports()
  readonly #probes: ProbeWatch
  readonly #inFlight: StepsInFlight
  readonly #rate = new CompletionRate()
  readonly #counters = { steps: 0, generatedTokens: 0, completed: 0, failed: 0, rejected: 0, faults: 0 }

  /** @throws RangeError naming an option that makes no sense */
  constructor(private readonly options: RingLeaderOptions) {
    checkLeaderOptions(options)
    this.#epoch = options.firstEpoch
    this.#residents = new Residents(options.maxSessions, this.#lengths)
    this.#composer = new StepComposer({ ...options, ahead: this.#ahead }, this.#residents)
    this.#preparations = new Preparations(options.stepTimeoutMs)
    this.#inFlight = new StepsInFlight(options.stages, options.microbatches)
    this.#probes = new ProbeWatch(options.probeIntervalMs, options.probeTimeoutMs)
  }

  snapshot(): LeaderSnapshot {
    return {
      ready: this.#ready,
      epoch: this.#epoch,
      active: this.#residents.size,
      queued: this.#queued,
      stepsInFlight: this.#flights.length,
      pagesHeld: this.#residents.pages.held,
      capacity: this.#capacity,
      ...this.#usage(),
      ...this.#counters,
    }
  }

  gatewayConnected(gateway: string, out: LeaderEffect[]): void {
    this.#gateways.add(gateway)
    out.push({ type: 'gateway', gateway, message: this.#status() })
  }

  /** Nobody is left to read the answers. */
  gatewayLost(gateway: string, nowMs: number, out: LeaderEffect[]): void {
    this.#gateways.delete(gateway)
    for (const session of [...this.#sessions.values()]) {
      if (session.gateway === gateway) this.#end(session, nowMs)
    }
    this.#dropImports(({ gateway: owner }) => owner === gateway)
    this.#pump(nowMs, out)
  }

  gatewayMessage(gateway: string, message: GatewayToLeader, nowMs: number, out: LeaderEffect[]): void {
    if (!this.#gateways.has(gateway)) return
    switch (message.type) {
      case 'open-request':
        this.#openRequest(gateway, message, nowMs, out)
        break
      case 'cancel-request':
        this.#cancelRequest(gateway, message.session, nowMs, out)
        break
      case 'import-request':
        this.#importRequest(gateway, message, nowMs, out)
        break
      case 'import-commit':
        this.#importCommit(gateway, message, out)
        break
      case 'spare-request':
        this.#spareRequest(gateway, message.session)
    }
    this.#pump(nowMs, out)
  }

  /** An import went around the ring: every stage holds its pages. */
  imported(message: ImportPages, nowMs: number, out: LeaderEffect[]): void {
    if (this.#foreign(message.epoch, nowMs, out)) return
    const found = this.#imports.byKey(message.key)
    if (found === undefined) return
    out.push({ type: 'gateway', gateway: found.gateway, message: importReady(found) })
  }

  stepDone(message: StepDone, nowMs: number, out: LeaderEffect[]): void {
    if (this.#foreign(message.epoch, nowMs, out)) return
    const flight = this.#flights.shift()
    if (flight?.step !== message.step || !answers(message.results, flight.composed.entries)) {
      this.fault(`the last stage answered step ${message.step} wrongly`, nowMs, out)
      return
    }
    this.#composer.measured(flight.composed, message.engineUs)
    if (flight.composed.promptTokens === 0) this.#inFlight.stepped(message.engineUs)
    this.#composer.microbatches = this.#inFlight.count
    for (const result of message.results) this.#advance(result, nowMs)
    this.#pump(nowMs, out)
  }

  /** Needs went around the ring: their session may open, or never can. */
  prepared(message: Prepare, nowMs: number, out: LeaderEffect[]): void {
    if (this.#foreign(message.epoch, nowMs, out)) return
    const session = this.#preparations.finish(message.request)
    if (session === undefined) return
    const { problem } = message
    if (problem === null) this.#composer.add(session)
    else this.#handBack(session, { code: 'invalid', message: problem, retryAfterMs: 0 }, nowMs, out)
    this.#pump(nowMs, out)
  }

  probeReturned(message: Probe, nowMs: number, out: LeaderEffect[]): void {
    if (this.#foreign(message.epoch, nowMs, out)) return
    const tripMs = this.#probes.returned(message.sequence, nowMs)
    if (tripMs !== null) this.#inFlight.probed(tripMs)
    const problem = findReportProblem(message.reports, this.options.stages)
    if (problem !== this.#reportProblem) {
      this.#reportProblem = problem
      if (problem !== null) out.push(note('warn', `The ring is not whole: ${problem}.`))
    }
    if (problem !== null) {
      if (this.#ready) this.fault(problem, nowMs, out)
      return
    }
    this.#reports = message.reports
    if (!this.#ready) this.#becomeReady(ringCapacity(message.reports), nowMs, out)
  }

  faultReported(message: Fault, nowMs: number, out: LeaderEffect[]): void {
    if (this.#foreign(message.epoch, nowMs, out)) return
    this.fault(`stage ${message.stage}: ${message.reason}`, nowMs, out)
  }

  /** A ring link beside the leader broke: what was on it is lost, unless nothing was. */
  linkLost(reason: string, nowMs: number, out: LeaderEffect[]): void {
    if (this.#ready) this.fault(reason, nowMs, out)
  }

  /** Ends this epoch: running sessions fail, and the ring starts over empty. */
  fault(reason: string, nowMs: number, out: LeaderEffect[]): void {
    this.#counters.faults += 1
    this.#epoch += 1
    const running = this.#residents.stop()
    for (const { session, gateway } of this.#imports.takeAll(() => true)) {
      const message = `The ring failed: ${shortReason(reason)}. Its pages are gone.`
      this.#tellFailed(gateway, session, 'ring_fault', message, out)
    }
    out.push(
      note('warn', `Ring fault (${reason}): ${running.length} sessions stop, epoch ${this.#epoch} begins.`),
    )
    this.#composer.stop()
    this.#preparations.clear()
    this.#flights.length = 0
    this.#probes.restart()
    this.#reportProblem = null
    if (this.#ready) this.#notReadySinceMs = nowMs
    this.#ready = false
    for (const session of running) {
      this.#forget(session)
      const message = `The ring failed: ${shortReason(reason)}. Resume with the tokens received.`
      this.#fail(session, 'ring_fault', message, out)
    }
    // A ring that faults at once in every epoch is probed at the usual pace.
    if (nowMs - this.#lastRaiseMs >= this.options.probeIntervalMs) this.#probe(nowMs, out)
    this.#lastRaiseMs = nowMs
    this.#broadcast(nowMs, out)
  }

  drain(nowMs: number, out: LeaderEffect[]): void {
    this.#draining = true
    for (const { session, gateway } of this.#dropImports(() => true)) {
      this.#tellFailed(gateway, session, 'cancelled', 'This ring takes no more requests. Use another.', out)
    }
    this.#pump(nowMs, out)
  }

  tick(nowMs: number, out: LeaderEffect[]): void {
    const oldest = this.#flights[0]
    const { stepTimeoutMs, probeTimeoutMs } = this.options
    if (oldest !== undefined && nowMs - oldest.sentMs > stepTimeoutMs) {
      this.fault(`step ${oldest.step} took more than ${stepTimeoutMs} ms`, nowMs, out)
    }
    if (this.#preparations.overdue(nowMs)) {
      this.fault(`an adapter or grammar was not ready within ${stepTimeoutMs} ms`, nowMs, out)
    }
    if (this.#probes.overdue(nowMs)) {
      this.#probes.restart()
      if (this.#ready) this.fault(`no probe returned within ${probeTimeoutMs} ms`, nowMs, out)
    }
    if (this.#probes.due(nowMs)) this.#probe(nowMs, out)
    for (const session of [...this.#sessions.values()]) {
      if (nowMs >= session.deadlineMs) this.#endWith(session, 'deadline', nowMs, out)
    }
    for (const { session, gateway } of this.#dropImports(({ deadlineMs }) => nowMs >= deadlineMs)) {
      this.#tellFailed(gateway, session, 'deadline', 'What was to be imported did not come in time.', out)
    }
    if (this.#outOfPatience(nowMs)) {
      for (const session of [...this.#sessions.values()]) this.#handBack(session, notReady, nowMs, out)
    }
    if (nowMs - this.#lastStatusMs >= this.options.statusIntervalMs) this.#broadcast(nowMs, out)
    this.#pump(nowMs, out)
  }

  get #queued(): number {
    return this.#sessions.size - this.#residents.size
  }

  #openRequest(gateway: string, request: OpenRequest, nowMs: number, out: LeaderEffect[]): void {
    const refusal = this.#refuse(request, nowMs)
    if (refusal !== null) {
      this.#reject(gateway, request.session, refusal, out)
      return
    }
    const deadlineMs = request.deadlineMs === 0 ? Number.POSITIVE_INFINITY : nowMs + request.deadlineMs
    const tenant = this.#tenants.enter(request.tenant)
    const arrival = this.#arrivals++
    const { prefixCache } = this.options
    const session = new RingSession(request, gateway, arrival, deadlineMs, tenant, prefixCache)
    this.#sessions.set(request.session, session)
    if (this.#ready) this.#wait(session, nowMs, out)
  }

  /** The session stands in line, after every stage is ready for it. */
  #wait(session: RingSession, nowMs: number, out: LeaderEffect[]): void {
    if (!session.needsPreparing) {
      this.#composer.add(session)
      return
    }
    const request = this.#preparations.begin(session, nowMs)
    const { needs } = session.request
    const maxTokens = allowedTokens(session.request, this.#capacity!)
    this.#send({ type: 'prepare', epoch: this.#epoch, request, needs, maxTokens, problem: null }, out)
  }

  /** Why a request cannot even wait. */
  #refuse(request: OpenRequest, nowMs: number): Refusal | null {
    if (this.#draining) {
      const message = 'This ring takes no more requests. Use another.'
      return { code: 'draining', message, retryAfterMs: NOT_READY_RETRY_MS }
    }
    if (this.#capacity === null || this.#outOfPatience(nowMs)) return notReady
    if (this.#sessions.has(request.session)) {
      const message = `Session ${request.session} is already open. Use a fresh id.`
      return { code: 'invalid', message, retryAfterMs: 0 }
    }
    const refusal = judgeRequest(request, this.#capacity, this.options.vocabSize)
    if (refusal !== null) return refusal
    const { maxSessions, maxQueued } = this.options
    // Who waits although there are places waits for pages.
    const queued = this.#queued
    const full = this.#sessions.size - this.#residents.spares >= maxSessions + maxQueued
    if (!full && !(this.#composer.blocked && queued >= maxQueued)) return null
    const retryAfterMs = this.#rate.retryAfterMs(queued)
    const message = `${queued} requests already wait. Try again in ${retryAfterMs} ms.`
    return { code: 'queue_full', message, retryAfterMs }
  }

  #outOfPatience(nowMs: number): boolean {
    return !this.#ready && nowMs - this.#notReadySinceMs > this.options.readyPatienceMs
  }

  #reject(gateway: string, session: SessionId, refusal: Refusal, out: LeaderEffect[]): void {
    this.#counters.rejected += 1
    out.push({ type: 'gateway', gateway, message: { type: 'rejected', session, ...refusal } })
  }

  #cancelRequest(gateway: string, id: SessionId, nowMs: number, out: LeaderEffect[]): void {
    const session = this.#sessions.get(id)
    if (session?.gateway === gateway) this.#endWith(session, 'cancelled', nowMs, out)
    const found = this.#imports.take(id, gateway)
    if (found !== undefined) this.#residents.closeImport(found.entry, found.entry.first)
  }

  #importRequest(gateway: string, request: ImportRequest, nowMs: number, out: LeaderEffect[]): void {
    const { session, tokens, tenant, adapter, deadlineMs } = request
    const refusal = this.#refuseImport(request)
    if (refusal !== null) {
      this.#reject(gateway, session, refusal, out)
      return
    }
    const entry = this.#residents.openImport(cacheScope(tenant, adapter), new TokenSequence(tokens))
    if (entry === null) {
      const retryAfterMs = this.#rate.retryAfterMs(this.#queued + 1)
      const message = `The ring has no pages for ${tokens.length} positions from elsewhere. Compute them here.`
      this.#reject(gateway, session, { code: 'queue_full', message, retryAfterMs }, out)
      return
    }
    const until = deadlineMs === 0 ? Number.POSITIVE_INFINITY : nowMs + deadlineMs
    this.#imports.add({ session, gateway, entry, deadlineMs: until })
  }

  #refuseImport(request: ImportRequest): Refusal | null {
    if (this.#draining) {
      const message = 'This ring takes no more requests. Use another.'
      return { code: 'draining', message, retryAfterMs: NOT_READY_RETRY_MS }
    }
    if (!this.#ready || this.#capacity === null) return notReady
    if (!this.options.prefixCache) {
      const message = 'This ring keeps no prefixes, so that nothing can be imported. Compute the prompt here.'
      return { code: 'invalid', message, retryAfterMs: 0 }
    }
    if (this.#imports.has(request.session) || this.#sessions.has(request.session)) {
      const message = `Session ${request.session} is already open. Use a fresh id.`
      return { code: 'invalid', message, retryAfterMs: 0 }
    }
    return judgeImport(request, this.#capacity, this.options.vocabSize)
  }

  #spareRequest(gateway: string, id: SessionId): void {
    const session = this.#sessions.get(id)
    if (session?.gateway !== gateway || !session.promptOnly || session.stay === null) return
    if (session.remaining === 0) this.#residents.spare(session.stay)
  }

  #importCommit(gateway: string, { session, position, keep }: ImportCommit, out: LeaderEffect[]): void {
    const held = keep ? this.#imports.get(session, gateway) : undefined
    if (held !== undefined) {
      this.#residents.keepImport(held.entry, position)
      return
    }
    const found = this.#imports.take(session, gateway)
    if (found !== undefined) {
      this.#residents.closeImport(found.entry, position)
      return
    }
    // The ring failed meanwhile: whoever asks next would compute everything without knowing why.
    this.#tellFailed(gateway, session, 'ring_fault', `Nothing is imported for session ${session}.`, out)
  }

  /** Gives their pages back, and returns whose they were. */
  #dropImports(matches: Parameters<Imports['takeAll']>[0]): ReturnType<Imports['takeAll']> {
    const taken = this.#imports.takeAll(matches)
    for (const { entry } of taken) this.#residents.closeImport(entry, entry.first)
    return taken
  }

  #becomeReady(capacity: RingCapacity, nowMs: number, out: LeaderEffect[]): void {
    this.#ready = true
    this.#capacity = capacity
    this.#residents.start(capacity)
    this.#composer.start(capacity)
    out.push(note('info', `The ring is ready in epoch ${this.#epoch}.`))
    for (const session of [...this.#sessions.values()]) {
      // After a fault the ring may come back smaller.
      const refusal = judgeLength(session.tokens.length, session.pooling, capacity)
      if (refusal === null) this.#wait(session, nowMs, out)
      else this.#handBack(session, refusal, nowMs, out)
    }
    this.#broadcast(nowMs, out)
    this.#pump(nowMs, out)
  }

  /** Gives up a session that waits; one that was under way before can be resumed elsewhere. */
  #handBack(session: RingSession, refusal: Refusal, nowMs: number, out: LeaderEffect[]): void {
    this.#end(session, nowMs)
    if (session.started) this.#fail(session, 'ring_fault', refusal.message, out)
    else this.#reject(session.gateway, session.request.session, refusal, out)
  }

  #endWith(session: RingSession, code: FailCode, nowMs: number, out: LeaderEffect[]): void {
    this.#end(session, nowMs)
    const message =
      code === 'deadline'
        ? `The deadline of ${session.request.deadlineMs} ms passed. Allow more time or ask for fewer tokens.`
        : 'Cancelled as asked.'
    this.#fail(session, code, message, out)
  }

  #fail(session: RingSession, code: FailCode, message: string, out: LeaderEffect[]): void {
    this.#counters.failed += 1
    this.#tellFailed(session.gateway, session.request.session, code, message, out)
  }

  #tellFailed(
    gateway: string,
    session: SessionId,
    code: FailCode,
    message: string,
    out: LeaderEffect[],
  ): void {
    out.push({ type: 'gateway', gateway, message: { type: 'failed', session, code, message } })
  }

  /** Ends a session; its close follows the steps that are under way. */
  #end(session: RingSession, nowMs: number): void {
    const { stay } = session
    if (stay === null) {
      this.#composer.remove(session)
      this.#preparations.forget(session)
    } else {
      this.#residents.close(stay)
      this.#rate.record(nowMs)
      if (session.generated > 0) this.#lengths.record(session.tenant.name, session.generated)
    }
    this.#forget(session)
  }

  #forget(session: RingSession): void {
    this.#sessions.delete(session.request.session)
    this.#tenants.leave(session.tenant)
  }

  #advance(result: StepResult, nowMs: number): void {
    const stay = this.#residents.get(result.key)
    if (stay === undefined) return
    const { session } = stay
    if (!session.pooling) {
      this.#counters.generatedTokens += 1
      session.tokens.push(result.token)
      session.paid = session.tokens.length - 1
      session.tenant.service += GENERATED_TOKEN_SERVICE
    }
    if (result.finish === null) {
      this.#residents.returned(stay)
      if (!stay.over) this.#composer.advance(stay)
      return
    }
    this.#counters.completed += 1
    this.#end(session, nowMs)
  }

  /** Whatever happened, use the room it made. */
  #pump(nowMs: number, out: LeaderEffect[]): void {
    this.#tellChanges(out)
    if (this.#ready) this.#launch(nowMs, out)
    if (this.#residents.size === 0) this.#rate.pause()
    if (!this.#draining || this.#drainedSaid || this.#sessions.size > 0) return
    this.#drainedSaid = true
    out.push({ type: 'drained' })
  }

  get #ahead(): boolean {
    return this.options.ahead && this.options.stages === 1
  }

  #launch(nowMs: number, out: LeaderEffect[]): void {
    const most = this.#inFlight.count + (this.#ahead ? 1 : 0)
    while (this.#flights.length < most) {
      const composed = this.#composer.next()
      // What a step needs opened or closed goes ahead of it.
      this.#tellChanges(out)
      if (composed === null) return
      const { entries, tokens } = composed
      const step = this.#nextStep++
      this.#flights.push({ step, sentMs: nowMs, composed })
      this.#counters.steps += 1
      const message = { epoch: this.#epoch, step, entries, times: [], hidden: noHidden }
      out.push({ type: 'ring', message: { type: 'step', ...message }, tokens })
    }
  }

  #tellChanges(out: LeaderEffect[]): void {
    for (const change of this.#residents.takeChanges()) {
      switch (change.type) {
        case 'opened':
          this.#sendOpen(change.stay, out)
          break
        case 'closed':
          this.#send({ type: 'close', epoch: this.#epoch, key: change.key }, out)
          break
        case 'importing':
          this.#sendImport(change.entry, out)
          break
        case 'import-lost':
          this.#importLost(change.entry, out)
          break
        case 'spared':
          this.#forget(change.session)
          this.#fail(change.session, 'cancelled', 'Others needed the room of this prompt.', out)
      }
    }
  }

  #sendImport({ key, first, end, holding }: PageImport, out: LeaderEffect[]): void {
    const found = this.#imports.byKey(key)
    if (found === undefined) throw new Error(`Import ${key} belongs to no session.`)
    const { session, gateway } = found
    const pages = holding.pages.slice(holding.shared.length)
    this.#send({ type: 'import', epoch: this.#epoch, key, session, gateway, first, end, pages }, out)
  }

  #importLost({ key }: PageImport, out: LeaderEffect[]): void {
    const found = this.#imports.byKey(key)
    if (found === undefined) return
    this.#imports.take(found.session, found.gateway)
    const message = 'Sessions under way needed the pages. Compute the prompt here.'
    this.#tellFailed(found.gateway, found.session, 'cancelled', message, out)
  }

  #sendOpen({ key, session, promptLength, holding }: Stay, out: LeaderEffect[]): void {
    const { request, gateway, tokens } = session
    const { session: id, stopTokens, sampling, needs, pooling, trace } = request
    const capacity = this.#capacity!
    const fresh = promptLength === request.tokens.length
    const message: OpenSession = {
      type: 'open',
      epoch: this.#epoch,
      key,
      session: id,
      gateway,
      tokens: fresh ? request.tokens : tokens.slice(0, promptLength),
      resumed: session.generated,
      maxTokens: allowedTokens(request, capacity),
      stopTokens,
      sampling,
      needs,
      pooling,
      trace,
      cachedTokens: holding.shared.length * capacity.pageTokens,
      pages: holding.shared,
    }
    this.#send(message, out)
  }

  #probe(nowMs: number, out: LeaderEffect[]): void {
    const sequence = this.#probes.sent(nowMs)
    this.#send({ type: 'probe', epoch: this.#epoch, sequence, reports: [] }, out)
  }

  #send(message: RingMessage, out: LeaderEffect[]): void {
    out.push({ type: 'ring', message, tokens: null })
  }

  /**
   * Whether a message is of another epoch. Older news is no news. Newer news comes from stages that outlived an
   * earlier leader: get ahead of them.
   */
  #foreign(epoch: number, nowMs: number, out: LeaderEffect[]): boolean {
    if (epoch > this.#epoch) {
      this.#epoch = epoch
      this.fault(`a stage already follows epoch ${epoch}`, nowMs, out)
      return true
    }
    return epoch < this.#epoch
  }

  #status(): RingStatus {
    return {
      type: 'status',
      ready: this.#ready && !this.#draining,
      epoch: this.#epoch,
      reports: this.#reports,
      active: this.#residents.size,
      queued: this.#queued,
      usage: this.#usage(),
    }
  }

  #usage(): RingUsage {
    const { pages, evictions, counters } = this.#residents
    return {
      pages: this.#capacity?.kvPages ?? 0,
      pagesFree: pages.free,
      pagesCached: pages.cached,
      generatedTokens: this.#counters.generatedTokens,
      evictions,
      ...counters,
    }
  }

  #broadcast(nowMs: number, out: LeaderEffect[]): void {
    this.#lastStatusMs = nowMs
    const message = this.#status()
    for (const gateway of this.#gateways) out.push({ type: 'gateway', gateway, message })
  }
}

const notReady: Refusal = {
  code: 'not_ready',
  message: 'The ring is not complete at the moment. Try again shortly.',
  retryAfterMs: NOT_READY_RETRY_MS,
}

const noHidden = new Uint8Array(0)

const note = (level: 'info' | 'warn', text: string): LeaderEffect => ({ type: 'note', level, text })

/** Whether the results are those of the entries that sample, in order. */
function answers(results: readonly StepResult[], entries: readonly StepEntry[]): boolean {
  let index = 0
  for (const entry of entries) {
    if (!entry.sample) continue
    if (results[index]?.key !== entry.key) return false
    index += 1
  }
  return index === results.length
}
