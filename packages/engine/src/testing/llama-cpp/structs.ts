import koffi from 'koffi'
import { LlamaCppLayoutError, LlamaCppUnavailableError } from './errors.ts'

/** An address in native memory; none leaves this folder. */
export type Pointer = bigint

export interface ModelParams {
  readonly devices: Pointer | null
  readonly n_gpu_layers: number
  readonly load_mode: number
  readonly use_extra_bufts: boolean
  readonly [field: string]: unknown
}

export interface ContextParams {
  readonly n_ctx: number
  readonly n_batch: number
  readonly n_ubatch: number
  readonly n_seq_max: number
  readonly n_threads: number
  readonly n_threads_batch: number
  readonly flash_attn_type: number
  readonly type_k: number
  readonly type_v: number
  readonly offload_kqv: boolean
  readonly op_offload: boolean
  readonly no_perf: boolean
  readonly swa_full: boolean
  readonly kv_unified: boolean
  readonly [field: string]: unknown
}

export interface BatchStruct {
  readonly n_tokens: number
  readonly token: Pointer
  readonly embd: null
  readonly pos: Pointer
  readonly n_seq_id: Pointer
  readonly seq_id: Pointer
  readonly logits: Pointer
}

export interface PerfData {
  readonly t_load_ms: number
  readonly t_p_eval_ms: number
  readonly t_eval_ms: number
  readonly n_p_eval: number
  readonly n_eval: number
  readonly n_reused: number
}

export const modelParamsType = koffi.struct({
  devices: 'void *',
  tensor_buft_overrides: 'void *',
  n_gpu_layers: 'int32_t',
  split_mode: 'int',
  load_mode: 'int',
  lazy_mode: 'int',
  main_gpu: 'int32_t',
  tensor_split: 'void *',
  progress_callback: 'void *',
  progress_callback_user_data: 'void *',
  kv_overrides: 'void *',
  vocab_only: 'bool',
  check_tensors: 'bool',
  use_extra_bufts: 'bool',
  no_host: 'bool',
  no_alloc: 'bool',
  load_mtp: 'bool',
})

export const contextParamsType = koffi.struct({
  n_ctx: 'uint32_t',
  n_batch: 'uint32_t',
  n_ubatch: 'uint32_t',
  n_seq_max: 'uint32_t',
  n_rs_seq: 'uint32_t',
  n_outputs_max: 'uint32_t',
  n_outputs_max_per_seq: 'uint32_t',
  n_threads: 'int32_t',
  n_threads_batch: 'int32_t',
  ctx_type: 'int',
  rope_scaling_type: 'int',
  pooling_type: 'int',
  attention_type: 'int',
  flash_attn_type: 'int',
  rope_freq_base: 'float',
  rope_freq_scale: 'float',
  yarn_ext_factor: 'float',
  yarn_attn_factor: 'float',
  yarn_beta_fast: 'float',
  yarn_beta_slow: 'float',
  yarn_orig_ctx: 'uint32_t',
  defrag_thold: 'float',
  cb_eval: 'void *',
  cb_eval_user_data: 'void *',
  type_k: 'int',
  type_v: 'int',
  abort_callback: 'void *',
  abort_callback_data: 'void *',
  embeddings: 'bool',
  offload_kqv: 'bool',
  no_perf: 'bool',
  op_offload: 'bool',
  swa_full: 'bool',
  kv_unified: 'bool',
  samplers: 'void *',
  n_samplers: 'size_t',
  ctx_other: 'void *',
})

export const batchType = koffi.struct({
  n_tokens: 'int32_t',
  token: 'void *',
  embd: 'void *',
  pos: 'void *',
  n_seq_id: 'void *',
  seq_id: 'void *',
  logits: 'void *',
})

export const perfDataType = koffi.struct({
  t_start_ms: 'double',
  t_load_ms: 'double',
  t_p_eval_ms: 'double',
  t_eval_ms: 'double',
  n_p_eval: 'int32_t',
  n_eval: 'int32_t',
  n_reused: 'int32_t',
})

/** Sizes of the C structs on every 64-bit platform, counted from the header of the bound version. */
const sizes = [
  ['llama_model_params', modelParamsType, 80],
  ['llama_context_params', contextParamsType, 160],
  ['llama_batch', batchType, 56],
  ['llama_perf_context_data', perfDataType, 48],
] as const

/** Default values the library documents; a field read from the wrong offset would not show them. */
const modelDefaults = {
  devices: null,
  n_gpu_layers: -1,
  split_mode: 1,
  load_mode: -1,
  lazy_mode: 1,
  main_gpu: 0,
  kv_overrides: null,
  check_tensors: false,
  use_extra_bufts: true,
  load_mtp: false,
}
const contextDefaults = {
  n_ctx: 512,
  n_batch: 2048,
  n_ubatch: 512,
  n_seq_max: 1,
  n_threads: 4,
  flash_attn_type: -1,
  rope_freq_base: 0,
  yarn_ext_factor: -1,
  defrag_thold: -1,
  cb_eval: null,
  type_k: 1,
  type_v: 1,
  abort_callback: null,
  embeddings: false,
  op_offload: true,
  swa_full: true,
  kv_unified: false,
  n_samplers: 0,
  ctx_other: null,
}

/**
 * Compares struct sizes and the defaults the library returns with those of the bound version.
 *
 * @throws LlamaCppLayoutError if one differs
 */
export function checkLayout(model: ModelParams, context: ContextParams): void {
  if (process.arch !== 'x64' && process.arch !== 'arm64') {
    throw new LlamaCppUnavailableError(`Structs are known for 64-bit processors, not for ${process.arch}.`)
  }
  for (const [name, type, expected] of sizes) {
    const size = koffi.sizeof(type)
    if (size !== expected) throw new LlamaCppLayoutError(`${name} of ${size} bytes`, `${expected} bytes`)
  }
  compareDefaults('llama_model_params', model, modelDefaults)
  compareDefaults('llama_context_params', context, contextDefaults)
}

function compareDefaults(struct: string, actual: Record<string, unknown>, expected: Record<string, unknown>) {
  for (const [field, value] of Object.entries(expected)) {
    const read = actual[field]
    if (read !== value) {
      throw new LlamaCppLayoutError(`${struct}.${field} is ${String(read)} by default`, String(value))
    }
  }
}
