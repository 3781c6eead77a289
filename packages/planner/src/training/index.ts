/** Plans for training: our planner, and the planners and cost models it is measured against. */

export * from './dt-fm/index.ts'
export { TrainingRequestError } from './errors.ts'
export { type DeviceNetwork, symmetricNetwork } from './network.ts'
export * from './sailor/index.ts'
export * from './step/index.ts'
