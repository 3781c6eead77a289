export { type AdapterSource, openAdapter } from './adapter-source.ts'
export { type AdapterWeights, readAdapterWeights } from './adapter-weights.ts'
export { AdapterError } from './errors.ts'
