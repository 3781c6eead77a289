/**
 * llama.cpp's own graphs through its C API: the independent implementation that tests compare the engine with and
 * benches pair it with. Not for production code. Start at {@link LlamaCppModel}; where it cannot run,
 * {@link llamaCppAvailability} says why.
 */
export { type LlamaCppAvailability, llamaCppAvailability } from './availability.ts'
export type { BatchRow } from './batch.ts'
export { LlamaCppCallError, LlamaCppLayoutError, LlamaCppUnavailableError } from './errors.ts'
export {
  argmax,
  type DecodeEntry,
  LlamaCppModel,
  type LlamaCppOptions,
  type LlamaCppTimings,
} from './model.ts'
export { writeSlidingWindowTwin } from './sliding-window-twin.ts'
