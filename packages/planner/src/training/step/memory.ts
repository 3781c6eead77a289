import type { LayerCosts } from './layer-costs.ts'
import {
  inFlightOf,
  microbatchesOf,
  type StepOptions,
  type TrainingPlan,
  type TrainingStage,
} from './plan.ts'
import { mixedAdam } from './work.ts'

/** Bytes on one device of a stage: states, and activations of the microbatches in flight. */
export function stageMemory(costs: LayerCosts, { stages, options }: TrainingPlan, stage: number): number {
  const { first, end, devices } = stages[stage]!
  const states = stateBytesOf(costs, stages[stage]!, options)
  const inFlight = inFlightOf(options, microbatchesOf(costs.work, devices.length), stages.length - stage)
  const full = costs.storedBytes[end]! - costs.storedBytes[first]!
  const kept = costs.storedBytesWhenRematerialised[end]! - costs.storedBytesWhenRematerialised[first]!
  const activations = options.rematerialise ? kept * inFlight + full / (end - first) : full * inFlight
  return states + activations
}

/** Weights, gradients and optimiser states on one device, less what replicas divide among them. */
function stateBytesOf(
  { fleet, work, parameters }: LayerCosts,
  { first, end, devices }: TrainingStage,
  { zeroStage = 0 }: StepOptions,
): number {
  const { weights, gradients, optimiser } = work.stateBytes ?? mixedAdam
  const share = (from: number) => (zeroStage >= from ? 1 / devices.length : 1)
  const each = weights * share(3) + gradients * share(2) + optimiser * share(1)
  const copies = fleet.groups?.get(fleet.devices[devices[0]!]!)?.stateCopies
  if (copies === undefined) return (parameters[end]! - parameters[first]!) * each
  let total = 0
  for (let layer = first; layer < end; layer += 1) {
    total += (parameters[layer + 1]! - parameters[layer]!) * copies[layer]!
  }
  return total * each
}
