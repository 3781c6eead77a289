import type { LayerRange, ModelConfig } from '@deos/domain'
import { layerCount } from '@deos/domain'
import type { Architecture, LayerContext } from '../architectures/index.ts'
import type { Backend } from '../ggml/backend.ts'
import { GraphBuilder, type RopeSettings, type Tensor } from '../ggml/graph-builder.ts'
import type { Pointer } from '../ggml/library.ts'
import { tensorTypes } from '../ggml/tensor-type.ts'
import { type EntryPlan, maskLength } from './attention-plan.ts'
import type { KvCache } from './kv-cache.ts'
import type { WeightStore } from './weight-store.ts'

const F16_BYTES = 2
const F32_BYTES = 4
const NODES_PER_LAYER = 40
const NODES_PER_ENTRY = 6
const NODES_AROUND = 32

/** What all graphs of a stage share. */
export interface StageParts {
  readonly backend: Backend
  readonly architecture: Architecture
  readonly config: ModelConfig
  readonly layers: LayerRange
  readonly embedding: boolean
  readonly head: boolean
  readonly weights: WeightStore
  readonly kv: KvCache
  readonly rope: RopeSettings
}

/** The tensors to write before a run and to read after it. */
export interface GraphTensors {
  /** Token ids (I32) or hidden states (F32, `[hiddenSize, tokens]`). */
  readonly input: Tensor
  readonly positions: Tensor
  /** KV cells of the tokens, I64. */
  readonly cells: Tensor
  /** Null where nothing attends: the last layer of a prompt chunk without a wanted row, alone in its stage. */
  readonly mask: Tensor | null
  /** Rows that need logits, I32; null where the graph keeps every row or none. */
  readonly outputRows: Tensor | null
  /** Hidden states `[hiddenSize, tokens]`, logits `[vocabSize, outputs]`, or null when nothing is wanted. */
  readonly output: Tensor | null
}

/** One compiled batch shape: built once, run for every step of that shape. */
export class StageGraph {
  readonly tensors: GraphTensors
  readonly sizeBytes: number
  private readonly context: Pointer
  private readonly allocator: Pointer
  private readonly graph: Pointer

  constructor(
    private readonly parts: StageParts,
    plans: readonly EntryPlan[],
  ) {
    const { ggml } = parts.backend
    const maxNodes =
      NODES_AROUND + layerCount(parts.layers) * (NODES_PER_LAYER + NODES_PER_ENTRY * plans.length)
    this.context = ggml.init({
      mem_size: maxNodes * ggml.tensorOverhead() + ggml.graphOverheadCustom(maxNodes, false),
      mem_buffer: null,
      no_alloc: true,
    })
    const builder = new GraphBuilder(ggml, this.context, maxNodes)
    this.tensors = new StageGraphBuilder(parts, builder, plans).build()
    this.graph = builder.graph
    this.allocator = ggml.gallocrNew(parts.backend.bufferType)
    if (!ggml.gallocrAllocGraph(this.allocator, this.graph)) {
      this.close()
      throw new RangeError(`No memory for a step of ${plans.length} entries on ${parts.backend.device.name}.`)
    }
    this.sizeBytes = ggml.gallocrBufferSize(this.allocator, 0) + ggml.usedMem(this.context)
  }

  write(tensor: Tensor, data: ArrayBufferView): void {
    this.parts.backend.ggml.tensorSet(tensor.pointer, data, 0, data.byteLength)
  }

  read(tensor: Tensor, into: ArrayBufferView): void {
    this.parts.backend.ggml.tensorGet(tensor.pointer, into, 0, into.byteLength)
  }

  run(): Promise<void> {
    return this.parts.backend.compute(this.graph)
  }

  close(): void {
    this.parts.backend.ggml.gallocrFree(this.allocator)
    this.parts.backend.ggml.free(this.context)
  }
}

class StageGraphBuilder {
  private readonly tokenCount: number
  private readonly outputCount: number
  private readonly positions: Tensor
  private readonly cells: Tensor
  private readonly mask: Tensor
  private readonly outputRows: Tensor | null
  /** Attention results of all entries meet here; one for the whole graph, layers run one after another. */
  private attended: Tensor | null = null
  private readonly masks = new Map<string, Tensor>()

  constructor(
    private readonly parts: StageParts,
    private readonly builder: GraphBuilder,
    private readonly plans: readonly EntryPlan[],
  ) {
    this.tokenCount = plans.reduce((sum, plan) => sum + plan.count, 0)
    this.outputCount = plans.reduce((sum, plan) => sum + plan.outputCount, 0)
    this.positions = builder.input('I32', this.tokenCount)
    this.cells = builder.input('I64', this.tokenCount)
    this.mask = builder.input('F16', maskLength(plans))
    this.outputRows = this.dropsRows ? builder.input('I32', this.outputCount) : null
  }

  build(): GraphTensors {
    const { parts, builder } = this
    const input = parts.embedding
      ? builder.input('I32', this.tokenCount)
      : builder.input('F32', parts.config.hiddenSize, this.tokenCount)
    let x = parts.embedding ? builder.rows(this.stageWeight('token_embd.weight'), input) : input
    let output: Tensor | null = null
    for (let layer = parts.layers.first; layer < parts.layers.end; layer += 1) {
      x = parts.architecture.layer(this.layerContext(layer), x)
      if (this.stopsAfterKv(layer)) break
      if (layer === parts.layers.end - 1) output = parts.head ? this.logits(x) : x
    }
    if (output) builder.output(output)
    return {
      input,
      positions: this.positions,
      cells: this.cells,
      mask: this.attended ? this.mask : null,
      outputRows: this.outputRows,
      output,
    }
  }

  /** Prompt chunks without a wanted row need the last layer only for its K and V. */
  private stopsAfterKv(layer: number): boolean {
    return this.isLast(layer) && this.outputCount === 0
  }

  private isLast(layer: number): boolean {
    return this.parts.head && layer === this.parts.layers.end - 1
  }

  private get dropsRows(): boolean {
    return this.parts.head && this.outputCount > 0 && this.outputCount < this.tokenCount
  }

  private logits(x: Tensor): Tensor {
    const { builder, parts } = this
    const normed = builder.rmsNorm(x, this.stageWeight('output_norm.weight'), parts.config.normEpsilon)
    return builder.matmul(this.stageWeight('output.weight'), normed)
  }

  private stageWeight(name: string): Tensor {
    const weight = this.parts.weights.get(name)
    if (!weight) throw new Error(`Stage ${JSON.stringify(this.parts.layers)} holds no weight ${name}.`)
    return weight
  }

  private layerContext(layer: number): LayerContext {
    const { parts, builder } = this
    const find = (name: string) => parts.weights.get(`blk.${layer}.${name}`)
    return {
      builder,
      config: parts.config,
      layer,
      tokenCount: this.tokenCount,
      weight: (name) => this.stageWeight(`blk.${layer}.${name}`),
      optionalWeight: find,
      rope: (x) => builder.rope(x, this.positions, parts.rope),
      attend: (q, k, v) => this.attend(layer, q, k, v),
      keepOutputs: (x) => (this.isLast(layer) && this.outputRows ? builder.rows(x, this.outputRows) : x),
    }
  }

  private attend(layer: number, q: Tensor, k: Tensor, v: Tensor): Tensor {
    this.store(layer, k, v)
    const { heads, headDim } = this.parts.config
    const width = heads * headDim
    const rowsOf = (plan: EntryPlan) => (this.isLast(layer) ? plan.outputCount : plan.count)
    const rows = this.plans.reduce((sum, plan) => sum + rowsOf(plan), 0)
    // Nothing later is computed then; the shape is all that counts.
    if (rows === 0) return this.builder.reshape2d(q, width, this.tokenCount)
    this.attended ??= this.builder.empty('F32', width, this.tokenCount)
    let row = 0
    for (const plan of this.plans) {
      if (rowsOf(plan) > 0) this.attendEntry(layer, q, plan, rowsOf(plan), row)
      row += rowsOf(plan)
    }
    return this.builder.f32Rows(this.attended, width, 0, rows)
  }

  /** Writes K and V of the batch into their cells; expanded at once so that attention comes after it. */
  private store(layer: number, k: Tensor, v: Tensor): void {
    const { kvHeads, headDim } = this.parts.config
    const cache = this.parts.kv.layer(layer - this.parts.layers.first)
    for (const [matrix, values] of [
      [cache.k, k],
      [cache.v, v],
    ] as const) {
      const rows = this.builder.reshape2d(values, kvHeads * headDim, this.tokenCount)
      this.builder.expand(this.builder.scatterRows(matrix, rows, this.cells))
    }
  }

  /** Attention of the entry's last `rows` queries, into the gathered result from `into` on. */
  private attendEntry(layer: number, q: Tensor, plan: EntryPlan, rows: number, into: number): void {
    const { heads, kvHeads, headDim } = this.parts.config
    const headBytes = headDim * F32_BYTES
    const skipped = plan.count - rows
    const queries = this.builder.view3d(
      q,
      [headDim, rows, heads],
      [heads * headBytes, headBytes],
      (plan.firstRow + skipped) * heads * headBytes,
    )
    const { type } = this.parts.kv.options
    const cellBytes = this.parts.kv.rowBytes
    const keyBytes = (headDim / tensorTypes[type].blockSize) * tensorTypes[type].blockBytes
    const cells = (matrix: Tensor) =>
      this.builder.view3d(
        matrix,
        [headDim, plan.cellCount, kvHeads],
        [cellBytes, keyBytes],
        plan.cellStart * cellBytes,
      )
    const { k, v } = this.parts.kv.layer(layer - this.parts.layers.first)
    this.builder.attentionInto(this.attended!, into, {
      q: queries,
      k: cells(k),
      v: cells(v),
      mask: this.maskOf(plan, rows),
      scale: 1 / Math.sqrt(headDim),
      width: heads * headDim,
    })
  }

  /** The mask of the entry's last `rows` queries; layers share it. */
  private maskOf(plan: EntryPlan, rows: number): Tensor {
    const key = `${plan.firstRow}/${rows}`
    const known = this.masks.get(key)
    if (known) return known
    const skipped = plan.count - rows
    const mask = this.builder.view2d(
      this.mask,
      plan.cellCount,
      rows,
      plan.cellCount * F16_BYTES,
      (plan.maskOffset + skipped * plan.cellCount) * F16_BYTES,
    )
    this.masks.set(key, mask)
    return mask
  }
}
