import type { Tensor } from '../ggml/graph-builder.ts'
import type { LayerContext } from './architecture.ts'

/** Weights of {@link selfAttention} and {@link gatedFeedForward} that every user of them has. */
export const denseTensors = [
  'attn_norm.weight',
  'attn_q.weight',
  'attn_k.weight',
  'attn_v.weight',
  'attn_output.weight',
  'ffn_norm.weight',
  'ffn_gate.weight',
  'ffn_up.weight',
  'ffn_down.weight',
] as const

/** `weight · x`, plus the bias of the same name where the model has one. */
export function linear(context: LayerContext, name: string, x: Tensor): Tensor {
  const product = context.builder.matmul(context.weight(`${name}.weight`), x)
  const bias = context.optionalWeight(`${name}.bias`)
  return bias ? context.builder.add(product, bias) : product
}

export function rmsNorm(context: LayerContext, name: string, x: Tensor): Tensor {
  return context.builder.rmsNorm(x, context.weight(`${name}.weight`), context.config.normEpsilon)
}

interface AttentionTraits {
  /** RMS norm of each query and key head before rotation (`attn_q_norm`, `attn_k_norm`). */
  readonly normaliseHeads: boolean
}

/** Grouped-query self-attention with rotary positions over already normalised `x`. */
export function selfAttention(context: LayerContext, x: Tensor, { normaliseHeads }: AttentionTraits): Tensor {
  const { builder, config, tokenCount } = context
  const { headDim, heads, kvHeads } = config
  const project = (name: string, count: number) =>
    builder.reshape3d(linear(context, name, x), headDim, count, tokenCount)
  const q = project('attn_q', heads)
  const k = project('attn_k', kvHeads)
  const v = project('attn_v', kvHeads)
  const rotate = (name: string, head: Tensor) =>
    context.rope(normaliseHeads ? rmsNorm(context, name, head) : head)
  const attended = context.attend(rotate('attn_q_norm', q), rotate('attn_k_norm', k), v)
  return linear(context, 'attn_output', attended)
}

/** `down(silu(gate x) * up x)`. */
export function gatedFeedForward(context: LayerContext, x: Tensor): Tensor {
  const gated = context.builder.swiglu(linear(context, 'ffn_gate', x), linear(context, 'ffn_up', x))
  return linear(context, 'ffn_down', gated)
}

/** The pre-norm layer most families share: attention, then a gated feed-forward, each with its residual. */
export function preNormLayer(context: LayerContext, x: Tensor, traits: AttentionTraits): Tensor {
  const attended = selfAttention(context, rmsNorm(context, 'attn_norm', x), traits)
  const middle = context.builder.add(attended, context.keepOutputs(x))
  const fed = gatedFeedForward(context, rmsNorm(context, 'ffn_norm', middle))
  return context.builder.add(fed, middle)
}
