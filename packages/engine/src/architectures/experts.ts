import { type ExpertConfig, isExpertLayer } from '@deos/domain'
import type { Tensor } from '../ggml/graph-builder.ts'
import type { LayerContext, RoutedRows } from './architecture.ts'
import { gateAndUp, gatedFeedForward, linear } from './blocks.ts'
import { companions } from './companions.ts'

export interface ExpertTraits {
  /** What an expert does with its gate and up projections; `clipped` is gpt-oss's variant of SwiGLU. */
  readonly activation: 'swiglu' | 'clipped swiglu'
  /** Weights multiply what goes into an expert instead of what comes out (Llama 4). */
  readonly weighInput: boolean
}

export const plainExperts: ExpertTraits = { activation: 'swiglu', weighInput: false }

/** Constants of gpt-oss's activation, fixed in its reference code. */
const clippedSlope = 1.702
const clippedLimit = 7

/** Smallest sum that weights are divided by: the smallest normal F16, as llama.cpp has it. */
const smallestSum = 2 ** -14

/** Experts each token goes through, `[used, rows]` I32, and their weights, `[1, used, rows]`. */
interface Routing {
  readonly chosen: Tensor
  readonly weights: Tensor
}

/**
 * A feed-forward network of experts, over already normalised `x`: a router chooses some for each token, and their
 * results are added up by weight; the shared expert, where there is one, is added for every token.
 *
 * Weights: `ffn_gate_inp` (router), `ffn_{gate,up,down}_exps` `[in, out, experts]`, `ffn_{gate,up,down}_shexp`,
 * `exp_probs_b.bias` (added to scores for choosing only).
 *
 * @see Fedus et al. 2022, "Switch Transformers", section 2.1 (arXiv:2101.03961)
 */
export function expertFeedForward(
  context: LayerContext,
  x: Tensor,
  traits: ExpertTraits = plainExperts,
): Tensor {
  const experts = context.config.experts!
  const { builder, config, keptCount } = context
  const routing = route(context, experts, linear(context, 'ffn_gate_inp', x))
  const shared = sharedExpert(context, experts, x)
  const compute = (rows: RoutedRows) => runExperts(context, rows, traits)
  if (context.dispatch) return context.dispatch({ x, ...routing, shared, compute })
  const all = { x: builder.reshape3d(x, config.hiddenSize, 1, keptCount), ...routing }
  const routed = sumOfExperts(
    context,
    experts.used,
    compute({ ...all, width: experts.used, rows: keptCount }),
  )
  return shared ? builder.add(routed, shared) : routed
}

function sharedExpert(
  context: LayerContext,
  { sharedFeedForwardSize }: ExpertConfig,
  x: Tensor,
): Tensor | null {
  if (sharedFeedForwardSize === 0) return null
  const gated = context.builder.swiglu(...gateAndUp(context, companions.sharedExpert, x))
  return linear(context, 'ffn_down_shexp', gated)
}

/** The feed-forward network of a layer, of experts where the layer has them. */
export function anyFeedForward(context: LayerContext, x: Tensor, traits?: ExpertTraits): Tensor {
  return isExpertLayer(context.config, context.layer)
    ? expertFeedForward(context, x, traits)
    : gatedFeedForward(context, x)
}

function route(context: LayerContext, experts: ExpertConfig, logits: Tensor): Routing {
  const { builder, keptCount } = context
  const { count, used, scoring, normalised, weightScale } = experts
  const scores = scoreAll(context, experts, logits)
  const chosen = builder.largest(selectionScores(context, experts, logits, scores), used)
  let weights = builder.rows(builder.reshape3d(scores, 1, count, keptCount), chosen)
  if (scoring === 'softmax of chosen') {
    const flat = builder.softmax(builder.reshape2d(weights, used, keptCount))
    weights = builder.reshape3d(flat, 1, used, keptCount)
  }
  if (normalised) {
    const flat = builder.reshape2d(weights, used, keptCount)
    const sum = builder.atLeast(builder.sums(flat), smallestSum)
    weights = builder.reshape3d(builder.divide(flat, sum), 1, used, keptCount)
  }
  if (weightScale !== 1) weights = builder.scale(weights, weightScale)
  return { chosen, weights }
}

function scoreAll({ builder }: LayerContext, { scoring }: ExpertConfig, logits: Tensor): Tensor {
  if (scoring === 'softmax') return builder.softmax(logits)
  return scoring === 'sigmoid' ? builder.sigmoid(logits) : logits
}

/** What experts are chosen by; minus infinity in groups that are not looked at. */
function selectionScores(
  context: LayerContext,
  experts: ExpertConfig,
  logits: Tensor,
  scores: Tensor,
): Tensor {
  const bias = context.optionalWeight('exp_probs_b.bias')
  const biased = bias ? context.builder.add(scores, bias) : scores
  if (experts.groups > 1) return insideBestGroups(context, experts, biased)
  // A sigmoid keeps the order, but rounds large logits to the same 1.
  return bias || experts.scoring !== 'sigmoid' ? biased : logits
}

/** @see DeepSeek-AI 2024, "DeepSeek-V3", section 2.1.2 (arXiv:2412.19437) */
function insideBestGroups(
  { builder, keptCount }: LayerContext,
  { count, groups, groupsUsed, groupJudges }: ExpertConfig,
  scores: Tensor,
): Tensor {
  const size = count / groups
  const grouped = builder.reshape3d(scores, size, groups, keptCount)
  const judges = builder.rows(
    builder.reshape4d(grouped, 1, size, groups, keptCount),
    builder.largest(grouped, groupJudges),
  )
  const sums = builder.sums(builder.reshape3d(judges, groupJudges, groups, keptCount))
  const best = builder.largest(builder.reshape2d(sums, groups, keptCount), groupsUsed)
  const none = builder.filled(grouped, Number.NEGATIVE_INFINITY)
  const inside = builder.scatterRows(none, builder.rows(grouped, best), best)
  return builder.reshape2d(inside, count, keptCount)
}

/** Weighted results, `[hiddenSize, width, rows]`. */
function runExperts(
  context: LayerContext,
  { x, chosen, weights, width, rows }: RoutedRows,
  { activation, weighInput }: ExpertTraits,
): Tensor {
  const { builder, config } = context
  const project = (name: string, input: Tensor) => {
    const product = builder.expertMatmul(context.weight(`${name}.weight`), input, chosen)
    const bias = context.optionalWeight(`${name}.bias`)
    return bias ? builder.addExpertBias(product, bias, chosen) : product
  }
  const input = weighInput
    ? builder.multiply(builder.repeat3d(x, config.hiddenSize, width, rows), weights)
    : x
  const gate = project('ffn_gate_exps', input)
  const up = project('ffn_up_exps', input)
  const gated =
    activation === 'swiglu'
      ? builder.swiglu(gate, up)
      : builder.clippedSwiglu(gate, up, clippedSlope, clippedLimit)
  const down = project('ffn_down_exps', gated)
  return weighInput ? down : builder.multiply(down, weights)
}

/** Adds up `[hiddenSize, used, rows]` over the experts. */
function sumOfExperts({ builder, config, keptCount }: LayerContext, used: number, results: Tensor): Tensor {
  const { hiddenSize } = config
  if (used === 1) return builder.reshape2d(results, hiddenSize, keptCount)
  const columnBytes = hiddenSize * Float32Array.BYTES_PER_ELEMENT
  const resultOf = (index: number) =>
    builder.view2d(results, hiddenSize, keptCount, used * columnBytes, index * columnBytes)
  let sum = resultOf(0)
  for (let index = 1; index < used; index += 1) sum = builder.add(sum, resultOf(index))
  return sum
}

/** Most graph nodes one layer of experts adds to those of a plain one, views included. */
export const expertNodes = ({ used }: ExpertConfig): number => 56 + 2 * used
