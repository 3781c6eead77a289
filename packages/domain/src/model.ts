/** How rotary position frequencies are stretched beyond the trained context. */
export type RopeScaling =
  | { readonly type: 'none' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalContext: number
    }
  | {
      readonly type: 'yarn'
      readonly factor: number
      readonly originalContext: number
      /** Multiplies cos and sin, YaRN's own `0.1 ln factor + 1` included. */
      readonly attentionFactor: number
      readonly betaFast: number
      readonly betaSlow: number
    }

/**
 * The shape of a decoder-only transformer: all that is needed to build its graph and to count its bytes and FLOPs.
 * Field names follow the Hugging Face `config.json` where one exists.
 */
export interface ModelConfig {
  /** Key into the engine's architecture table, as in GGUF's `general.architecture`: `llama`, `qwen3`, … */
  readonly architecture: string
  readonly name: string
  readonly layers: number
  readonly hiddenSize: number
  readonly feedForwardSize: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly vocabSize: number
  /** Positions the model was made for. */
  readonly contextLength: number
  readonly normEpsilon: number
  readonly ropeTheta: number
  /** Dimensions of each head that are rotated; equals `headDim` unless the model says otherwise. */
  readonly ropeDim: number
  readonly ropeScaling: RopeScaling
  /** Positions a token may look back, itself included; `null` is all of them. */
  readonly slidingWindow: number | null
  readonly tiedEmbeddings: boolean
  readonly bosToken: number | null
  /** Tokens that end a generation. */
  readonly eosTokens: readonly number[]
}

/** Bytes of K and V that one token adds to one layer at `bytesPerElement`. */
export function kvBytesPerTokenPerLayer(config: ModelConfig, bytesPerElement: number): number {
  return 2 * config.kvHeads * config.headDim * bytesPerElement
}

/** Elements of the matrices every token is multiplied with in one layer: attention projections and gated feed-forward. */
export function matrixParametersPerLayer(config: ModelConfig): number {
  const { hiddenSize, heads, kvHeads, headDim, feedForwardSize } = config
  return hiddenSize * (2 * heads + 2 * kvHeads) * headDim + 3 * hiddenSize * feedForwardSize
}

/** Elements of the matrix that turns a hidden state into logits. */
export const headParameters = (config: ModelConfig): number => config.hiddenSize * config.vocabSize
