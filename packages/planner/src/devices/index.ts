/** Accelerators as their vendors publish them, and how long layers take on them. */
export {
  type Accelerator,
  findAccelerator,
  keyOfAccelerator,
  memoryBytes,
  type NumberFormat,
  peakFlops,
} from './accelerator.ts'
export { catalogue } from './catalogue.ts'
export { ProfileError, UnknownAcceleratorError } from './errors.ts'
export { type FittedEfficiency, fitEfficiency, type LayerProfile } from './fit-efficiency.ts'
export {
  assumedEfficiency,
  type Efficiency,
  type LayerTime,
  layerTime,
  type OperatorTime,
  ridge,
} from './roofline.ts'
