import { join } from 'node:path'
import { type Clock, DomainError } from '@deos/domain'
import type { Child, RestartLimits, StartChild } from '@deos/service'
import { rankCount } from './plan-file.ts'
import type { RingPlan } from './ring-plan.ts'
import {
  RingSupervision,
  type SupervisionEffect,
  type SupervisionEvent,
  type WorkerPhase,
} from './ring-supervision.ts'
import { parseWorkerMessage } from './worker-message.ts'

/** A worker could not be started, or died too often. */
export class WorkerLostError extends DomainError {
  readonly code = 'WORKER_LOST'
  readonly retriable = false

  constructor(
    readonly worker: string,
    reason: string,
    logFile: string,
  ) {
    super(`Worker ${worker} cannot be kept running: ${reason.replace(/\.$/, '')}.`, `Its log is ${logFile}.`)
  }
}

export interface RingProcessesOptions {
  readonly plan: RingPlan
  readonly script: string
  readonly ringSecret: string
  readonly runFolder: string
  readonly limits: RestartLimits
}

export interface RingProcessesParts {
  readonly startChild: StartChild
  readonly clock: Clock
  /** `setTimeout`, or a stand-in for it; returns how to call it off. */
  readonly after: (delayMs: number, then: () => void) => () => void
}

export interface RingObserver {
  /** A worker's phase changed. */
  onPhase(stage: number, phase: WorkerPhase): void
  /** The ring cannot be kept up. */
  onLost(error: WorkerLostError): void
}

/** Small heaps: a worker's weights and KV cache are native memory of its engine. Baseline code from the first call on. */
const WORKER_FLAGS = ['--max-semi-space-size=2', '--max-old-space-size=192', '--always-sparkplug']

/** The worker processes of one ring, kept alive. */
export class RingProcesses {
  readonly #children: (Child | null)[]
  readonly #waits = new Map<number, () => void>()
  readonly #supervision: RingSupervision
  #addressed: (addresses: readonly string[]) => void = () => undefined

  constructor(
    private readonly options: RingProcessesOptions,
    private readonly observer: RingObserver,
    private readonly parts: RingProcessesParts,
  ) {
    const { assignments } = options.plan
    this.#children = assignments.map(() => null)
    const firsts = assignments.filter(({ rank }) => rank === 0)
    this.#supervision = new RingSupervision(
      firsts.map(({ split }) => rankCount(split)),
      options.limits,
    )
  }

  get phases(): readonly WorkerPhase[] {
    return this.#supervision.phases
  }

  /** Process ids by worker, `null` for a worker that is not running. */
  get pids(): readonly (number | null)[] {
    return this.#children.map((child) => child?.pid ?? null)
  }

  /** Starts every worker; resolves with the addresses of stages when all accept links. They load meanwhile. */
  start(): Promise<readonly string[]> {
    return new Promise((resolve) => {
      this.#addressed = resolve
      this.#feed({ type: 'begin' })
    })
  }

  /** Lets every worker finish what it accepted, and ends those that take longer than `limitMs`. */
  async stop(limitMs: number): Promise<void> {
    this.#feed({ type: 'stopping' })
    for (const cancel of this.#waits.values()) cancel()
    const children = this.#children.filter((child) => child !== null)
    for (const child of children) child.endInput()
    await Promise.all(children.map((child) => child.gone(limitMs)))
  }

  #feed(event: SupervisionEvent): void {
    for (const effect of this.#supervision.onEvent(event)) this.#perform(effect)
  }

  #perform(effect: SupervisionEffect): void {
    switch (effect.type) {
      case 'start':
        this.#children[effect.stage] = this.#startWorker(effect.stage, effect.listen)
        break
      case 'link':
        this.#children[effect.stage]?.write(JSON.stringify({ downstream: effect.downstream }))
        break
      case 'wait': {
        const { stage } = effect
        const cancel = this.parts.after(effect.delayMs, () => {
          this.#waits.delete(stage)
          this.#feed({ type: 'waited', stage })
        })
        this.#waits.set(stage, cancel)
        break
      }
      case 'changed':
        this.observer.onPhase(effect.stage, this.phases[effect.stage]!)
        break
      case 'addressed':
        this.#addressed(effect.addresses)
        break
      case 'give-up': {
        const { worker } = this.options.plan.assignments[effect.stage]!
        this.observer.onLost(new WorkerLostError(worker, effect.reason, this.#logFile(effect.stage)))
      }
    }
  }

  #logFile(stage: number): string {
    return join(this.options.runFolder, `worker-${this.options.plan.assignments[stage]!.worker}.log`)
  }

  #startWorker(stage: number, listen: string): Child {
    const { plan, script, ringSecret } = this.options
    const assignment = { ...plan.assignments[stage]!, listen }
    return this.parts.startChild({
      script,
      nodeFlags: WORKER_FLAGS,
      args: [],
      env: { DEOS_ASSIGNMENT: JSON.stringify(assignment), DEOS_RING_SECRET: ringSecret },
      logFile: this.#logFile(stage),
      onLine: (line) => {
        const message = parseWorkerMessage(line)
        if (message) this.#feed({ type: 'message', stage, message })
      },
      onExit: (reason) => {
        this.#children[stage] = null
        this.#feed({ type: 'exited', stage, reason, nowMs: this.parts.clock.now() })
      },
    })
  }
}
