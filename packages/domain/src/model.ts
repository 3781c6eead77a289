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
  | {
      readonly type: 'longrope'
      /** Divisors per pair, `[ropeDim / 2]` each; `null` if the model's file holds them as tensors. */
      readonly factors: { readonly short: readonly number[]; readonly long: readonly number[] } | null
      readonly originalContext: number
      /** Multiplies cos and sin. */
      readonly attentionFactor: number
    }
  | {
      /** The base grows with the context the model is run with; here that is its full context, as in vLLM. */
      readonly type: 'dynamic'
      readonly factor: number
      readonly originalContext: number
    }

/** A feed-forward network of which each token uses only a few experts. */
export interface ExpertConfig {
  readonly count: number
  /** Experts each token goes through, shared ones left out. */
  readonly used: number
  /** Width of one expert. */
  readonly feedForwardSize: number
  /** Width of what every token goes through besides, all shared experts together; 0 if there is none. */
  readonly sharedFeedForwardSize: number
  /** How router scores become weights; `softmax of chosen` looks at the chosen experts only. */
  readonly scoring: 'softmax' | 'sigmoid' | 'softmax of chosen'
  /** Whether the weights of the chosen experts are divided by their sum. */
  readonly normalised: boolean
  /** Multiplies the weights at the end. */
  readonly weightScale: number
  /** Experts lie in groups and only the best groups are looked at; 1 of 1 is no grouping. */
  readonly groups: number
  readonly groupsUsed: number
  /** Best experts of a group whose scores, added up, are the group's. */
  readonly groupJudges: number
  /** Layers with experts: `first`, `first + every`, …; the others have a plain feed-forward network. */
  readonly layers: { readonly first: number; readonly every: number }
}

/**
 * Multi-head latent attention: K and V of all heads are read out of one compressed vector per token, and only that is
 * cached, beside one rotated key that all heads share.
 *
 * @see DeepSeek-AI 2024, "DeepSeek-V2", section 2.1 (arXiv:2405.04434)
 */
export interface LatentAttention {
  /** Width of the compressed query; `null` if queries are not compressed. */
  readonly queryRank: number | null
  /** Width of the compressed K and V. */
  readonly kvRank: number
  /** Dimensions of a value head; `headDim` is that of query and key heads, `ropeDim` of them rotated. */
  readonly valueDim: number
}

/** Layers that look back only so far; how far may differ between layers, not in size but in being there. */
export interface SlidingWindow {
  /** Positions a token may look back, itself included. */
  readonly size: number
  /** For each layer, whether it has the window. */
  readonly layers: readonly boolean[]
  /** `sliding` moves with the token; `chunked` starts anew at every multiple of `size`. */
  readonly kind: 'sliding' | 'chunked'
  /** Base of the rotary frequencies in windowed layers, which then are not scaled; `null` if they are as elsewhere. */
  readonly ropeTheta: number | null
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
  /** Width of the plain feed-forward network. */
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
  /** `null` if every layer looks back to the beginning. */
  readonly slidingWindow: SlidingWindow | null
  /** Multiplies attention scores. */
  readonly attentionScale: number
  /** Attention scores x become `cap · tanh(x / cap)`; 0 leaves them. */
  readonly attentionSoftcap: number
  /** The same for the final logits. */
  readonly logitSoftcap: number
  /** Multiplies embeddings where they enter the first layer. */
  readonly embeddingScale: number
  /** `null` for dense models. */
  readonly experts: ExpertConfig | null
  /** `null` unless the model has multi-head latent attention. */
  readonly latentAttention: LatentAttention | null
  readonly tiedEmbeddings: boolean
  readonly bosToken: number | null
  /** Tokens that end a generation. */
  readonly eosTokens: readonly number[]
}

/** What most models do not have, and the attention scale of Vaswani et al. 2017 (arXiv:1706.03762). */
export const plainTraits = (headDim: number) =>
  ({
    slidingWindow: null,
    attentionScale: 1 / Math.sqrt(headDim),
    attentionSoftcap: 0,
    logitSoftcap: 0,
    embeddingScale: 1,
    experts: null,
    latentAttention: null,
  }) as const satisfies Partial<ModelConfig>

/** A window that every layer has. */
export const windowEverywhere = (size: number, layers: number): SlidingWindow => ({
  size,
  layers: Array.from({ length: layers }, () => true),
  kind: 'sliding',
  ropeTheta: null,
})

export const isExpertLayer = ({ experts }: Pick<ModelConfig, 'experts'>, layer: number): boolean =>
  experts !== null &&
  layer >= experts.layers.first &&
  (layer - experts.layers.first) % experts.layers.every === 0

/** Elements of K and of V that one token adds to one layer; latent attention reads V out of what is cached as K. */
export function kvWidths(config: Pick<ModelConfig, 'kvHeads' | 'headDim' | 'ropeDim' | 'latentAttention'>): {
  readonly k: number
  readonly v: number
} {
  const { kvHeads, headDim, ropeDim, latentAttention } = config
  if (latentAttention !== null) return { k: latentAttention.kvRank + ropeDim, v: 0 }
  return { k: kvHeads * headDim, v: kvHeads * headDim }
}

/** Bytes of K and V that one token adds to one layer at `bytesPerElement`. */
export function kvBytesPerTokenPerLayer(config: ModelConfig, bytesPerElement: number): number {
  const { k, v } = kvWidths(config)
  return (k + v) * bytesPerElement
}

function attentionParameters({
  hiddenSize,
  heads,
  kvHeads,
  headDim,
  ropeDim,
  latentAttention,
}: ModelConfig): number {
  if (latentAttention === null) return hiddenSize * (2 * heads + 2 * kvHeads) * headDim
  const { queryRank, kvRank, valueDim } = latentAttention
  const query = queryRank === null ? hiddenSize * heads * headDim : queryRank * (hiddenSize + heads * headDim)
  const keyAndValue = hiddenSize * (kvRank + ropeDim) + kvRank * heads * (headDim - ropeDim + valueDim)
  return query + keyAndValue + heads * valueDim * hiddenSize
}

function feedForwardParameters(config: ModelConfig, layer: number): number {
  const { hiddenSize, feedForwardSize, experts } = config
  if (experts === null || !isExpertLayer(config, layer)) return 3 * hiddenSize * feedForwardSize
  const width = experts.used * experts.feedForwardSize + experts.sharedFeedForwardSize
  return hiddenSize * (experts.count + 3 * width)
}

/** Elements of the matrices that every token is multiplied with in one layer; of the experts, those it goes through. */
export const matrixParametersPerLayer = (config: ModelConfig, layer: number): number =>
  attentionParameters(config) + feedForwardParameters(config, layer)

/** The same for every layer of the model, in order. */
export const matrixParametersOfLayers = (config: ModelConfig): readonly number[] =>
  Array.from({ length: config.layers }, (_, layer) => matrixParametersPerLayer(config, layer))

/** Elements of the matrix that turns a hidden state into logits. */
export const headParameters = (config: ModelConfig): number => config.hiddenSize * config.vocabSize
