import type { ModelConfig } from '@deos/domain'
import type { TensorType } from '../ggml/tensor-type.ts'

/**
 * Some of a tensor's rows, and where their elements lie in a file: at any stride, so that they can be cut out of a
 * larger tensor or be its columns.
 */
export interface TensorPart {
  readonly file: string
  /** Bytes from the start of `file` to the first element of the first row. */
  readonly offset: number
  readonly rows: number
  readonly rowStrideBytes: number
  /** From element to element of a row; `null` where they (or their blocks) lie side by side. */
  readonly elementStrideBytes: number | null
  /** For MXFP4 whose scales do not stand in front of each block but in a place of their own. */
  readonly scales?: { readonly file: string; readonly offset: number; readonly rowStrideBytes: number }
  /** For FP8: the matrices the elements are part of, in the same file. */
  readonly float8?: Float8Matrices
  /** For columns of a matrix in any type, also in blocks: its own type and row; strides are not looked at then. */
  readonly transposed?: { readonly type: TensorType; readonly columns: number }
}

/** FP8 (E4M3) matrices that lie packed in a file, each divided into blocks that share a scale. */
export interface Float8Matrices {
  readonly offset: number
  /** Fastest dim first. */
  readonly shape: readonly number[]
  readonly block: { readonly rows: number; readonly columns: number }
  /** One factor for each block, in the order of the blocks: `[columns of blocks, rows of blocks, …]`. */
  readonly scales: Pick<TensorInfo, 'file' | 'offset' | 'sizeBytes' | 'type'>
}

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
  /** Of what is stored; as `type`, where the tensor is put together while reading. */
  readonly sizeBytes: number
  /** Set when rows must be reordered from rotate-half to interleaved rotary pairs while reading (HF Llama). */
  readonly permuteHeads?: number
  /** Set when this is to be added to every value while reading. */
  readonly addend?: number
  /** Set when FP8 is stored, of which `type` is what it is read as; reading goes through {@link parts}. */
  readonly float8?: Float8Matrices
  /** Set when the tensor is put together while reading; `file` and `offset` are those of its first part then. */
  readonly parts?: readonly TensorPart[]
}

/** A model on disk, opened and checked but not read: GGUF file or Hugging Face folder. */
export interface ModelSource {
  /** Of the first part if a GGUF file is divided. */
  readonly path: string
  readonly format: 'gguf' | 'huggingface'
  readonly config: ModelConfig
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** Changes whenever the weights change; names the cache of converted weights. */
  readonly fingerprint: string
  /** GGUF key/value pairs as read (of a divided file those of its first part); empty for a Hugging Face folder. */
  readonly metadata: ReadonlyMap<string, unknown>
}
