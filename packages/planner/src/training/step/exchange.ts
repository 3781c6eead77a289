import type { LayerCosts } from './layer-costs.ts'
import type { StepOptions, TrainingStage } from './plan.ts'
import { mixedAdam } from './work.ts'

/** ZeRO-3: weights are gathered for the forward and again for the backward pass of every microbatch. */
export function gatherSeconds(
  { fleet: { network }, work, parameters }: LayerCosts,
  { first, end, devices }: TrainingStage,
  { zeroStage = 0 }: StepOptions,
): number {
  const members = devices.length
  if (zeroStage < 3 || members === 1) return 0
  const partBytes =
    ((parameters[end]! - parameters[first]!) * (work.stateBytes ?? mixedAdam).weights) / members
  const stepS = devices.map((device, at) => {
    const pair = device * network.devices + devices[(at + 1) % members]!
    return network.delayS[pair]! + partBytes / network.bytesPerS[pair]!
  })
  return 2 * (members - 1) * Math.max(...stepS)
}

/** Seconds of one exchange, spread over the steps between two. */
export function exchangeSeconds(
  costs: LayerCosts,
  { first, end, devices }: TrainingStage,
  options: StepOptions,
): number {
  const members = devices.length
  if (members === 1) return 0
  const { network } = costs.fleet
  const bytes = (costs.parameters[end]! - costs.parameters[first]!) * options.gradientBytesPerParameter
  const partS = (from: number, to: number) => {
    const pair = from * network.devices + to
    return network.delayS[pair]! + bytes / members / network.bytesPerS[pair]!
  }
  const eachS = devices.map((device, at) =>
    options.exchange === 'sharded'
      ? devices.reduce((sum, other) => (other === device ? sum : sum + 2 * partS(device, other)), 0)
      : 2 * (members - 1) * partS(device, devices[(at + 1) % members]!),
  )
  return Math.max(...eachS) / options.stepsPerExchange
}
