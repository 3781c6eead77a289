import type { ModelConfig } from '@deos/domain'
import type { GraphBuilder, RopeLayout, Tensor } from '../ggml/graph-builder.ts'

/** What a layer's graph may use. Tensors are `[features, tokens]` float32 unless said otherwise. */
export interface LayerContext {
  readonly builder: GraphBuilder
  readonly config: ModelConfig
  readonly layer: number
  /** Tokens in this batch. */
  readonly tokenCount: number
  /** Weight `blk.<layer>.<name>`; missing is a bug, because the loader checked {@link Architecture.tensors}. */
  weight(name: string): Tensor
  /** The same for weights that only some models of the family have. */
  optionalWeight(name: string): Tensor | null
  /** Rotates `[headDim, heads, tokens]` by the tokens' positions. */
  rope(x: Tensor): Tensor
  /**
   * Stores `k`, `v` (`[headDim, kvHeads, tokens]`) in the KV cache and attends to every visible position.
   *
   * @returns `[headDim * heads, outputs]`: only the rows that something later needs
   */
  attend(q: Tensor, k: Tensor, v: Tensor): Tensor
  /** Drops the rows of the residual stream that {@link LayerContext.attend} dropped from its result. */
  keepOutputs(x: Tensor): Tensor
}

/** A model family: adding one is one file and its entry in `index.ts`. */
export interface Architecture {
  /** As GGUF's `general.architecture` spells it. */
  readonly name: string
  readonly ropeLayout: RopeLayout
  /** Per-layer weights that must exist, without the `blk.<n>.` prefix. */
  readonly tensors: readonly string[]
  /** One transformer layer, residual connections included. */
  layer(context: LayerContext, x: Tensor): Tensor
}
