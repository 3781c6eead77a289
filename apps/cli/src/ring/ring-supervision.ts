import { RestartBudget, type RestartLimits } from '@deos/service'
import type { WorkerMessage } from './worker-message.ts'

/** What a worker is doing, as far as the process that started it knows. */
export type WorkerPhase =
  | { readonly phase: 'starting' }
  | { readonly phase: 'loading'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly phase: 'ready' }
  /** Its engine died; it starts another by itself. */
  | { readonly phase: 'engine-lost'; readonly reason: string }
  /** The whole process died and is started again. */
  | { readonly phase: 'restarting'; readonly reason: string; readonly delayMs: number }
  | { readonly phase: 'stopped' }

export type SupervisionEvent =
  | { readonly type: 'begin' }
  | { readonly type: 'message'; readonly stage: number; readonly message: WorkerMessage }
  | { readonly type: 'exited'; readonly stage: number; readonly reason: string; readonly nowMs: number }
  /** A `wait` is over. */
  | { readonly type: 'waited'; readonly stage: number }
  /** From now on ends are expected. */
  | { readonly type: 'stopping' }

export type SupervisionEffect =
  | { readonly type: 'start'; readonly stage: number; readonly listen: string }
  /** Tell a worker where the next stage is. */
  | { readonly type: 'link'; readonly stage: number; readonly downstream: string }
  | { readonly type: 'wait'; readonly stage: number; readonly delayMs: number }
  | { readonly type: 'changed'; readonly stage: number }
  /** Every worker has an address. Once. */
  | { readonly type: 'addressed'; readonly addresses: readonly string[] }
  /** This ring cannot be kept up. */
  | { readonly type: 'give-up'; readonly stage: number; readonly reason: string }

interface WorkerRecord {
  address: string | null
  /** Has been ready at least once. */
  proven: boolean
  /** Its own words before it ended. */
  failure: string | null
  phase: WorkerPhase
  readonly budget: RestartBudget
}

const ANY_ADDRESS = '127.0.0.1:0'

/**
 * Keeps the workers of one ring alive: links stages in a circle and the other ranks of a stage to its first, starts a dead one again at its old address, and gives
 * up when one dies too often or could never have worked. No clock, no processes: the caller performs the effects.
 */
export class RingSupervision {
  /** For each worker, the one that its stage is seen by. */
  readonly #firsts: readonly number[]
  readonly #workers: readonly WorkerRecord[]
  #addressed = false
  #stopping = false

  /** @param ranks - workers of each stage; events and effects count all of them, stage by stage */
  constructor(ranks: readonly number[], limits: RestartLimits) {
    this.#firsts = ranks.flatMap((count, stage) => {
      const first = ranks.slice(0, stage).reduce((sum, each) => sum + each, 0)
      return Array.from({ length: count }, () => first)
    })
    this.#workers = this.#firsts.map(() => ({
      address: null,
      proven: false,
      failure: null,
      phase: { phase: 'starting' },
      budget: new RestartBudget(limits),
    }))
  }

  get phases(): readonly WorkerPhase[] {
    return this.#workers.map(({ phase }) => phase)
  }

  onEvent(event: SupervisionEvent): readonly SupervisionEffect[] {
    switch (event.type) {
      case 'begin':
        return this.#workers.map((_, stage) => ({ type: 'start', stage, listen: ANY_ADDRESS }))
      case 'message':
        return this.#message(event.stage, event.message)
      case 'exited':
        return this.#exited(event.stage, event.reason, event.nowMs)
      case 'waited':
        return this.#restart(event.stage)
      case 'stopping':
        this.#stopping = true
        return []
    }
  }

  #message(stage: number, message: WorkerMessage): readonly SupervisionEffect[] {
    const worker = this.#workers[stage]!
    switch (message.event) {
      case 'listening':
        return this.#listening(stage, message.address)
      case 'loading': {
        const { doneBytes, totalBytes } = message
        return this.#enter(stage, { phase: 'loading', doneBytes, totalBytes })
      }
      case 'ready':
        worker.proven = true
        worker.failure = null
        return this.#enter(stage, { phase: 'ready' })
      case 'engine-lost':
        return this.#enter(stage, { phase: 'engine-lost', reason: message.reason })
      case 'failed':
        worker.failure = message.message
        return []
    }
  }

  #enter(stage: number, phase: WorkerPhase): readonly SupervisionEffect[] {
    this.#workers[stage]!.phase = phase
    return [{ type: 'changed', stage }]
  }

  #listening(stage: number, address: string): readonly SupervisionEffect[] {
    const worker = this.#workers[stage]!
    const moved = worker.address !== null && worker.address !== address
    worker.address = address
    if (this.#workers.some(({ address }) => address === null)) return []
    const addresses = [...new Set(this.#firsts)].map((first) => this.#workers[first]!.address!)
    if (!this.#addressed) {
      this.#addressed = true
      return [...this.#workers.flatMap((_, each) => this.#link(each)), { type: 'addressed', addresses }]
    }
    const told = this.#workers.map((_, each) => each).filter((each) => this.#next(each) === stage)
    return [...this.#link(stage), ...(moved ? told.flatMap((each) => this.#link(each)) : [])]
  }

  #link(stage: number): readonly SupervisionEffect[] {
    const next = this.#next(stage)
    const downstream = next === null ? null : this.#workers[next]!.address
    return downstream === null ? [] : [{ type: 'link', stage, downstream }]
  }

  /** Whom a worker dials: the first of its stage, or of the next one. */
  #next(worker: number): number | null {
    const own = this.#firsts[worker]!
    if (worker !== own) return own
    const next = this.#firsts.find((first) => first > own) ?? 0
    return next === own ? null : next
  }

  #exited(stage: number, reason: string, nowMs: number): readonly SupervisionEffect[] {
    const worker = this.#workers[stage]!
    if (this.#stopping) return this.#enter(stage, { phase: 'stopped' })
    const told = worker.failure ?? reason
    worker.failure = null
    const delayMs = worker.proven ? worker.budget.ended(nowMs) : null
    if (delayMs === null) {
      return [...this.#enter(stage, { phase: 'stopped' }), { type: 'give-up', stage, reason: told }]
    }
    return [
      ...this.#enter(stage, { phase: 'restarting', reason: told, delayMs }),
      { type: 'wait', stage, delayMs },
    ]
  }

  #restart(stage: number): readonly SupervisionEffect[] {
    if (this.#stopping) return []
    const listen = this.#workers[stage]!.address ?? ANY_ADDRESS
    return [...this.#enter(stage, { phase: 'starting' }), { type: 'start', stage, listen }]
  }
}
