import koffi, { type LibraryHandle, type TypeObject } from 'koffi'
import { type Ggml, loadGgml } from '../../ggml/library.ts'
import { llamaCppAvailability } from './availability.ts'
import { LlamaCppLayoutError, LlamaCppUnavailableError } from './errors.ts'
import {
  type BatchStruct,
  batchType,
  type ContextParams,
  checkLayout,
  contextParamsType,
  type ModelParams,
  modelParamsType,
  type PerfData,
  type Pointer,
  perfDataType,
} from './structs.ts'

type Callback<T> = (error: Error | null, result: T) => void

/** A native function; `async` runs it on a thread of the FFI layer's pool. */
type Native<A extends unknown[], R> = ((...args: A) => R) & { async(...args: [...A, Callback<R>]): void }

/** The part of libllama's C API that is called here, under its own names. */
export interface LlamaLibrary {
  readonly llama_model_default_params: Native<[], ModelParams>
  readonly llama_context_default_params: Native<[], ContextParams>
  readonly llama_model_load_from_file: Native<[path: string, params: ModelParams], Pointer | null>
  readonly llama_model_free: Native<[model: Pointer], void>
  readonly llama_init_from_model: Native<[model: Pointer, params: ContextParams], Pointer | null>
  readonly llama_adapter_lora_init: Native<[model: Pointer, path: string], Pointer | null>
  readonly llama_set_adapters_lora: Native<
    [context: Pointer, adapters: BigUint64Array, count: number, scales: Float32Array],
    number
  >
  readonly llama_free: Native<[context: Pointer], void>
  readonly llama_attach_threadpool: Native<[context: Pointer, decode: Pointer, prefill: Pointer], void>
  readonly llama_n_ctx_seq: Native<[context: Pointer], number>
  readonly llama_get_memory: Native<[context: Pointer], Pointer | null>
  readonly llama_memory_clear: Native<[memory: Pointer, data: boolean], void>
  readonly llama_memory_seq_rm: Native<[memory: Pointer, seq: number, from: number, to: number], boolean>
  readonly llama_model_get_vocab: Native<[model: Pointer], Pointer>
  readonly llama_vocab_n_tokens: Native<[vocab: Pointer], number>
  readonly llama_vocab_type: Native<[vocab: Pointer], number>
  readonly llama_tokenize: Native<
    [
      vocab: Pointer,
      text: Buffer,
      bytes: number,
      out: Int32Array,
      max: number,
      special: boolean,
      parse: boolean,
    ],
    number
  >
  readonly llama_model_n_ctx_train: Native<[model: Pointer], number>
  readonly llama_model_n_embd: Native<[model: Pointer], number>
  readonly llama_model_n_layer: Native<[model: Pointer], number>
  readonly llama_model_size: Native<[model: Pointer], number | bigint>
  readonly llama_model_n_params: Native<[model: Pointer], number | bigint>
  readonly llama_decode: Native<[context: Pointer, batch: BatchStruct], number>
  readonly llama_get_logits_ith: Native<[context: Pointer, row: number], Pointer | null>
  readonly llama_get_embeddings_seq: Native<[context: Pointer, seq: number], Pointer | null>
  readonly llama_perf_context: Native<[context: Pointer], PerfData>
  readonly llama_perf_context_reset: Native<[context: Pointer], void>
  readonly ggml: Ggml
  /** Drops log lines, or prints them to stderr; process-wide. */
  showLogs(shown: boolean): void
}

/** What `llama_version()` answers in the pinned release, up to a build suffix such as `-dev`. */
const pinnedVersion = '0.4.0'

let loaded: LlamaLibrary | undefined

/**
 * Loads libllama over the engine's ggml, with its backends, and checks that it is the bound version.
 *
 * @throws LlamaCppUnavailableError where no prebuilt library is installed
 * @throws LlamaCppLayoutError if the library is another version
 */
export function loadLlamaLibrary(): LlamaLibrary {
  loaded ??= load()
  return loaded
}

function load(): LlamaLibrary {
  const availability = llamaCppAvailability()
  if (!availability.available) throw new LlamaCppUnavailableError(availability.reason)
  const ggml = loadGgml()
  const llama = koffi.load(availability.path)
  const version = llama.func('llama_version', 'str', [])() as string
  if (version.split('-')[0] !== pinnedVersion)
    throw new LlamaCppLayoutError(`version ${version}`, `version ${pinnedVersion}`)

  // Log lines come from any of ggml's threads, where JavaScript must not run; a native function drops them safely.
  const setLog = llama.func('llama_log_set', 'void', ['void *', 'void *'])
  const showLogs = (shown: boolean) => setLog(shown ? null : ggml.silentLog, null)
  showLogs(false)

  const library = { ...functionsOf(llama), ggml, showLogs }
  checkLayout(library.llama_model_default_params(), library.llama_context_default_params())
  return library
}

function functionsOf(llama: LibraryHandle): Omit<LlamaLibrary, 'ggml' | 'showLogs'> {
  return {
    llama_model_default_params: llama.func('llama_model_default_params', modelParamsType, []),
    llama_context_default_params: llama.func('llama_context_default_params', contextParamsType, []),
    llama_model_load_from_file: llama.func('llama_model_load_from_file', 'void *', ['str', modelParamsType]),
    llama_model_free: llama.func('llama_model_free', 'void', ['void *']),
    llama_init_from_model: llama.func('llama_init_from_model', 'void *', ['void *', contextParamsType]),
    llama_adapter_lora_init: llama.func('llama_adapter_lora_init', 'void *', ['void *', 'str']),
    llama_set_adapters_lora: llama.func('llama_set_adapters_lora', 'int32_t', [
      'void *',
      'void *',
      'size_t',
      'void *',
    ]),
    llama_free: llama.func('llama_free', 'void', ['void *']),
    llama_attach_threadpool: llama.func('llama_attach_threadpool', 'void', ['void *', 'void *', 'void *']),
    llama_n_ctx_seq: llama.func('llama_n_ctx_seq', 'uint32_t', ['void *']),
    llama_get_memory: llama.func('llama_get_memory', 'void *', ['void *']),
    llama_memory_clear: llama.func('llama_memory_clear', 'void', ['void *', 'bool']),
    llama_memory_seq_rm: llama.func('llama_memory_seq_rm', 'bool', [
      'void *',
      'int32_t',
      'int32_t',
      'int32_t',
    ]),
    llama_model_get_vocab: llama.func('llama_model_get_vocab', 'void *', ['void *']),
    llama_vocab_n_tokens: llama.func('llama_vocab_n_tokens', 'int32_t', ['void *']),
    llama_vocab_type: llama.func('llama_vocab_type', 'int', ['void *']),
    llama_tokenize: llama.func('llama_tokenize', 'int32_t', [
      'void *',
      'void *',
      'int32_t',
      koffi.out(koffi.pointer('int32_t')) as unknown as TypeObject,
      'int32_t',
      'bool',
      'bool',
    ]),
    llama_model_n_ctx_train: llama.func('llama_model_n_ctx_train', 'int32_t', ['void *']),
    llama_model_n_embd: llama.func('llama_model_n_embd', 'int32_t', ['void *']),
    llama_model_n_layer: llama.func('llama_model_n_layer', 'int32_t', ['void *']),
    llama_model_size: llama.func('llama_model_size', 'uint64_t', ['void *']),
    llama_model_n_params: llama.func('llama_model_n_params', 'uint64_t', ['void *']),
    llama_decode: llama.func('llama_decode', 'int32_t', ['void *', batchType]),
    llama_get_logits_ith: llama.func('llama_get_logits_ith', 'void *', ['void *', 'int32_t']),
    llama_get_embeddings_seq: llama.func('llama_get_embeddings_seq', 'void *', ['void *', 'int32_t']),
    llama_perf_context: llama.func('llama_perf_context', perfDataType, ['void *']),
    llama_perf_context_reset: llama.func('llama_perf_context_reset', 'void', ['void *']),
  }
}
