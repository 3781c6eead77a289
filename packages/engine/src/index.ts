/**
 * @packageDocumentation
 * Tensor work through ggml: devices, stages of a model with their KV caches and LoRA adapters, model files, sampling,
 * grammars, tokenizers. Native pointers never leave this package. Start at {@link Stage}; `@deos/engine/tokenizer`,
 * `/weights`, `/sampling`, `/grammar` and `/grammar-spec` load no native library.
 */
export { architectures } from './architectures/index.ts'
export * from './benchmark/index.ts'
export {
  Backend,
  type BackendOptions,
  type Device,
  type DeviceKind,
  listDevices,
  UnknownDeviceError,
} from './ggml/backend.ts'
export { NativeLibraryError, PINNED_GGML_VERSION, UnsupportedPlatformError } from './ggml/library.ts'
export { rowBytes, type TensorType, tensorBytes, tensorTypes } from './ggml/tensor-type.ts'
export * from './lora/index.ts'
export * from './ranks/index.ts'
export * from './stage/index.ts'
