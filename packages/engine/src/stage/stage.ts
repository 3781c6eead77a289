import {
  DomainError,
  formatLayers,
  type KvLayerLayout,
  type KvSlice,
  type KvSliceWrite,
  type LayerRange,
  layerCount,
  type ModelConfig,
} from '@deos/domain'
import { architectures } from '../architectures/index.ts'
import type { Backend } from '../ggml/backend.ts'
import { GraphMemory } from '../ggml/graph-memory.ts'
import { AdapterStacks } from '../lora/adapter-stacks.ts'
import type { AdapterWeights } from '../lora/adapter-weights.ts'
import { AdapterError } from '../lora/errors.ts'
import {
  RankSplitError,
  type RankTensor,
  rankCount,
  rankModel,
  rankPlace,
  type StageRank,
} from '../ranks/index.ts'
import { requiredLayerTensors } from '../weights/families/index.ts'
import type { TensorInfo } from '../weights/model-source.ts'
import {
  type BatchEntry,
  type EntryPlan,
  FAR_BELOW,
  fillGathered,
  fillMask,
  gatheredLength,
  layerReaches,
  maskLength,
  planAttention,
  planShape,
} from './attention-plan.ts'
import { attentionShape } from './attention-shape.ts'
import { type ContextRows, contextRows, pickRows } from './context-rows.ts'
import type { StageParts } from './graph-parts.ts'
import { KvCache, type KvCacheOptions } from './kv-cache.ts'
import { kvLayerLayout } from './kv-layout.ts'
import { KvSlices } from './kv-slices.ts'
import { checkKvType } from './kv-type.ts'
import type { PageTable } from './page-table.ts'
import { RankParts } from './rank-parts.ts'
import { layerRope } from './rope.ts'
import { StageGraph } from './stage-graph.ts'
import { WeightStore } from './weight-store.ts'

export class StageConfigError extends DomainError {
  readonly code = 'STAGE_CONFIG'
  readonly retriable = false
}

export interface StageOptions {
  readonly config: ModelConfig
  readonly layers: LayerRange
  /** Holds the token embedding: takes token ids instead of hidden states. */
  readonly embedding: boolean
  /** Holds the output head: gives logits instead of hidden states. */
  readonly head: boolean
  /** The stage's weights, ready to map. */
  readonly weights: readonly TensorInfo[]
  readonly kv: KvCacheOptions
  /** Largest batch, in tokens. */
  readonly maxBatchTokens: number
  /**
   * Positions a sequence may come to hold, the same in every stage of a model: some models rotate differently in long
   * texts. Default: all the model was made for.
   */
  readonly contextLength?: number
  /** Where several ranks compute the stage: which of them this is. All are loaded with the same weights, and keep a part. */
  readonly rank?: StageRank
}

export interface StageBatch {
  readonly entries: readonly BatchEntry[]
  /** Token ids of all entries one after another, for a stage with the embedding. */
  readonly tokens?: Int32Array
  /** `[tokens, hiddenSize]`, for every other stage. */
  readonly hidden?: Float32Array
  /** A stage with the head gives the normed hidden states of the wanted rows instead of their logits. */
  readonly normed?: boolean
  /**
   * Called when K and V of a layer are stored, before the rest of the layer is computed; {@link Stage.readKv} works
   * meanwhile. Not called where several ranks compute the stage: each has a part of the heads.
   */
  readonly onStored?: (layer: number) => Promise<void>
}

/** Views of memory that the next `forward` of the stage writes again: copy what is to be kept. */
export interface StageOutput {
  /** `[tokens, hiddenSize]`; of a stage with the head `[outputs, hiddenSize]` if normed ones were asked for, or empty. */
  readonly hidden: Float32Array
  /** `[outputs, vocabSize]` in order of entries and rows; empty for a stage without the head. */
  readonly logits: Float32Array
}

const nothing = new Float32Array(0)

/** What the shapes of graphs with adapters begin with. */
const ADAPTED = 'adapted '
const HALTING = 'halting '

/** Graphs of recent batch shapes are kept up to these limits. */
const MAX_GRAPHS = 64
const MAX_GRAPH_BYTES = 96 * 1024 * 1024

/**
 * A half-open range of a model's layers on one device, with its KV cache.
 * One batch at a time; a batch that failed leaves the cache undefined.
 */
export class Stage {
  readonly kv: KvCache
  private readonly adapters: AdapterStacks
  private readonly parts: StageParts
  private readonly slices: KvSlices
  private readonly graphs = new Map<string, StageGraph>()
  private mask = new Uint16Array(0)
  private output = new Float32Array(0)
  private busy = false
  /** The batch halts between two pieces of its graph. */
  private halted = false
  private onStored: StageBatch['onStored']

  private constructor(
    private readonly options: StageOptions,
    backend: Backend,
    weights: WeightStore,
    private readonly rank: RankParts | null,
  ) {
    const { config, layers, embedding, head } = options
    const architecture = architectures.get(config.architecture)!
    this.kv = new KvCache(backend, config, layerCount(layers), options.kv)
    this.slices = new KvSlices(this.kv, layers.first)
    this.adapters = new AdapterStacks(backend, () => this.dropAdaptedGraphs())
    this.parts = {
      ...{ backend, architecture, config, layers, embedding, head, weights, kv: this.kv },
      adapters: this.adapters,
      reaches: layerReaches(config, layers),
      memory: new GraphMemory(backend),
      rank,
      rope: layerRope(options, architecture.ropeLayout, (name) => weights.get(name)),
      stored: (layer) => this.halt(layer),
    }
  }

  /** @throws StageConfigError if the model's family is unknown, a weight is missing or the options do not fit;
   *   KvTypeError if its heads cannot be stored as asked; RankSplitError if it cannot be divided as asked */
  static async load(backend: Backend, options: StageOptions): Promise<Stage> {
    checkOptions(options)
    const { rank, own } = rankOptions(options)
    const weights = await WeightStore.load(backend, own.weights, {
      headFromEmbedding: holdsHead(own, rank) && !own.weights.some(({ name }) => name === 'output.weight'),
    })
    try {
      return new Stage(own, backend, weights, rank)
    } catch (error) {
      weights.close()
      throw error
    }
  }

  /**
   * Appends the batch to its sequences and computes it.
   *
   * @throws OutOfPagesError before anything changed; RangeError for a batch that does not fit this stage
   */
  async forward(batch: StageBatch): Promise<StageOutput> {
    if (this.busy) throw new Error('A stage computes one batch at a time.')
    this.busy = true
    try {
      return await this.compute(batch)
    } finally {
      this.busy = false
    }
  }

  get layers(): LayerRange {
    return this.options.layers
  }

  /**
   * What K and V of a layer are, and how their keys were turned by positions.
   *
   * @throws RangeError if the stage does not hold the layer
   */
  kvLayout(layer: number): KvLayerLayout {
    const { config, layers } = this.options
    if (!(layer >= layers.first && layer < layers.end)) {
      throw new RangeError(`The stage holds layers ${formatLayers(layers)}, not layer ${layer}.`)
    }
    const rope = this.parts.rope(layer)
    const factors = rope.factors && new Float32Array(rope.dims / 2)
    if (factors) this.kv.read(rope.factors!, 0, new Uint8Array(factors.buffer))
    return kvLayerLayout({ config, architecture: this.parts.architecture, layer, rope, factors })
  }

  /**
   * Copies keys or values of one layer out of some pages, whether a sequence holds them or not.
   *
   * @returns `[positions, columns]` in the slice's encoding
   * @throws KvSliceError if there is no such layer, part, page or position
   */
  readKv(slice: KvSlice): Uint8Array {
    if (!this.halted) this.checkIdle()
    return this.slices.read(slice)
  }

  /**
   * The inverse of {@link Stage.readKv}; a sequence that is opened with the pages goes on from there.
   *
   * @throws KvSliceError as {@link Stage.readKv} does, and if the data is not what the slice needs, has values that are
   *   not numbers or larger than float16 holds, or an open sequence holds one of the pages; nothing has changed then
   */
  writeKv(slice: KvSliceWrite): void {
    this.checkIdle()
    this.slices.write(slice)
  }

  hasAdapter(name: string): boolean {
    return this.adapters.has(name)
  }

  /**
   * Loads an adapter between two batches; of those that no one retains, the least recently used make room for it.
   *
   * @throws AdapterError if it does not fit on the device
   */
  addAdapter(name: string, weights: AdapterWeights): void {
    if (this.busy) throw new Error('An adapter cannot be loaded while a batch is computed.')
    if (this.rank) {
      throw new AdapterError(
        `Stage ${formatLayers(this.layers)} is divided among ranks, which adapters are not.`,
        'Serve adapters with stages of one rank.',
      )
    }
    this.adapters.add(name, weights)
  }

  /** Keeps a loaded adapter until it is released as often. */
  retainAdapter(name: string): void {
    this.adapters.retain(name)
  }

  releaseAdapter(name: string): void {
    this.adapters.release(name)
  }

  close(): void {
    for (const graph of this.graphs.values()) graph.close()
    this.graphs.clear()
    this.parts.memory.close()
    this.adapters.close()
    this.kv.close()
    this.parts.weights.close()
  }

  private checkIdle(): void {
    if (this.busy) throw new Error('K and V move between two batches.')
  }

  private async halt(layer: number): Promise<void> {
    this.halted = true
    try {
      await this.onStored?.(layer)
    } finally {
      this.halted = false
    }
  }

  private async compute(batch: StageBatch): Promise<StageOutput> {
    const tokenCount = this.checkBatch(batch)
    const slots = this.adapterSlots(batch.entries, tokenCount)
    this.append(batch.entries)
    const { reaches } = this.parts.reaches
    const rows = this.placeRows(batch.entries)
    const pages = this.kv.contextPages ?? this.kv.pages
    const gathers = rows === null && this.kv.rowsAreWords
    const plans = planAttention(pages, batch.entries, reaches, gathers)
    const { head } = this.options
    const result = head && batch.normed ? 'normed' : 'logits'
    const halts = batch.onStored !== undefined && this.rank === null
    const kind = `${slots ? ADAPTED : ''}${halts ? HALTING : ''}${result}`
    const here = rows ? `${rows.computed.length} of ` : ''
    const shape = `${kind} ${here}${planShape(plans, this.parts.backend.isHost)}`
    const variant = { result, adapted: slots !== null, halts } as const
    this.onStored = batch.onStored
    const graph = this.graph(shape, () => new StageGraph(this.parts, plans, variant))
    graph.aim(plans)
    const { positions, cells, outputs: outputRows } = rows ?? batchRows(this.kv.pages, plans)
    const { tensors } = graph
    graph.write(tensors.input, rows ? this.inputOf(batch, rows) : (batch.tokens ?? batch.hidden)!)
    graph.write(tensors.positions, positions)
    graph.write(tensors.cells, wideIntegers(cells))
    if (tensors.mask) graph.write(tensors.mask, this.maskOf(plans, rows !== null))
    if (tensors.gathered) {
      const list = new Int32Array(gatheredLength(plans))
      fillGathered(list, plans)
      graph.write(tensors.gathered, list)
    }
    if (tensors.outputRows) graph.write(tensors.outputRows, Int32Array.from(outputRows))
    if (tensors.adapterSlots) graph.write(tensors.adapterSlots, slots!)
    if (tensors.keptAdapterSlots) {
      graph.write(
        tensors.keptAdapterSlots,
        Int32Array.from(outputRows, (row) => slots![row]!),
      )
    }
    await graph.run()
    const hasLogits = head && result === 'logits'
    if (this.rank?.isFirst === false) return { hidden: nothing, logits: nothing }
    const values = this.readOutput(graph, head ? outputRows.length : tokenCount, hasLogits)
    return hasLogits ? { hidden: nothing, logits: values } : { hidden: values, logits: nothing }
  }

  /** Where ranks divide positions: what is computed here. */
  private placeRows(entries: readonly BatchEntry[]): ContextRows | null {
    const { contextPages } = this.kv
    const context = this.rank?.context
    if (!contextPages || !context) return null
    context.rows = contextRows(contextPages, entries, context.index, context.ranks)
    return context.rows
  }

  private inputOf({ tokens, hidden }: StageBatch, { computed }: ContextRows): Int32Array | Float32Array {
    if (tokens && this.options.embedding) return Int32Array.from(computed, (row) => tokens[row]!)
    return pickRows(hidden!, computed, this.options.config.hiddenSize)
  }

  private maskOf(plans: readonly EntryPlan[], isAcross: boolean): Uint16Array | Float32Array {
    const length = maskLength(plans)
    const { reaches } = this.parts.reaches
    if (isAcross) {
      const mask = new Float32Array(length)
      fillMask(mask, plans, reaches, FAR_BELOW)
      return mask
    }
    if (this.mask.length < length) this.mask = new Uint16Array(length)
    const mask = this.mask.subarray(0, length)
    fillMask(mask, plans, reaches)
    return mask
  }

  private readOutput(graph: StageGraph, rows: number, hasLogits: boolean): Float32Array {
    const { vocabSize, hiddenSize } = this.options.config
    const length = rows * (hasLogits ? vocabSize : hiddenSize)
    if (this.output.length < length) this.output = new Float32Array(length)
    const values = this.output.subarray(0, length)
    if (graph.tensors.output) graph.read(graph.tensors.output, values)
    return values
  }

  /** Slot of each token's adapter; null where no token of the batch is changed by one in these layers. */
  private adapterSlots(entries: readonly BatchEntry[], tokenCount: number): Int32Array | null {
    if (!entries.some(({ adapter }) => adapter)) return null
    const slots = new Int32Array(tokenCount)
    let row = 0
    for (const { count, adapter } of entries) {
      if (adapter) slots.fill(this.adapters.slot(adapter), row, row + count)
      row += count
    }
    return this.adapters.moduleCount > 0 ? slots : null
  }

  private dropAdaptedGraphs(): void {
    for (const [shape, graph] of this.graphs) {
      if (!shape.startsWith(ADAPTED)) continue
      this.graphs.delete(shape)
      graph.close()
    }
  }

  /** All or nothing: a batch that does not fit leaves every sequence as it was. */
  private append(entries: readonly BatchEntry[]): void {
    const done: BatchEntry[] = []
    try {
      for (const entry of entries) {
        this.kv.pages.append(entry.sequence, entry.count)
        done.push(entry)
      }
    } catch (error) {
      for (const { sequence, count } of done) {
        this.kv.pages.truncate(sequence, this.kv.pages.length(sequence) - count)
      }
      throw error
    }
  }

  private graph(shape: string, build: () => StageGraph): StageGraph {
    const known = this.graphs.get(shape)
    if (known) {
      this.graphs.delete(shape)
      if (known.isValid) {
        this.graphs.set(shape, known)
        return known
      }
      known.close()
    }
    const graph = build()
    this.graphs.set(shape, graph)
    this.evictGraphs()
    return graph
  }

  private evictGraphs(): void {
    let size = [...this.graphs.values()].reduce((sum, graph) => sum + graph.sizeBytes, 0)
    for (const [shape, graph] of this.graphs) {
      const enough = this.graphs.size <= MAX_GRAPHS && size <= MAX_GRAPH_BYTES
      if (enough || this.graphs.size === 1) return
      this.graphs.delete(shape)
      size -= graph.sizeBytes
      graph.close()
    }
  }

  private checkBatch({ entries, tokens, hidden }: StageBatch): number {
    const { embedding, config, maxBatchTokens } = this.options
    const count = entries.reduce((sum, entry) => sum + entry.count, 0)
    if (entries.length === 0 || entries.some((entry) => !Number.isInteger(entry.count) || entry.count < 1)) {
      throw new RangeError('Every entry of a batch has at least one token.')
    }
    if (count > maxBatchTokens) {
      throw new RangeError(`A batch of ${count} tokens exceeds this stage's ${maxBatchTokens}.`)
    }
    if (new Set(entries.map(({ sequence }) => sequence)).size !== entries.length) {
      throw new RangeError('A sequence appears twice in one batch.')
    }
    for (const entry of entries) {
      const end = this.kv.pages.length(entry.sequence) + entry.count
      if (end > config.contextLength) {
        throw new RangeError(
          `Sequence ${entry.sequence} would reach ${end} positions; the model has ${config.contextLength}.`,
        )
      }
    }
    if (embedding) this.checkTokens(tokens, count)
    else if (hidden?.length !== count * config.hiddenSize) {
      throw new RangeError(
        `Expected ${count} × ${config.hiddenSize} hidden values, got ${hidden?.length ?? 'none'}.`,
      )
    }
    return count
  }

  private checkTokens(tokens: Int32Array | undefined, count: number): void {
    if (tokens?.length !== count) {
      throw new RangeError(`Expected ${count} token ids, got ${tokens?.length ?? 'none'}.`)
    }
    const { vocabSize } = this.options.config
    const bad = tokens.find((token) => token < 0 || token >= vocabSize)
    if (bad !== undefined) throw new RangeError(`Token ${bad} is outside the vocabulary of ${vocabSize}.`)
  }
}

/** Where the rows of a batch are stored, and which of them need logits. */
function batchRows(
  pages: PageTable,
  plans: readonly EntryPlan[],
): Pick<ContextRows, 'positions' | 'cells' | 'outputs'> {
  const positions: number[] = []
  const cells: number[] = []
  const outputs: number[] = []
  for (const { sequence, count, outputCount, firstPosition } of plans) {
    for (let index = 0; index < count; index += 1) {
      if (index >= count - outputCount) outputs.push(positions.length)
      positions.push(firstPosition + index)
      cells.push(pages.cell(sequence, firstPosition + index))
    }
  }
  return { positions: Int32Array.from(positions), cells, outputs }
}

/** 64-bit little-endian. */
function wideIntegers(values: readonly number[]): Int32Array {
  const wide = new Int32Array(2 * values.length)
  for (const [index, value] of values.entries()) wide[2 * index] = value
  return wide
}

const holdsHead = ({ head }: StageOptions, rank: RankParts | null): boolean => head && rank?.isFirst !== false

/** The options with this rank's part of the model, where several compute the stage. */
function rankOptions(options: StageOptions): {
  readonly rank: RankParts | null
  readonly own: StageOptions & { readonly weights: readonly RankTensor[] }
} {
  const { rank, config, weights } = options
  if (!rank) return { rank: null, own: options }
  const place = rankPlace(rank.split, rank.collective.rank)
  if (rankCount(rank.split) === 1) return { rank: null, own: options }
  const model = rankModel(config, weights, rank.split, place)
  const parts = new RankParts(rank, place, model.shares)
  const isHead = ({ name }: RankTensor) =>
    name.startsWith('output') || (name === 'token_embd.weight' && !options.embedding)
  const { context } = parts
  if (context && !(options.kv.type === 'F16' || options.kv.type === 'F32')) {
    throw new RankSplitError(
      `Positions in ${options.kv.type} cannot be divided among ranks.`,
      'Keep K and V in F16 or F32.',
    )
  }
  const share = context && { context: { index: context.index, ranks: context.ranks } }
  const kept = parts.isFirst ? model.weights : model.weights.filter((tensor) => !isHead(tensor))
  return {
    rank: parts,
    own: { ...options, config: model.config, weights: kept, kv: { ...options.kv, ...share } },
  }
}

function checkOptions({ config, layers, weights, kv, maxBatchTokens, embedding, head }: StageOptions): void {
  if (!architectures.has(config.architecture)) {
    throw new StageConfigError(
      `There is no graph for models of the family ${config.architecture}.`,
      `Supported: ${[...architectures.keys()].join(', ')}.`,
    )
  }
  if (layers.first < 0 || layers.end > config.layers || layers.first >= layers.end) {
    throw new StageConfigError(
      `Layers ${formatLayers(layers)} are not a part of the model's ${config.layers}.`,
      'Give a non-empty half-open range inside the model.',
    )
  }
  const { keyDim, valueDim } = attentionShape(config)
  for (const dim of [keyDim, valueDim]) checkKvType(kv.type, dim)
  if (!Number.isInteger(maxBatchTokens) || maxBatchTokens < 1) {
    throw new StageConfigError(
      `A largest batch of ${maxBatchTokens} tokens is not possible.`,
      'Give a whole number from 1 on.',
    )
  }
  const present = new Set(weights.map(({ name }) => name))
  const required = [
    ...(embedding ? ['token_embd.weight'] : []),
    ...(head ? ['output_norm.weight'] : []),
    ...requiredLayerTensors(config, layers),
  ]
  const missing = required.find((name) => !present.has(name))
  if (missing ?? (head && !present.has('output.weight') && !present.has('token_embd.weight'))) {
    throw new StageConfigError(
      `The weight ${missing ?? 'output.weight'} is missing for layers ${formatLayers(layers)}.`,
      'The model file is incomplete; convert or download it again.',
    )
  }
}
