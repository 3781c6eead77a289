import { seededRandom } from '@deos/domain'
import type { ModelShape } from '../../models/index.ts'
import {
  forecastZero3,
  LayerCosts,
  type Planned,
  planDtFm,
  planMegatron,
  stageCounts,
} from '../../training/index.ts'
import { type ComputeFleet, canonicalFleet, LinkLookup } from '../fleet.ts'
import { groupDegrees, groupedFleet } from './device-groups.ts'
import { checkTrainingJob, type TrainingJob } from './job.ts'
import { workOf } from './training-candidates.ts'

/** What a published way of planning makes of the same work, in the same model. */
export interface TrainingBaseline {
  readonly name: string
  /** `null` if it finds nothing that fits. */
  readonly stepS: number | null
  readonly how: string
}

const dtFmSearch = { steps: 4000, restarts: 2 }
const nothing = 'nothing fits'

/** ZeRO-3 data parallelism, Megatron's static degrees at their best, and DT-FM, each as its authors run it. */
export function trainingBaselines(
  shape: ModelShape,
  fleet: ComputeFleet,
  job: TrainingJob,
  seed = 1,
): readonly TrainingBaseline[] {
  checkTrainingJob(job)
  const sorted = canonicalFleet(fleet)
  const links = new LinkLookup(sorted)
  const megatron: { readonly planned: Planned; readonly how: string }[] = []
  const dtFm: { readonly planned: Planned; readonly how: string }[] = []
  const zero3: { readonly stepS: number; readonly how: string }[] = []
  for (const microbatch of job.microbatches) {
    const work = workOf(shape, job, microbatch)
    for (const degrees of groupDegrees(shape, job, sorted)) {
      if (degrees.context > 1 || degrees.expert > 1) continue
      const grouped = groupedFleet(sorted, links, work, degrees, job.precision)
      if (grouped === null) continue
      const costs = new LayerCosts(grouped.fleet, work)
      const static_ = planMegatron(costs)
      if (static_ !== null)
        megatron.push({ planned: static_, how: `TP ${degrees.tensor}, ${shapeOf(static_, microbatch)}` })
      if (degrees.tensor > 1) continue
      const zero = forecastZero3(grouped.fleet, work, { bytesPerParameter: 2, stepsPerExchange: 1 })
      if (zero.fits) zero3.push({ stepS: zero.stepS, how: `microbatch ${microbatch}` })
      for (const stages of stageCounts(grouped.groups.length, shape.layers)) {
        const found = planDtFm(costs, { stages, random: seededRandom(seed), ...dtFmSearch })
        if (found !== null) dtFm.push({ planned: found, how: shapeOf(found, microbatch) })
      }
    }
  }
  const quickest = (
    name: string,
    found: readonly { readonly stepS: number; readonly how: string }[],
  ): TrainingBaseline => {
    const best = [...found].sort((a, b) => a.stepS - b.stepS)[0]
    return { name, stepS: best?.stepS ?? null, how: best?.how ?? nothing }
  }
  const stepsOf = (found: typeof megatron) =>
    found.map(({ planned, how }) => ({ stepS: planned.forecast.stepS, how }))
  return [
    quickest('ZeRO-3', zero3),
    quickest('Megatron, best static degrees', stepsOf(megatron)),
    quickest('DT-FM', stepsOf(dtFm)),
  ]
}

const shapeOf = ({ plan }: Planned, microbatch: number): string =>
  `DP ${plan.stages[0]!.devices.length}, PP ${plan.stages.length}, microbatch ${microbatch}`
