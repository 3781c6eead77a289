import type { Clock, Random } from '@deos/domain'
import type { AnswerTrace } from '../accounting/answer-trace.ts'
import type {
  Backend,
  BackendRequest,
  BackendStatus,
  EmbedRequest,
  GenerateEvent,
  GenerateRequest,
} from '../inference/backend.ts'
import { DeadlineError, InterruptedError, NotReadyError } from '../inference/errors.ts'
import { contextLengthOf, type RingBackend } from '../inference/ring-backend.ts'
import type { RoutedSplit } from '../split/routed-split.ts'
import { Journey } from './journey.ts'
import type { Replica } from './replica.ts'
import { chooseReplica, prefixKey } from './replica-choice.ts'
import type { ReplicaPool } from './replica-pool.ts'
import { Stay } from './stay.ts'

export interface RoutedBackendOptions {
  /** How long a request waits for a replica when none is ready. */
  readonly waitPatienceMs: number
  /** How long an interrupted answer waits for its own replica while another is ready. */
  readonly failoverPatienceMs: number
  /** How long an interrupted answer waits for any. */
  readonly resumePatienceMs: number
  /** Faults one answer may survive; one more and it is given up, since it may be what breaks rings. */
  readonly maxInterruptions: number
}

export interface RoutedBackendParts {
  readonly pool: ReplicaPool
  readonly split: RoutedSplit
  readonly clock: Clock
  readonly random: Random
  readonly onInterrupted: (requestId: string, reason: string) => void
  /** An answer goes on at another replica. */
  readonly onMoved: (requestId: string) => void
}

/** What the request knows of its answers, so that it can tell later. */
export interface AnswerTraces {
  /** W3C `traceparent` that rings report under; `null` if nobody traces. */
  readonly trace: string | null
  answer(prompt: Int32Array): AnswerTrace
  embedded(): void
}

/** What is asked of one replica. */
interface Attempt {
  readonly id: string
  readonly deadlineMs: number
}

type Ask<T> = (ring: RingBackend, attempt: Attempt, signal: AbortSignal, at: Replica) => AsyncIterable<T>

/** Looks again so often, should nobody tell that something changed. */
const LOOK_MS = 250
const RETRY_MS = 2_000
/** More requests than these do not wait for a replica at once. */
const MAX_WAITING = 5_000

/**
 * A backend over the replicas of one deployment, for one request. An answer whose replica fails or goes away continues on
 * another from the tokens that were delivered: sampling depends on seed and position, and grammars on the tokens so far.
 */
export class RoutedBackend implements Backend {
  readonly #deploymentId: string
  readonly #options: RoutedBackendOptions
  readonly #parts: RoutedBackendParts
  readonly #traces: AnswerTraces

  constructor(
    deploymentId: string,
    options: RoutedBackendOptions,
    parts: RoutedBackendParts,
    traces: AnswerTraces,
  ) {
    this.#deploymentId = deploymentId
    this.#options = options
    this.#parts = parts
    this.#traces = traces
  }

  status(): BackendStatus {
    const ready = this.#ready()
    const lengths = ready.flatMap(({ session }) => contextLengthOf(session?.status ?? null) ?? [])
    return {
      ready: ready.length > 0,
      active: ready.reduce((sum, { session }) => sum + (session?.status?.active ?? 0), 0),
      queued: ready.reduce((sum, { session }) => sum + (session?.status?.queued ?? 0), 0),
      contextLength: lengths.length === 0 ? null : Math.min(...lengths),
      usage: null,
      details: {},
    }
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
    const trace = this.#traces.answer(request.tokens)
    const delivered: number[] = []
    const key = prefixKey(request.tenant, request.tokens)
    const ask: Ask<GenerateEvent> = (ring, attempt, stop, at) =>
      this.#parts.split
        .backendOf(at, ring, key, (split) => trace.splitTold(split))
        .generate({ ...request, ...attempt, trace: this.#traces.trace, delivered: [...delivered] }, stop)
    for await (const token of this.#follow(request, trace, ask, signal)) {
      const { sampled, finish, cachedTokens, times = [] } = token
      delivered.push(sampled.token)
      trace.token(cachedTokens, times, this.#parts.clock.now())
      yield { sampled, finish, cachedTokens: trace.cachedTokens!, times }
      if (finish !== null) return
    }
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Float32Array> {
    const trace = this.#traces.answer(request.tokens)
    const { trace: context } = this.#traces
    const ask: Ask<Float32Array> = async function* (ring, attempt, stop) {
      yield await ring.embed({ ...request, ...attempt, trace: context }, stop)
    }
    for await (const vector of this.#follow(request, trace, ask, signal)) {
      this.#traces.embedded()
      return vector
    }
    throw new Error('A ring ended a request for a vector without one.')
  }

  /** What one replica after another says to a request. */
  async *#follow<T>(
    request: BackendRequest,
    trace: AnswerTrace,
    ask: Ask<T>,
    signal: AbortSignal,
  ): AsyncGenerator<T, void> {
    const { clock, pool } = this.#parts
    const startMs = clock.now()
    const journey = new Journey(request.id, startMs)
    const key = prefixKey(request.tenant, request.tokens)
    for (;;) {
      const replica = await this.#choose(journey, key, signal)
      const id = journey.nextId()
      if (journey.begun && journey.moves > 1) this.#parts.onMoved(request.id)
      const deadlineMs = this.#remaining(request, startMs, replica)
      const stay = new Stay(replica, journey, this.#options, this.#parts, (reason) => {
        trace.interrupted(clock.now())
        this.#parts.onInterrupted(request.id, reason)
      })
      trace.sent(replica.id, replica.machines, clock.now())
      try {
        const stop = AbortSignal.any([signal, stay.signal])
        for await (const item of ask(stay.ring, { id, deadlineMs }, stop, replica)) {
          stay.progress()
          yield item
        }
        return
      } catch (error) {
        signal.throwIfAborted()
        if (journey.begun && journey.waitingSinceMs < stay.lastProgressMs) {
          journey.waitingSinceMs = clock.now()
          trace.interrupted(clock.now())
        }
        journey.left(replica, error, clock.now())
      } finally {
        stay.end()
        pool.released(replica)
      }
    }
  }

  /** @throws DeadlineError if time ran out while a replica was waited for; then it is free again */
  #remaining(request: BackendRequest, startMs: number, replica: Replica): number {
    const { clock, pool } = this.#parts
    try {
      return remaining(request, clock.now() - startMs)
    } catch (error) {
      pool.released(replica)
      throw error
    }
  }

  /** Counts the request as the replica's own from here on. */
  async #choose(journey: Journey, key: string, signal: AbortSignal): Promise<Replica> {
    const { clock, pool, random } = this.#parts
    for (;;) {
      signal.throwIfAborted()
      const nowMs = clock.now()
      const ready = this.#ready()
      const open = ready.filter((replica) => journey.mayGoTo(replica, nowMs))
      if (open.length > 0) {
        const replica = chooseReplica(open, key, random)
        replica.took()
        return replica
      }
      const refusal = journey.refusal(ready)
      if (refusal !== null) throw refusal
      const { waitPatienceMs, resumePatienceMs } = this.#options
      const patienceMs = journey.begun || journey.interruptions > 0 ? resumePatienceMs : waitPatienceMs
      const leftMs = journey.waitingSinceMs + patienceMs - nowMs
      if (leftMs <= 0) throw this.#givenUp(journey, `${this.#matter()} (waited ${patienceMs / 1000} s).`)
      if (pool.waiting >= MAX_WAITING) {
        throw this.#givenUp(journey, `${pool.waiting} requests wait for a replica already.`)
      }
      await pool.changed(Math.min(leftMs, LOOK_MS), signal)
    }
  }

  /** Those that compute prompts answer only while nobody else does. */
  #ready(): readonly Replica[] {
    const ready = this.#parts.pool.of(this.#deploymentId).filter((replica) => replica.ready)
    const answering = ready.filter(({ role }) => role !== 'prefill')
    return answering.length > 0 ? answering : ready
  }

  #givenUp(journey: Journey, matter: string): NotReadyError | InterruptedError {
    return journey.begun ? new InterruptedError(matter) : new NotReadyError(matter, RETRY_MS)
  }

  /** Why nobody can take a request. */
  #matter(): string {
    const replicas = this.#parts.pool.of(this.#deploymentId)
    const count = (holds: (replica: Replica) => boolean) => replicas.filter(holds).length
    if (replicas.length === 0) return 'no replica of it is running'
    const parts = [
      [count(({ ready }) => ready), 'refused the request'],
      [count(({ session }) => session === null), 'not reachable from here yet'],
      [count(({ session }) => session !== null && session.status === null), 'not connected'],
      [count(({ ready, session }) => !ready && session?.status != null), 'connected but not ready'],
    ] as const
    const shown = parts.flatMap(([number, what]) => (number > 0 ? [`${number} ${what}`] : []))
    return `of ${replicas.length} replica${replicas.length === 1 ? '' : 's'}, ${shown.join(', ')}`
  }
}

/** @throws DeadlineError if nothing is left */
function remaining({ deadlineMs }: BackendRequest, spentMs: number): number {
  if (deadlineMs === 0) return 0
  if (spentMs >= deadlineMs) throw new DeadlineError(deadlineMs)
  return Math.max(1, Math.ceil(deadlineMs - spentMs))
}
