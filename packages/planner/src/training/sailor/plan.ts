import { TrainingRequestError } from '../errors.ts'
import type { SailorTables } from './tables.ts'

/** One replica of a stage: a tensor-parallel group in one machine. */
export interface SailorReplica {
  readonly accelerator: string
  readonly zone: string
  readonly tensorParallel: number
}

export interface SailorStage {
  /** Half-open. */
  readonly first: number
  readonly end: number
  /** In order; neighbours exchange gradients, equal places hand over activations. */
  readonly replicas: readonly SailorReplica[]
}

export interface SailorPlan {
  readonly microbatch: number
  readonly stages: readonly SailorStage[]
}

/** @throws TrainingRequestError if layers overlap, or nothing was profiled for what the plan does */
export function checkSailorPlan(tables: SailorTables, { stages, microbatch }: SailorPlan): void {
  let next = 0
  for (const { first, end, replicas } of stages) {
    if (first !== next || end <= first) {
      throw new TrainingRequestError('stages', `[${first}, ${end}) behind ${next}`, 'one behind the other')
    }
    next = end
    for (const { accelerator, tensorParallel } of new Set(replicas)) {
      if (tables.times.get(accelerator)?.get(microbatch)?.get(tensorParallel) === undefined) {
        const what = `${accelerator}, microbatch ${microbatch}, ${tensorParallel}-way`
        throw new TrainingRequestError('replicas', what, 'what was profiled')
      }
    }
  }
  if (stages.length === 0 || next > tables.layers) {
    throw new TrainingRequestError('stages', `${next} layers`, `1 to ${tables.layers} layers`)
  }
  const degrees = new Set(stages.map(({ replicas }) => replicas.length))
  if (degrees.size > 1 || degrees.has(0)) {
    throw new TrainingRequestError('replicas', [...degrees].join(', '), 'equally many in every stage')
  }
}
