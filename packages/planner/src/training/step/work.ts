import type { Accelerator, Efficiency, NumberFormat } from '../../devices/index.ts'
import type { ModelShape } from '../../models/index.ts'
import { TrainingRequestError } from '../errors.ts'
import type { DeviceNetwork } from '../network.ts'

export interface TrainingFleet {
  readonly devices: readonly Accelerator[]
  readonly network: DeviceNetwork
  readonly efficiency: Efficiency
  readonly format: NumberFormat
  /** What devices that stand for several accelerators add, by device; nothing if it is not given. */
  readonly groups?: ReadonlyMap<Accelerator, GroupTerms>
}

/** Of several accelerators that work as one device. */
export interface GroupTerms {
  /** Communication among them for one microbatch, forward and backward, layer by layer. */
  readonly layerS: readonly number[]
  /** How often weights, gradients and optimiser states of a layer lie among them. */
  readonly stateCopies: readonly number[]
}

/** Bytes of each parameter. */
export interface StateBytes {
  readonly weights: number
  readonly gradients: number
  readonly optimiser: number
}

export interface TrainingWork {
  readonly shape: ModelShape
  /** Sequences in one step. */
  readonly globalBatch: number
  readonly sequenceTokens: number
  /** Sequences in one microbatch. */
  readonly microbatch: number
  /** As mixed precision with Adam has them if not given. */
  readonly stateBytes?: StateBytes
  /** Of an element of an activation that is kept; 2 if not given. */
  readonly activationBytes?: number
}

/** fp16 weights and gradients, fp32 weights and two moments (Rajbhandari et al. 2020, arXiv:1910.02054, section 3.1). */
export const mixedAdam: StateBytes = { weights: 2, gradients: 2, optimiser: 12 }

/** @throws TrainingRequestError for sizes that are none and fleets without their links */
export function checkWork(fleet: TrainingFleet, work: TrainingWork): void {
  for (const key of ['globalBatch', 'sequenceTokens', 'microbatch'] as const) {
    if (!Number.isInteger(work[key]) || work[key] < 1) {
      throw new TrainingRequestError(`work.${key}`, work[key], 'a whole number from 1')
    }
  }
  if (fleet.devices.length === 0 || fleet.devices.length !== fleet.network.devices) {
    throw new TrainingRequestError(
      'fleet.devices',
      `${fleet.devices.length} devices`,
      `the ${fleet.network.devices} devices of the network, at least one`,
    )
  }
}
