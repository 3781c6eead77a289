import type { ModelConfig } from '@deos/domain'
import type { GraphBuilder, RopeLayout, Tensor } from '../ggml/graph-builder.ts'

/** Matrices whose rows follow one another, so that one product gives the results of all. */
export interface MatrixBundle {
  readonly weight: Tensor
  /** In order of their rows, `width` of which are the matrix's own; named as in `blk.<layer>.<matrix>.weight`. */
  readonly parts: readonly { readonly matrix: string; readonly width: number }[]
}

/** Which part of a layer several ranks may share. */
export type LayerPart = 'attention' | 'feedForward'

/** Tokens at experts, a token once for each expert it goes through. */
export interface RoutedRows {
  /** `[hiddenSize, width or 1, rows]` */
  readonly x: Tensor
  /** Experts, I32 `[width, rows]`, numbered as the weights at hand are. */
  readonly chosen: Tensor
  /** `[1, width, rows]` */
  readonly weights: Tensor
  readonly width: number
  readonly rows: number
}

/** The feed-forward network of a layer whose experts lie on several ranks. */
export interface DispatchedExperts {
  /** `[hiddenSize, keptCount]` */
  readonly x: Tensor
  /** Experts of each token, I32 `[used, keptCount]`, out of all. */
  readonly chosen: Tensor
  /** `[1, used, keptCount]` */
  readonly weights: Tensor
  /** This rank's part of what every token goes through besides, `[hiddenSize, keptCount]`; null if there is none. */
  readonly shared: Tensor | null
  /** Adds the computation of `[hiddenSize, width, rows]`, weighted, to the graph. */
  compute(rows: RoutedRows): Tensor
}

/** What a layer's graph may use. Tensors are `[features, tokens]` float32 unless said otherwise. */
export interface LayerContext {
  readonly builder: GraphBuilder
  readonly config: ModelConfig
  readonly layer: number
  /** Tokens in this batch. */
  readonly tokenCount: number
  /** Tokens after {@link LayerContext.attend} and {@link LayerContext.keepOutputs}. */
  readonly keptCount: number
  /** Of the batch's tokens in their sequences, I32 `[tokens]`. */
  readonly positions: Tensor
  /** Weight `blk.<layer>.<name>`; missing is a bug, because the loader checked the family's tensors. */
  weight(name: string): Tensor
  /** The same for weights that only some models of the family have. */
  optionalWeight(name: string): Tensor | null
  /**
   * The matrix and those it can be multiplied together with; null if it is on its own, or adapters change one of them.
   */
  bundle(matrix: string): MatrixBundle | null
  /** Adds to `product`, that of the matrix `name` and `x`, what adapters change about it. */
  adapt(name: string, x: Tensor, product: Tensor): Tensor
  /** Rotates `[headDim, heads, tokens]` by the tokens' positions. */
  rope(x: Tensor): Tensor
  /**
   * Stores `k` (`[headDim, kvHeads, tokens]`) and `v` (rows, `[headDim * kvHeads, tokens]`) in the KV cache and attends to every visible position.
   *
   * @param v - null for latent attention: `k` is `[kvRank + ropeDim, 1, tokens]`, and the first `kvRank` of it are the values
   * @param sinks - `[heads]`: scores that take their share of each head's softmax and give nothing for it
   * @returns `[width of a value * heads, outputs]`: only the rows that something later needs
   */
  attend(q: Tensor, k: Tensor, v: Tensor | null, sinks?: Tensor | null): Tensor
  /** Adds up what the ranks of a stage have of a product; `partial` itself where one rank has all of that part. */
  reduce(part: LayerPart, partial: Tensor): Tensor
  /**
   * Where experts lie on several ranks: each token's results of the experts it goes through, added up,
   * `[hiddenSize, keptCount]`. Null where all experts are here.
   */
  readonly dispatch: ((experts: DispatchedExperts) => Tensor) | null
  /** Drops the rows of the residual stream that {@link LayerContext.attend} dropped from its result. */
  keepOutputs(x: Tensor): Tensor
}

/** A model family: adding one is one file and its entry in `index.ts`. */
export interface Architecture {
  /** As GGUF's `general.architecture` spells it. */
  readonly name: string
  readonly ropeLayout: RopeLayout
  /** Whether a layer turns its keys by their positions. Default: all do. */
  rotates?(config: ModelConfig, layer: number): boolean
  /** One transformer layer, residual connections included. */
  layer(context: LayerContext, x: Tensor): Tensor
}
