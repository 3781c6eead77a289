import type { SessionId } from '@deos/domain'
import type {
  FailCode,
  Fault,
  GatewayToLeader,
  OpenRequest,
  Probe,
  RingCapacity,
  RingMessage,
  RingStatus,
  SessionKey,
  StageReport,
  StepDone,
  StepEntry,
  StepResult,
  ToGateway,
} from '../messages.ts'
import { allowanceOf, judgeRequest, type Refusal } from './admission.ts'
import { CompletionRate } from './completion-rate.ts'
import { ProbeWatch } from './probe-watch.ts'
import { shortReason } from './reason.ts'
import { checkLeaderOptions, type RingLeaderOptions } from './ring-options.ts'
import { findReportProblem, ringCapacity } from './ring-reports.ts'
import { type BatchSession, StepBatcher } from './step-batcher.ts'

/** What the leader asks for: `ring` enters the stage beside it, as if it came from upstream. */
export type LeaderEffect =
  | { readonly type: 'ring'; readonly message: RingMessage; readonly tokens: Int32Array | null }
  | { readonly type: 'gateway'; readonly gateway: string; readonly message: ToGateway }
  | { readonly type: 'drained' }
  | { readonly type: 'note'; readonly level: 'info' | 'warn'; readonly text: string }

interface ActiveSession {
  readonly batch: BatchSession
  readonly pages: number
}

interface LeaderSession {
  readonly request: OpenRequest
  readonly gateway: string
  readonly deadlineMs: number
  /** `null` while queued. */
  active: ActiveSession | null
}

interface Flight {
  readonly step: number
  readonly sentMs: number
  readonly entries: readonly StepEntry[]
}

/** Sums since the leader started. */
export interface LeaderCounters {
  readonly steps: number
  readonly promptTokens: number
  readonly generatedTokens: number
  readonly completed: number
  readonly failed: number
  readonly rejected: number
  readonly faults: number
}

export interface LeaderSnapshot extends LeaderCounters {
  readonly ready: boolean
  readonly epoch: number
  readonly active: number
  readonly queued: number
  readonly stepsInFlight: number
  readonly pagesReserved: number
  readonly capacity: RingCapacity | null
}

const NOT_READY_RETRY_MS = 1_000

/**
 * Runs beside stage 0: admits requests, batches them into steps, keeps the ring full, and watches over it.
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
  #nextKey = 1
  #nextStep = 1
  #pagesReserved = 0
  readonly #gateways = new Set<string>()
  readonly #sessions = new Map<SessionId, LeaderSession>()
  readonly #byKey = new Map<SessionKey, LeaderSession>()
  readonly #queue: LeaderSession[] = []
  readonly #flights: Flight[] = []
  readonly #batcher: StepBatcher
  readonly #probes: ProbeWatch
  readonly #rate = new CompletionRate()
  readonly #counters = {
    steps: 0,
    promptTokens: 0,
    generatedTokens: 0,
    completed: 0,
    failed: 0,
    rejected: 0,
    faults: 0,
  }

  /** @throws RangeError naming an option that makes no sense */
  constructor(private readonly options: RingLeaderOptions) {
    checkLeaderOptions(options)
    this.#epoch = options.firstEpoch
    this.#batcher = new StepBatcher(options.microbatches, options.prefillChunkTokens)
    this.#probes = new ProbeWatch(options.probeIntervalMs, options.probeTimeoutMs)
  }

  snapshot(): LeaderSnapshot {
    return {
      ready: this.#ready,
      epoch: this.#epoch,
      active: this.#byKey.size,
      queued: this.#queue.length,
      stepsInFlight: this.#flights.length,
      pagesReserved: this.#pagesReserved,
      capacity: this.#capacity,
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
      if (session.gateway === gateway) this.#end(session, nowMs, out)
    }
    this.#pump(nowMs, out)
  }

  gatewayMessage(gateway: string, message: GatewayToLeader, nowMs: number, out: LeaderEffect[]): void {
    if (!this.#gateways.has(gateway)) return
    if (message.type === 'open-request') this.#openRequest(gateway, message, nowMs, out)
    else this.#cancelRequest(gateway, message.session, nowMs, out)
    this.#pump(nowMs, out)
  }

  stepDone(message: StepDone, nowMs: number, out: LeaderEffect[]): void {
    if (this.#foreign(message.epoch, nowMs, out)) return
    const flight = this.#flights.shift()
    if (flight?.step !== message.step || !answers(message.results, flight.entries)) {
      this.fault(`the last stage answered step ${message.step} wrongly`, nowMs, out)
      return
    }
    for (const result of message.results) this.#advance(result, nowMs, out)
    this.#pump(nowMs, out)
  }

  probeReturned(message: Probe, nowMs: number, out: LeaderEffect[]): void {
    if (this.#foreign(message.epoch, nowMs, out)) return
    this.#probes.returned(message.sequence)
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
    if (this.#ready) return
    this.#ready = true
    this.#capacity = ringCapacity(message.reports)
    out.push(note('info', `The ring is ready in epoch ${this.#epoch}.`))
    this.#recheckQueue(nowMs, out)
    this.#broadcast(nowMs, out)
    this.#pump(nowMs, out)
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
    const running = [...this.#byKey.values()]
    out.push(
      note('warn', `Ring fault (${reason}): ${running.length} sessions stop, epoch ${this.#epoch} begins.`),
    )
    this.#byKey.clear()
    this.#batcher.clear()
    this.#flights.length = 0
    this.#pagesReserved = 0
    this.#probes.restart()
    this.#reportProblem = null
    if (this.#ready) this.#notReadySinceMs = nowMs
    this.#ready = false
    for (const session of running) {
      this.#sessions.delete(session.request.session)
      this.#fail(
        session,
        'ring_fault',
        `The ring failed: ${shortReason(reason)}. Resume with the tokens received.`,
        out,
      )
    }
    // A ring that faults at once in every epoch is probed at the usual pace.
    if (nowMs - this.#lastRaiseMs >= this.options.probeIntervalMs) this.#probe(nowMs, out)
    this.#lastRaiseMs = nowMs
    this.#broadcast(nowMs, out)
  }

  drain(nowMs: number, out: LeaderEffect[]): void {
    this.#draining = true
    this.#pump(nowMs, out)
  }

  tick(nowMs: number, out: LeaderEffect[]): void {
    const oldest = this.#flights[0]
    if (oldest !== undefined && nowMs - oldest.sentMs > this.options.stepTimeoutMs) {
      this.fault(`step ${oldest.step} took more than ${this.options.stepTimeoutMs} ms`, nowMs, out)
    }
    if (this.#probes.overdue(nowMs)) {
      this.#probes.restart()
      if (this.#ready) this.fault(`no probe returned within ${this.options.probeTimeoutMs} ms`, nowMs, out)
    }
    if (this.#probes.due(nowMs)) this.#probe(nowMs, out)
    for (const session of [...this.#sessions.values()]) {
      if (nowMs >= session.deadlineMs) this.#endWith(session, 'deadline', nowMs, out)
    }
    if (this.#outOfPatience(nowMs)) {
      for (const session of [...this.#queue]) this.#handBack(session, notReady, nowMs, out)
    }
    if (nowMs - this.#lastStatusMs >= this.options.statusIntervalMs) this.#broadcast(nowMs, out)
    this.#pump(nowMs, out)
  }

  #openRequest(gateway: string, request: OpenRequest, nowMs: number, out: LeaderEffect[]): void {
    const refusal = this.#refuse(request, nowMs)
    if (refusal !== null) {
      this.#reject(gateway, request.session, refusal, out)
      return
    }
    const deadlineMs = request.deadlineMs === 0 ? Number.POSITIVE_INFINITY : nowMs + request.deadlineMs
    const session: LeaderSession = { request, gateway, deadlineMs, active: null }
    this.#sessions.set(request.session, session)
    this.#queue.push(session)
    this.#admit(out)
    if (this.#queue.length <= this.options.maxQueued) return
    this.#queue.pop()
    this.#sessions.delete(request.session)
    const queued = this.#queue.length
    const retryAfterMs = this.#rate.retryAfterMs(queued)
    const message = `${queued} requests already wait. Try again in ${retryAfterMs} ms.`
    this.#reject(gateway, request.session, { code: 'queue_full', message, retryAfterMs }, out)
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
    return judgeRequest(request, this.#capacity, this.options.vocabSize)
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
  }

  /** After a fault the ring may come back smaller. */
  #recheckQueue(nowMs: number, out: LeaderEffect[]): void {
    const capacity = this.#capacity
    if (capacity === null) return
    for (const session of [...this.#queue]) {
      const refusal = judgeRequest(session.request, capacity, this.options.vocabSize)
      if (refusal !== null) this.#handBack(session, refusal, nowMs, out)
    }
  }

  #handBack(session: LeaderSession, refusal: Refusal, nowMs: number, out: LeaderEffect[]): void {
    this.#end(session, nowMs, out)
    this.#reject(session.gateway, session.request.session, refusal, out)
  }

  #endWith(session: LeaderSession, code: FailCode, nowMs: number, out: LeaderEffect[]): void {
    this.#end(session, nowMs, out)
    const message =
      code === 'deadline'
        ? `The deadline of ${session.request.deadlineMs} ms passed. Allow more time or ask for fewer tokens.`
        : 'Cancelled as asked.'
    this.#fail(session, code, message, out)
  }

  #fail(session: LeaderSession, code: FailCode, message: string, out: LeaderEffect[]): void {
    this.#counters.failed += 1
    out.push({
      type: 'gateway',
      gateway: session.gateway,
      message: { type: 'failed', session: session.request.session, code, message },
    })
  }

  /** Forgets a session; its close follows the steps that are under way, and its pages may be promised again. */
  #end(session: LeaderSession, nowMs: number, out: LeaderEffect[]): void {
    this.#sessions.delete(session.request.session)
    const { active } = session
    if (active === null) {
      this.#queue.splice(this.#queue.indexOf(session), 1)
      return
    }
    const { key } = active.batch
    this.#byKey.delete(key)
    this.#batcher.remove(active.batch)
    this.#pagesReserved -= active.pages
    this.#rate.record(nowMs)
    out.push({ type: 'ring', message: { type: 'close', epoch: this.#epoch, key }, tokens: null })
  }

  #advance(result: StepResult, nowMs: number, out: LeaderEffect[]): void {
    const session = this.#byKey.get(result.key)
    if (session?.active == null) return
    this.#counters.generatedTokens += 1
    if (result.finish === null) {
      this.#batcher.advance(session.active.batch, result.token)
      return
    }
    this.#counters.completed += 1
    this.#end(session, nowMs, out)
  }

  /** Whatever happened, use the room it made. */
  #pump(nowMs: number, out: LeaderEffect[]): void {
    this.#admit(out)
    this.#launch(nowMs, out)
    if (this.#byKey.size === 0) this.#rate.pause()
    if (!this.#draining || this.#drainedSaid || this.#sessions.size > 0) return
    this.#drainedSaid = true
    out.push({ type: 'drained' })
  }

  #admit(out: LeaderEffect[]): void {
    const capacity = this.#capacity
    if (!this.#ready || capacity === null) return
    while (this.#byKey.size < this.options.maxSessions) {
      const session = this.#queue[0]
      if (session === undefined) return
      const { maxTokens, pages } = allowanceOf(session.request, capacity)
      if (this.#pagesReserved + pages > capacity.kvPages) return
      this.#queue.shift()
      this.#activate(session, maxTokens, pages, out)
    }
  }

  #activate(session: LeaderSession, maxTokens: number, pages: number, out: LeaderEffect[]): void {
    const { session: id, tokens, resumed, stopTokens, sampling } = session.request
    const key = this.#freshKey()
    const batch: BatchSession = { key, prompt: tokens, sent: 0, nextToken: 0, removed: false }
    session.active = { batch, pages }
    this.#pagesReserved += pages
    this.#byKey.set(key, session)
    this.#batcher.add(batch)
    const { gateway } = session
    const epoch = this.#epoch
    out.push({
      type: 'ring',
      message: {
        type: 'open',
        epoch,
        key,
        session: id,
        gateway,
        tokens,
        resumed,
        maxTokens,
        stopTokens,
        sampling,
      },
      tokens: null,
    })
  }

  #freshKey(): SessionKey {
    while (this.#byKey.has(this.#nextKey)) this.#nextKey = (this.#nextKey + 1) >>> 0
    const key = this.#nextKey
    this.#nextKey = (key + 1) >>> 0
    return key
  }

  #launch(nowMs: number, out: LeaderEffect[]): void {
    const capacity = this.#capacity
    if (!this.#ready || capacity === null) return
    const limit = Math.min(this.options.maxBatchTokens, capacity.maxBatchTokens)
    while (this.#flights.length < this.options.microbatches) {
      const batch = this.#batcher.next(limit)
      if (batch === null) return
      const { entries, tokens, promptTokens } = batch
      const step = this.#nextStep++
      this.#flights.push({ step, sentMs: nowMs, entries })
      this.#counters.steps += 1
      this.#counters.promptTokens += promptTokens
      out.push({
        type: 'ring',
        message: { type: 'step', epoch: this.#epoch, step, entries, engineUs: 0, hidden: noHidden },
        tokens,
      })
    }
  }

  #probe(nowMs: number, out: LeaderEffect[]): void {
    const sequence = this.#probes.sent(nowMs)
    out.push({
      type: 'ring',
      message: { type: 'probe', epoch: this.#epoch, sequence, reports: [] },
      tokens: null,
    })
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
      active: this.#byKey.size,
      queued: this.#queue.length,
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
