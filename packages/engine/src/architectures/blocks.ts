import type { Tensor } from '../ggml/graph-builder.ts'
import type { LayerContext, LayerPart, MatrixBundle } from './architecture.ts'
import { companions } from './companions.ts'

const F32_BYTES = Float32Array.BYTES_PER_ELEMENT

/** `weight · x` with the changes of adapters, plus the bias of the same name where the model has one. */
export function linear(context: LayerContext, name: string, x: Tensor): Tensor {
  const product = context.adapt(name, x, context.builder.matmul(context.weight(`${name}.weight`), x))
  const bias = context.optionalWeight(`${name}.bias`)
  return bias ? context.builder.add(product, bias) : product
}

/** {@link linear} of a matrix whose columns, and the rows of `x`, lie on the ranks that share this part of the layer. */
export function reducedLinear(context: LayerContext, part: LayerPart, name: string, x: Tensor): Tensor {
  const product = context.builder.matmul(context.weight(`${name}.weight`), x)
  const whole = context.reduce(part, context.adapt(name, x, product))
  const bias = context.optionalWeight(`${name}.bias`)
  return bias ? context.builder.add(whole, bias) : whole
}

/**
 * {@link linear} of several matrices and the same `x [in, rows]`, with one product for those that can be multiplied as
 * one: rows of a result may lie apart.
 *
 * @returns one for each of `names`
 */
export function linears(
  context: LayerContext,
  names: readonly string[],
  x: Tensor,
  rows: number,
): readonly Tensor[] {
  const results = new Map<string, Tensor>()
  for (const name of names) {
    if (results.has(name)) continue
    const bundle = context.bundle(name)
    if (bundle) bundledLinears(context, bundle, x, rows, results)
    else results.set(name, linear(context, name, x))
  }
  return names.map((name) => results.get(name)!)
}

function bundledLinears(
  context: LayerContext,
  { weight, parts }: MatrixBundle,
  x: Tensor,
  rows: number,
  results: Map<string, Tensor>,
): void {
  const { builder } = context
  const widths = parts.map(({ width }) => width)
  const products = columnsOf(context, builder.matmul(weight, x), widths, rows)
  for (const [index, { matrix }] of parts.entries()) {
    const bias = context.optionalWeight(`${matrix}.bias`)
    results.set(matrix, bias ? builder.add(products[index]!, bias) : products[index]!)
  }
}

/** `x [sum of widths, rows]` cut into matrices that lie side by side. */
function columnsOf(
  { builder }: LayerContext,
  x: Tensor,
  widths: readonly number[],
  rows: number,
): readonly Tensor[] {
  const rowBytes = F32_BYTES * widths.reduce((sum, width) => sum + width, 0)
  let first = 0
  return widths.map((width) => {
    const columns = builder.view2d(x, width, rows, rowBytes, first * F32_BYTES)
    first += width
    return columns
  })
}

export function rmsNorm(context: LayerContext, name: string, x: Tensor): Tensor {
  return context.builder.rmsNorm(x, context.weight(`${name}.weight`), context.config.normEpsilon)
}

interface AttentionTraits {
  /** RMS norm of each query and key head before rotation (`attn_q_norm`, `attn_k_norm`). */
  readonly normaliseHeads: boolean
  /** How heads get to know their positions. Default: by rotation. */
  place?(context: LayerContext, heads: Tensor, of: 'queries' | 'keys'): Tensor
}

interface LayerTraits extends AttentionTraits {
  /** Default: {@link gatedFeedForward}. */
  feedForward?(context: LayerContext, x: Tensor): Tensor
}

/**
 * Grouped-query self-attention with rotary positions over already normalised `x`; with sinks (`attn_sinks`) where the
 * model has them.
 */
export function selfAttention(context: LayerContext, x: Tensor, traits: AttentionTraits): Tensor {
  const { q, k, v } = projections(context, x)
  const { normaliseHeads, place = rotate } = traits
  const normed = (name: string, heads: Tensor) => (normaliseHeads ? rmsNorm(context, name, heads) : heads)
  const attended = context.attend(
    place(context, normed('attn_q_norm', q), 'queries'),
    place(context, normed('attn_k_norm', k), 'keys'),
    v,
    context.optionalWeight('attn_sinks.weight'),
  )
  return reducedLinear(context, 'attention', 'attn_output', attended)
}

const rotate = (context: LayerContext, heads: Tensor): Tensor => context.rope(heads)

/** Queries and keys by head, `[headDim, heads, tokens]`, and values as rows, `[headDim * kvHeads, tokens]`. */
interface Projections {
  readonly q: Tensor
  readonly k: Tensor
  readonly v: Tensor
}

function projections(context: LayerContext, x: Tensor): Projections {
  const { builder, config, tokenCount } = context
  const { headDim, heads, kvHeads } = config
  const widths = [heads * headDim, kvHeads * headDim, kvHeads * headDim]
  const [q, k, v] = (
    context.optionalWeight('attn_qkv.weight')
      ? columnsOf(context, linear(context, 'attn_qkv', x), widths, tokenCount)
      : linears(context, companions.attention, x, tokenCount)
  ) as [Tensor, Tensor, Tensor]
  return {
    q: builder.splitRows(q, headDim, heads, tokenCount),
    k: builder.splitRows(k, headDim, kvHeads, tokenCount),
    v,
  }
}

/** Gate and up of a feed-forward network, its normalised input being `x`. */
export function gateAndUp(
  context: LayerContext,
  names: (typeof companions)['feedForward' | 'sharedExpert'],
  x: Tensor,
): readonly [gate: Tensor, up: Tensor] {
  return linears(context, names, x, context.keptCount) as [Tensor, Tensor]
}

/** `down(silu(gate x) * up x)`. */
export function gatedFeedForward(context: LayerContext, x: Tensor): Tensor {
  const gated = context.builder.swiglu(...gateAndUp(context, companions.feedForward, x))
  return reducedLinear(context, 'feedForward', 'ffn_down', gated)
}

/** The pre-norm layer most families share: attention, then a gated feed-forward, each with its residual. */
export function preNormLayer(context: LayerContext, x: Tensor, traits: LayerTraits): Tensor {
  const { feedForward = gatedFeedForward } = traits
  const attended = selfAttention(context, rmsNorm(context, 'attn_norm', x), traits)
  const middle = context.builder.add(attended, context.keepOutputs(x))
  const fed = feedForward(context, rmsNorm(context, 'ffn_norm', middle))
  return context.builder.add(fed, middle)
}

/** Like {@link preNormLayer}, with another norm of what attention and feed-forward give, before it is added. */
export function doubleNormLayer(context: LayerContext, x: Tensor, traits: LayerTraits): Tensor {
  const { feedForward = gatedFeedForward } = traits
  const attended = selfAttention(context, rmsNorm(context, 'attn_norm', x), traits)
  const middle = context.builder.add(
    rmsNorm(context, 'post_attention_norm', attended),
    context.keepOutputs(x),
  )
  const fed = feedForward(context, rmsNorm(context, 'ffn_norm', middle))
  return context.builder.add(rmsNorm(context, 'post_ffw_norm', fed), middle)
}

/** `down(gelu(gate x) * up x)`. */
export function geluFeedForward(context: LayerContext, x: Tensor): Tensor {
  const gated = context.builder.geglu(...gateAndUp(context, companions.feedForward, x))
  return reducedLinear(context, 'feedForward', 'ffn_down', gated)
}

/** {@link gatedFeedForward} with gate and up in one matrix, gate first. */
export function fusedFeedForward(context: LayerContext, x: Tensor): Tensor {
  return reducedLinear(
    context,
    'feedForward',
    'ffn_down',
    context.builder.swigluHalves(linear(context, 'ffn_up', x)),
  )
}
