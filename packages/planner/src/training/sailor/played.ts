import { distinctPairs, SailorLinks } from './links.ts'
import { lockstepS } from './lockstep.ts'
import { checkSailorPlan, type SailorPlan, type SailorReplica, type SailorStage } from './plan.ts'
import type { SailorTables } from './tables.ts'

/** Seconds of one iteration of a plan, and what they consist of. */
export interface PlayedIteration {
  readonly iterationS: number
  readonly pipelineS: number
  readonly gradientS: number
  readonly updateS: number
}

/**
 * Plays one iteration of a plan as DeepSpeed runs it, from profiles of layers and links: passes in lockstep, then the
 * slowest stage's sum of gradients, then the optimiser, layer by layer. Nothing is fitted to whole iterations.
 *
 * @throws TrainingRequestError if layers overlap, or nothing was profiled for what the plan does
 */
export function playSailorPlan(tables: SailorTables, globalBatch: number, plan: SailorPlan): PlayedIteration {
  checkSailorPlan(tables, plan)
  const { stages, microbatch } = plan
  const links = new SailorLinks(tables)
  const timesOf = ({ accelerator, tensorParallel }: SailorReplica) =>
    tables.times.get(accelerator)!.get(microbatch)!.get(tensorParallel)!
  const slowest = ({ replicas }: SailorStage, seconds: (replica: SailorReplica) => number) =>
    Math.max(...[...new Set(replicas)].map(seconds))
  const between = (sums: Float64Array, { first, end }: SailorStage) => sums[end]! - sums[first]!
  const pipelineS = lockstepS({
    microbatches: Math.ceil(globalBatch / (microbatch * stages[0]!.replicas.length)),
    stages: stages.map((stage) => {
      const forwardS = slowest(stage, (replica) => between(timesOf(replica).forwardS, stage))
      const passesS = slowest(stage, (replica) => between(timesOf(replica).passesS, stage))
      return { forwardS, backwardS: passesS - forwardS }
    }),
    hopS: stages.slice(1).map((next, at) => {
      const bytes = links.handedOverBytes(next.first - 1, microbatch)
      const pairs = [...distinctPairs(stages[at]!.replicas, next.replicas)]
      return Math.max(...pairs.map(([from, to]) => links.sendS(from, to, bytes)))
    }),
  })
  const gradientS = Math.max(...stages.map((stage) => links.gradientsS(stage)))
  const updateS = Math.max(
    ...stages.map((stage) =>
      slowest(stage, (replica) =>
        timesOf(replica)
          .updateS.subarray(stage.first, stage.end)
          .reduce((sum, each) => sum + each, 0),
      ),
    ),
  )
  return { iterationS: pipelineS + gradientS + updateS, pipelineS, gradientS, updateS }
}
