export { adviseSplit, type SplitAdvice, type SplitRates } from './advise-split.ts'
export { KvSplitError } from './errors.ts'
export {
  type ChunkCost,
  goodput,
  type KvLink,
  type KvTransfer,
  type LinkForecast,
  predictTransfer,
  type TransferForecast,
} from './predict-transfer.ts'
