import type { ModelConfig } from '@deos/domain'
import type { TensorType } from '../ggml/tensor-type.ts'

/** One tensor in a file, as it lies there. */
export interface TensorInfo {
  /** Canonical name, as llama.cpp writes it into GGUF: `blk.0.attn_q.weight`, `token_embd.weight`, … */
  readonly name: string
  readonly type: TensorType
  /** Elements along each dim, fastest first (ggml order): a `[rows, columns]` matrix is `[columns, rows]`. */
  readonly shape: readonly number[]
  readonly file: string
  /** Bytes from the start of `file`. */
  readonly offset: number
  readonly sizeBytes: number
  /** Set when rows must be reordered from rotate-half to interleaved rotary pairs while reading (HF Llama). */
  readonly permuteHeads?: number
}

/** A model on disk, opened and checked but not read: GGUF file or Hugging Face folder. */
export interface ModelSource {
  readonly path: string
  readonly format: 'gguf' | 'huggingface'
  readonly config: ModelConfig
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** Changes whenever the weights change; names the cache of converted weights. */
  readonly fingerprint: string
  /** GGUF key/value pairs as read; empty for a Hugging Face folder. */
  readonly metadata: ReadonlyMap<string, unknown>
}
