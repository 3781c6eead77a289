import { memoryBytes } from '../../devices/index.ts'
import { LayerCosts } from './layer-costs.ts'
import type { TrainingFleet, TrainingWork } from './work.ts'

export interface ZeroForecast {
  readonly stepS: number
  readonly computeS: number
  readonly gatherS: number
  readonly fits: boolean
}

/** Freedoms of the baseline; faithful ones send fp16 in every step. */
export interface ZeroOptions {
  readonly bytesPerParameter: number
  readonly stepsPerExchange: number
}

const stateBytesPerParameter = 16

/**
 * ZeRO-3 data parallelism: every device holds a part of everything; weights are gathered for the forward and for the
 * backward pass, gradients scattered back, all round a ring of the devices in order. Gathers run ahead of the arithmetic,
 * and the whole model goes in one message, so that each ring pays its delays only once for each member: both to the
 * baseline's advantage.
 *
 * With steps between exchanges, every device keeps the whole model and only the averages travel, as in local SGD.
 *
 * @see Rajbhandari et al. 2020 (arXiv:1910.02054), sections 5 and 7: three times the parameters are sent
 */
export function forecastZero3(fleet: TrainingFleet, work: TrainingWork, options: ZeroOptions): ZeroForecast {
  const costs = new LayerCosts(fleet, work)
  const { shape, globalBatch, microbatch } = work
  const devices = fleet.devices.length
  const share = globalBatch / (devices * microbatch)
  const computeS = Math.max(...fleet.devices.map((_, at) => costs.stageS(at, 0, shape.layers))) * share
  const parameters = costs.parameters[shape.layers]!
  const partBytes = (parameters * options.bytesPerParameter) / devices
  const stepS = Math.max(
    ...fleet.devices.map((_, at) => {
      const pair = at * devices + ((at + 1) % devices)
      return fleet.network.delayS[pair]! + partBytes / fleet.network.bytesPerS[pair]!
    }),
  )
  const local = options.stepsPerExchange > 1
  const rings = local ? 2 / options.stepsPerExchange : 3
  const gatherS = rings * (devices - 1) * stepS
  const states = local ? parameters * stateBytesPerParameter : (parameters * stateBytesPerParameter) / devices
  const needed = states + costs.storedBytesWhenRematerialised[shape.layers]! + costs.storedBytes[1]!
  return {
    computeS,
    gatherS,
    stepS: Math.max(computeS, gatherS),
    fits: fleet.devices.every((device) => needed <= memoryBytes(device)),
  }
}
