/**
 * What tests and benches of this engine's users need: tiny random models as Hugging Face folders
 * ({@link writeTinyModel}), large synthetic ones as GGUF files ({@link writeSyntheticModel}), and llama.cpp to compare
 * with ({@link LlamaCppModel}).
 */
export * from './llama-cpp/index.ts'
export {
  encodeSafetensors,
  type SafetensorsDtype,
  type WritableTensor,
  writeSafetensors,
} from './safetensors-writer.ts'
export { type SyntheticModelOptions, syntheticShapes, writeSyntheticModel } from './synthetic-model.ts'
export { type TinyAdapterOptions, writeTinyAdapter } from './tiny-adapter.ts'
export { type TinyFamily, type TinyModelOptions, tinyConfig, writeTinyModel } from './tiny-models.ts'
export {
  type PreTokenizer,
  specialTokens,
  tinyTokenizer,
  tinyTokenizerConfig,
  tinyTokenizerSize,
} from './tiny-tokenizer.ts'
