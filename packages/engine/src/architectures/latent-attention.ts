import type { Tensor } from '../ggml/graph-builder.ts'
import type { LayerContext } from './architecture.ts'
import { linear, reducedLinear, rmsNorm } from './blocks.ts'

const F32_BYTES = Float32Array.BYTES_PER_ELEMENT

/** Most graph nodes it adds to those of plain attention, views included. */
export const latentAttentionNodes = 16

/**
 * Multi-head latent attention over already normalised `x`. The matrices that would make keys and values out of the
 * cached vectors are applied to the queries and to the result instead, so that attention works on what is cached.
 *
 * Weights: `attn_q`, or `attn_q_a`, `attn_q_a_norm` and `attn_q_b` where queries are compressed; `attn_kv_a_mqa`,
 * `attn_kv_a_norm`; `attn_k_b` `[headDim - ropeDim, kvRank, heads]`; `attn_v_b` `[kvRank, valueDim, heads]`;
 * `attn_output`.
 *
 * @see DeepSeek-AI 2024, "DeepSeek-V2", section 2.1 and appendix C (arXiv:2405.04434)
 */
export function latentAttention(context: LayerContext, x: Tensor): Tensor {
  const attended = context.attend(queries(context, x), keys(context, x), null)
  return reducedLinear(context, 'attention', 'attn_output', values(context, attended))
}

/** `[kvRank + ropeDim, heads, tokens]`: each head's plain part in the space of the cached vectors, and its rotated part. */
function queries(context: LayerContext, x: Tensor): Tensor {
  const { builder, config, tokenCount } = context
  const { heads, headDim, ropeDim } = config
  const projected =
    config.latentAttention?.queryRank === null
      ? linear(context, 'attn_q', x)
      : linear(context, 'attn_q_b', rmsNorm(context, 'attn_q_a_norm', linear(context, 'attn_q_a', x)))
  const plainDim = headDim - ropeDim
  const part = (dim: number, first: number) =>
    builder.view3d(
      projected,
      [dim, heads, tokenCount],
      [headDim * F32_BYTES, heads * headDim * F32_BYTES],
      first * F32_BYTES,
    )
  const plain = builder.matmul(context.weight('attn_k_b.weight'), builder.swapOuter(part(plainDim, 0)))
  return builder.concat(builder.swapOuter(plain), context.rope(part(ropeDim, plainDim)))
}

/** `[kvRank + ropeDim, 1, tokens]`: the compressed vector, normalised, and the rotated key that all heads share. */
function keys(context: LayerContext, x: Tensor): Tensor {
  const { builder, config, tokenCount } = context
  const { ropeDim } = config
  const { kvRank } = config.latentAttention!
  const projected = linear(context, 'attn_kv_a_mqa', x)
  const rowBytes = (kvRank + ropeDim) * F32_BYTES
  const part = (dim: number, first: number) =>
    builder.view3d(projected, [dim, 1, tokenCount], [rowBytes, rowBytes], first * F32_BYTES)
  return builder.concat(
    rmsNorm(context, 'attn_kv_a_norm', part(kvRank, 0)),
    context.rope(part(ropeDim, kvRank)),
  )
}

/** `[valueDim * heads, outputs]` out of the weighted sums of cached vectors, `[kvRank * heads, outputs]`. */
function values(context: LayerContext, attended: Tensor): Tensor {
  const { builder, config, keptCount } = context
  const { heads } = config
  const { kvRank, valueDim } = config.latentAttention!
  const perHead = builder.swapOuter(builder.reshape3d(attended, kvRank, heads, keptCount))
  const product = builder.matmul(context.weight('attn_v_b.weight'), perHead)
  return builder.contiguous2d(builder.swapOuter(product), heads * valueDim, keptCount)
}
