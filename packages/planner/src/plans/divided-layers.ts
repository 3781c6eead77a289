import { isExpertLayer, kvWidths } from '@deos/domain'
import {
  type LayerGraph,
  layerGraph,
  type ModelShape,
  type Operator,
  operatorGraph,
  type Phase,
  type Precision,
} from '../models/index.ts'
import type { LinkRate } from './fleet.ts'
import type { GroupDegrees } from './group-degrees.ts'
import { allReduceMs, kvPartsOf, partOfLayer } from './tensor-parallel.ts'

const activationBytesPerElement = 2

/**
 * One accelerator's part of every layer. Beside tensor parallelism, the members of a group share the positions of a prompt
 * and the sequences of a step; each has all weights but those of experts. With context parallelism the positions of every
 * sequence are divided while answering too, so that each member attends to its own.
 *
 * @see Liu et al. 2023 (arXiv:2310.01889) for attention in parts; Lepikhin et al. 2020 (arXiv:2006.16668) for experts
 */
export function partOfModel(
  shape: ModelShape,
  phase: Phase,
  precision: Precision,
  { tensor, expert, context }: GroupDegrees,
): readonly LayerGraph[] {
  const divided = (parts: number) => operatorGraph(shape, partOfPhase(phase, parts), precision)
  const own = divided(expert * context)
  const inTensors = (graph: LayerGraph) => partOfLayer(graph, shape, tensor)
  if (expert * context === 1) return changedAlike(own, inTensors)
  const routed = divided(context)
  const decodes = phase.kind === 'decode'
  const attended = divided(decodes ? expert : 1)
  return changedAlike(own, (graph, at) => {
    const operators = graph.operators.map((operator, index): Operator => {
      const of = (graphs: readonly LayerGraph[]) => graphs[at]!.operators[index]!
      if (operator.kind === 'attention') {
        return scaled(of(attended), 1 / (decodes ? context : expert * context))
      }
      return operator.kind === 'experts' ? scaled(of(routed), 1 / expert) : operator
    })
    return inTensors(layerGraph(graph.layer, operators))
  })
}

/** Layers that are alike are changed once, and stay so: they share their operators. */
function changedAlike(
  graphs: readonly LayerGraph[],
  change: (graph: LayerGraph, at: number) => LayerGraph,
): readonly LayerGraph[] {
  const known = new Map<LayerGraph['operators'], LayerGraph>()
  return graphs.map((graph, at) => {
    const changed = known.get(graph.operators) ?? change(graph, at)
    known.set(graph.operators, changed)
    return { ...changed, layer: graph.layer }
  })
}

/** Of the busiest member. */
function partOfPhase(phase: Phase, parts: number): Phase {
  if (phase.kind === 'decode') return { ...phase, sequences: Math.max(1, phase.sequences / parts) }
  return { ...phase, tokens: Math.max(1, phase.tokens / parts) }
}

const scaled = (operator: Operator, share: number): Operator => ({
  ...operator,
  flops: operator.flops * share,
  weightBytes: operator.weightBytes * share,
  activationBytes: operator.activationBytes * share,
  kvBytes: operator.kvBytes * share,
})

/**
 * What members tell each other for one layer: sums of tensor-parallel parts; tokens on their way to experts and back;
 * K and V round a ring for a prompt; queries and partial results for a step whose positions are divided.
 */
export function exchangeMs(
  shape: ModelShape,
  phase: Phase,
  { tensor, expert, context }: GroupDegrees,
  link: LinkRate,
  layer: number | null,
  kvBytesPerElement: number,
): number {
  if (layer === null) return 0
  const tokens = phase.kind === 'decode' ? phase.sequences : phase.sequences * phase.tokens
  const members = expert * context
  const own = Math.max(1, tokens / members)
  const rowBytes = shape.hiddenSize * activationBytesPerElement
  const passMs = (sizeBytes: number) => link.delayMs + (sizeBytes / link.bytesPerS) * 1000
  // Behind attention and behind the feed-forward network.
  const sums = 2 * allReduceMs(tensor, own * rowBytes, link)
  const routes = expert > 1 && shape.experts !== null && isExpertLayer(shape, layer)
  const routed = own * (shape.experts?.used ?? 0) * rowBytes * ((expert - 1) / expert)
  const experts = routes ? 2 * passMs(routed) : 0
  if (phase.kind === 'decode') {
    const attended = Math.max(1, tokens / expert)
    const rows = attended * shape.heads * shape.headDim * activationBytesPerElement
    const gathers = context > 1 ? 2 * passMs((rows / tensor) * ((context - 1) / context)) : 0
    return sums + experts + gathers
  }
  const { k, v } = kvWidths(shape)
  const kvBytes = (own * (k + v) * kvBytesPerElement) / kvPartsOf(shape, tensor)
  return sums + experts + (members - 1) * (members > 1 ? passMs(kvBytes) : 0)
}
