import type { DispatchedExperts, LayerContext, LayerPart, MatrixBundle } from '../architectures/index.ts'
import type { GraphBuilder, Tensor } from '../ggml/graph-builder.ts'
import { bytesOf, floatsOf } from '../ranks/index.ts'
import { AdapterNodes } from './adapter-nodes.ts'
import { AttentionNodes } from './attention-nodes.ts'
import type { EntryPlan } from './attention-plan.ts'
import { BatchRows } from './batch-rows.ts'
import { pickRows, placeRows } from './context-rows.ts'
import { ExpertDispatch } from './expert-dispatch.ts'
import type { GraphTensors, GraphVariant, StageParts } from './graph-parts.ts'
import type { ContextShare, RankParts } from './rank-parts.ts'
import { CutList } from './segmented-graph.ts'

/** Puts together the nodes of a stage's graph for batches of one shape. */
export class StageGraphBuilder {
  readonly cuts: CutList
  readonly attention: AttentionNodes
  private readonly rows: BatchRows
  private readonly context: ContextShare | null
  private readonly positions: Tensor
  private readonly outputRows: Tensor | null
  private readonly adapters: AdapterNodes

  constructor(
    private readonly parts: StageParts,
    private readonly builder: GraphBuilder,
    plans: readonly EntryPlan[],
    private readonly variant: GraphVariant,
  ) {
    this.context = parts.rank?.context ?? null
    this.rows = new BatchRows(parts, plans, this.context)
    this.cuts = new CutList(parts.backend, builder)
    this.positions = builder.input('I32', this.rows.computed)
    this.attention = new AttentionNodes(parts, builder, plans, this.rows, this.cuts, variant.halts)
    this.outputRows = this.rows.areDropped ? builder.input('I32', this.rows.wanted) : null
    this.adapters = new AdapterNodes(parts.adapters, builder, this.rows)
  }

  build(): GraphTensors {
    const { parts, builder, rows } = this
    const input = parts.embedding
      ? builder.input('I32', rows.computed)
      : builder.input('F32', parts.config.hiddenSize, rows.computed)
    let x = parts.embedding ? this.embed(input) : input
    let output: Tensor | null = null
    for (let layer = parts.layers.first; layer < parts.layers.end; layer += 1) {
      x = parts.architecture.layer(this.layerContext(layer), x)
      if (rows.stopsAfterKv(layer)) break
      if (layer === parts.layers.end - 1) output = this.result(x)
    }
    if (output) builder.output(output)
    return {
      ...{ input, output, positions: this.positions, outputRows: this.outputRows },
      ...{ cells: this.attention.cells, ...this.attention.inputs },
      ...{ adapterSlots: this.adapters.slots, keptAdapterSlots: this.adapters.keptSlots },
    }
  }

  /** What the stage gives, of what its last layer gives: null on ranks that only help, which are through then. */
  private result(x: Tensor): Tensor | null {
    const { rank, head } = this.parts
    const rows = this.context && rank ? this.gatherRows(this.context, rank, x) : x
    if (rank?.isFirst === false) return null
    return head ? this.headResult(rows) : rows
  }

  /** On rank 0 the rows that are wanted, those of all ranks: `[hiddenSize, rows]`. */
  private gatherRows(context: ContextShare, rank: RankParts, x: Tensor): Tensor {
    const { builder, parts } = this
    const { hiddenSize } = parts.config
    const { ggml } = parts.backend
    if (!rank.givesRows) return x
    builder.expand(x)
    const gathered = builder.input('F32', hiddenSize, parts.head ? this.rows.wanted : this.rows.total)
    if (rank.isFirst) builder.expand(gathered)
    const own = new Float32Array(hiddenSize * this.rows.computed)
    this.cuts.add(async () => {
      const { rows, index } = context
      ggml.tensorGet(x.pointer, own, 0, own.byteLength)
      const given = await context.exchange(bytesOf(own.slice(0, rows.byRank[index]!.length * hiddenSize)))
      if (!rank.isFirst) return
      const placed = given.map((data, other) => floatsOf(data, rows.byRank[other]!.length * hiddenSize))
      const all = placeRows(rows, placed, hiddenSize)
      const wanted = parts.head ? pickRows(all, rows.outputs, hiddenSize) : all
      ggml.tensorSet(gathered.pointer, wanted, 0, wanted.byteLength)
    })
    return gathered
  }

  private embed(tokens: Tensor): Tensor {
    const { embeddingScale } = this.parts.config
    const embedded = this.builder.rows(this.stageWeight('token_embd.weight'), tokens)
    return embeddingScale === 1 ? embedded : this.builder.scale(embedded, embeddingScale)
  }

  private headResult(x: Tensor): Tensor {
    const { builder, parts } = this
    const { logitSoftcap } = parts.config
    const normed = builder.rmsNorm(x, this.stageWeight('output_norm.weight'), parts.config.normEpsilon)
    if (this.variant.result === 'normed') return normed
    const logits = builder.matmul(this.stageWeight('output.weight'), normed)
    return logitSoftcap === 0 ? logits : builder.softcap(logits, logitSoftcap)
  }

  private stageWeight(name: string): Tensor {
    const weight = this.parts.weights.get(name)
    if (!weight) throw new Error(`Stage ${JSON.stringify(this.parts.layers)} holds no weight ${name}.`)
    return weight
  }

  private layerContext(layer: number): LayerContext {
    const { parts, builder } = this
    const { rank } = parts
    const find = (name: string) => parts.weights.get(`blk.${layer}.${name}`)
    let isAttended = false
    return {
      builder,
      config: parts.config,
      layer,
      tokenCount: this.rows.computed,
      keptCount: this.rows.kept(layer),
      positions: this.positions,
      weight: (name) => this.stageWeight(`blk.${layer}.${name}`),
      optionalWeight: find,
      bundle: (matrix) => this.bundle(`blk.${layer}`, matrix),
      adapt: (name, x, product) =>
        this.variant.adapted
          ? this.adapters.adapt(`blk.${layer}.${name}`, x, product, isAttended && this.dropsRowsAt(layer))
          : product,
      rope: (x) => builder.rope(x, this.positions, parts.rope(layer)),
      attend: (q, k, v, sinks = null) => {
        isAttended = true
        return this.attention.attend(layer, q, k, v, sinks)
      },
      reduce: (part, partial) => this.reduce(layer, part, partial),
      dispatch: rank?.experts ? (experts) => this.dispatch(layer, rank, experts) : null,
      keepOutputs: (x) => (this.dropsRowsAt(layer) ? builder.rows(x, this.outputRows!) : x),
    }
  }

  /** Whether only the wanted rows go on behind a layer's attention. */
  private dropsRowsAt(layer: number): boolean {
    return this.rows.isLast(layer) && this.outputRows !== null
  }

  private reduce(layer: number, part: LayerPart, partial: Tensor): Tensor {
    const { rank, backend } = this.parts
    if (!rank?.shares(part) || this.rows.stopsAfterKv(layer)) return partial
    this.builder.expand(partial)
    const { ggml } = backend
    const values = new Float32Array(ggml.elementCount(partial.pointer))
    this.cuts.add(async () => {
      ggml.tensorGet(partial.pointer, values, 0, values.byteLength)
      await rank.sum(part, values)
      ggml.tensorSet(partial.pointer, values, 0, values.byteLength)
    })
    return partial
  }

  private dispatch(layer: number, rank: RankParts, experts: DispatchedExperts): Tensor {
    if (this.rows.stopsAfterKv(layer)) return experts.x
    const { backend, config } = this.parts
    const { hiddenSize } = config
    const rows = this.rows.kept(layer)
    const sizes = { hiddenSize, used: config.experts!.used, rows }
    const dispatch = new ExpertDispatch({ backend, rank, ...sizes }, this.builder, experts)
    this.cuts.add(() => dispatch.take())
    dispatch.build()
    this.cuts.add(
      () => dispatch.combine(),
      () => dispatch.count > 0,
    )
    return dispatch.result
  }

  private bundle(layer: string, matrix: string): MatrixBundle | null {
    const bundle = this.parts.weights.bundle(layer, matrix)
    const { adapters } = this.parts
    const isAdapted = bundle?.parts.some((part) => adapters.module(`${layer}.${part.matrix}`) !== null)
    return this.variant.adapted && isAdapted ? null : bundle
  }
}
