import { TrainingRequestError } from '../errors.ts'
import type { DeviceNetwork } from '../network.ts'

/** Training as DT-FM sees it: what is sent where; arithmetic is left out. */
export interface DtFmTask {
  readonly network: DeviceNetwork
  /** Groups of devices that hold the same layers. */
  readonly stages: number
  /** Devices in each. */
  readonly replicas: number
  /** Gradients of one stage. */
  readonly gradientBytes: number
  /** What goes from one device to the next in one step, all microbatches together. */
  readonly activationBytes: number
}

/** Exact paths take memory that doubles with each stage. */
export const mostStages = 14

/** @throws TrainingRequestError unless stages and replicas use every device once */
export function checkTask(task: DtFmTask): DtFmTask {
  const { network, stages, replicas } = task
  if (stages * replicas !== network.devices) {
    throw new TrainingRequestError(
      'stages × replicas',
      `${stages} × ${replicas}`,
      `numbers whose product is the ${network.devices} devices`,
    )
  }
  if (stages > mostStages) throw new TrainingRequestError('stages', stages, `at most ${mostStages} stages`)
  return task
}

/** GPT-3 XL as in the authors' scheduler: 24 layers in 8 stages, one million tokens a step over 8 replicas. */
export const gpt3XlTask = (network: DeviceNetwork): DtFmTask =>
  checkTask({
    network,
    stages: 8,
    replicas: 8,
    gradientBytes: (1.3e9 * 4 * 3) / 24,
    activationBytes: ((2024 * 2048 * 2 * (1.25e5 / 2048)) / 1024 ** 3) * 1e9,
  })
