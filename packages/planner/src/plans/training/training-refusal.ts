import { bytes, formatBytes } from '@deos/domain'
import { keyOfAccelerator, memoryBytes } from '../../devices/index.ts'
import { type ModelShape, parameterCounts } from '../../models/index.ts'
import type { ComputeFleet } from '../fleet.ts'
import type { Fix } from '../serving/serving-plan.ts'
import { show } from './describe-training.ts'
import { stateBytesOf } from './device-groups.ts'
import type { TrainingJob } from './job.ts'
import type { TrainingCandidate } from './training-candidates.ts'
import type { TrainingRefusal } from './training-plan.ts'

const mostAdded = 64

/** Which constraint binds, and single changes that would do, the cheapest first. */
export function trainingRefusal(
  shape: ModelShape,
  fleet: ComputeFleet,
  job: TrainingJob,
  slow: TrainingCandidate | null,
  feasible: (of: ComputeFleet, asked: TrainingJob) => boolean,
): TrainingRefusal {
  const fixes: Fix[] = []
  const smaller = Math.min(...job.microbatches)
  if (smaller > 1 && feasible(fleet, { ...job, microbatches: [1] })) {
    fixes.push({ change: 'Allow microbatches of one sequence.', pricePerHour: 0, givesUp: null })
  }
  if (job.precision === 'fp32' && feasible(fleet, { ...job, precision: 'fp16' })) {
    fixes.push({
      change: 'Train in fp16 with fp32 master weights.',
      pricePerHour: 0,
      givesUp: 'products in fp32',
    })
  }
  if (job.optimiser === 'adam' && feasible(fleet, { ...job, optimiser: 'sgd' })) {
    fixes.push({ change: 'Use SGD.', pricePerHour: 0, givesUp: "Adam's moments" })
  }
  if (slow !== null && job.stepS !== null) {
    const change = `Accept steps of ${roundedUp(slow.planned.forecast.stepS)} s.`
    fixes.push({ change, pricePerHour: 0, givesUp: `steps of ${job.stepS} s` })
  }
  for (const machine of firstOfKinds(fleet)) {
    const enough = (count: number) => {
      const more = Array.from({ length: count }, (_, at) => ({
        ...machine,
        name: `${machine.name}+${at + 1}`,
      }))
      return feasible({ ...fleet, machines: [...fleet.machines, ...more] }, job)
    }
    let count = 1
    while (count <= mostAdded && !enough(count)) count *= 2
    if (count > mostAdded) continue
    let low = Math.floor(count / 2)
    while (count - low > 1) {
      const middle = Math.floor((low + count) / 2)
      if (enough(middle)) count = middle
      else low = middle
    }
    const change = `Add ${count} more ${count === 1 ? 'machine' : 'machines'} like ${machine.name} (${machine.accelerators} × ${machine.accelerator.name}) at ${machine.site}.`
    fixes.push({ change, pricePerHour: count * machine.pricePerHour, givesUp: null })
  }
  return {
    kind: 'refused',
    binding:
      slow === null
        ? memoryBinding(shape, fleet, job)
        : `Time: the quickest step takes ${show(slow.planned.forecast.stepS)} s; ${job.stepS} s are asked for.`,
    fixes: fixes.sort(
      (a, b) => a.pricePerHour - b.pricePerHour || Number(a.givesUp !== null) - Number(b.givesUp !== null),
    ),
    bestEffort: null,
  }
}

/** Three digits: a limit that is rounded down is not met. */
function roundedUp(value: number): number {
  const digit = 10 ** (Math.floor(Math.log10(value)) - 2)
  return Number((Math.ceil(value / digit) * digit).toPrecision(3))
}

const firstOfKinds = ({ machines }: ComputeFleet) =>
  new Map(
    [...machines]
      .reverse()
      .map((machine) => [
        JSON.stringify([keyOfAccelerator(machine.accelerator), machine.accelerators, machine.site]),
        machine,
      ]),
  ).values()

function memoryBinding(shape: ModelShape, { machines }: ComputeFleet, job: TrainingJob): string {
  const { weights, gradients, optimiser } = stateBytesOf(job)
  const needed = parameterCounts(shape).total * (weights + gradients + optimiser)
  const offered = machines.reduce((sum, each) => sum + memoryBytes(each.accelerator) * each.accelerators, 0)
  const size = (value: number) => formatBytes(bytes(Math.round(value)))
  return `Memory: weights, gradients and optimiser states take ${size(needed)} besides activations; the fleet offers ${size(offered)}${offered < needed ? '' : ', in pieces that stages do not fill'}.`
}
