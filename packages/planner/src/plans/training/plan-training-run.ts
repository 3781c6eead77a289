import { seededRandom } from '@deos/domain'
import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, canonicalFleet } from '../fleet.ts'
import { describeCandidate } from './describe-training.ts'
import { checkTrainingJob, type TrainingJob } from './job.ts'
import { type TrainingCandidate, trainingCandidates } from './training-candidates.ts'
import type { TrainingOutcome } from './training-plan.ts'
import { trainingRefusal } from './training-refusal.ts'

export interface TrainingPlanning {
  readonly seed?: number
  /** Candidates that are searched thoroughly, and how thoroughly. */
  readonly thorough?: number
  readonly placementSteps?: number
  readonly polishSteps?: number
  readonly shouldStop?: () => boolean
}

/**
 * Plans how a fleet trains a model: which machines, groups with tensor, context and expert parallelism, stages with
 * uneven boundaries, replicas, microbatch, schedule and ZeRO stage. Replicas that train apart between exchanges are
 * considered only where the job allows it, and the plan says what that does to the training.
 *
 * The same input gives the same plan, whatever the order of the machines.
 *
 * @throws PlanInputError if fleet or job make no sense
 */
export function planTrainingRun(
  shape: ModelShape,
  fleet: ComputeFleet,
  job: TrainingJob,
  planning: TrainingPlanning = {},
): TrainingOutcome {
  checkTrainingJob(job)
  const sorted = canonicalFleet(fleet)
  const { seed = 1, thorough = 2, placementSteps = 600, polishSteps = 150, shouldStop } = planning
  const search = (of: ComputeFleet, asked: TrainingJob, searched: number) =>
    trainingCandidates(shape, canonicalFleet(of), asked, {
      random: seededRandom(seed),
      thorough: searched,
      placementSteps,
      polishSteps,
      ...(shouldStop === undefined ? {} : { shouldStop }),
    })
  const inTime = ({ planned }: TrainingCandidate) => job.stepS === null || planned.forecast.stepS <= job.stepS
  const all = search(sorted, job, thorough)
  const candidates = all.filter(inTime)
  const [best] = candidates
  if (best !== undefined) return describeCandidate(best, candidates, shape, sorted, job)
  const feasible = (of: ComputeFleet, asked: TrainingJob) => search(of, asked, 0).some(inTime)
  const quickest = all.reduce<TrainingCandidate | null>(
    (least, each) =>
      least !== null && least.planned.forecast.stepS <= each.planned.forecast.stepS ? least : each,
    null,
  )
  return trainingRefusal(shape, sorted, job, quickest, feasible)
}
