import {
  formatLayers,
  type KvLayerLayout,
  type KvSlice,
  type KvSliceWrite,
  type LayerRange,
  layerCount,
} from '@deos/domain'
import { architectures } from '../architectures/index.ts'
import type { Backend } from '../ggml/backend.ts'
import { GraphMemory } from '../ggml/graph-memory.ts'
import { AdapterStacks } from '../lora/adapter-stacks.ts'
import type { AdapterWeights } from '../lora/adapter-weights.ts'
import { AdapterError } from '../lora/errors.ts'
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
import { type ContextRows, contextRows, pickRows } from './context-rows.ts'
import { GraphCache } from './graph-cache.ts'
import type { StageParts } from './graph-parts.ts'
import { KvCache } from './kv-cache.ts'
import { kvLayerLayout } from './kv-layout.ts'
import { KvSlices } from './kv-slices.ts'
import type { RankParts } from './rank-parts.ts'
import { layerRope } from './rope.ts'
import { batchRows, checkBatch, type StageBatch, type StageOutput } from './stage-batch.ts'
import { StageGraph } from './stage-graph.ts'
import { checkOptions, holdsHead, rankOptions, type StageOptions } from './stage-options.ts'
import { WeightStore } from './weight-store.ts'

const nothing = new Float32Array(0)

/** What the shapes of graphs with adapters begin with. */
const ADAPTED = 'adapted '
const HALTING = 'halting '

/**
 * A half-open range of a model's layers on one device, with its KV cache.
 * One batch at a time; a batch that failed leaves the cache undefined.
 */
export class Stage {
  readonly kv: KvCache
  private readonly adapters: AdapterStacks
  private readonly parts: StageParts
  private readonly slices: KvSlices
  private readonly graphs = new GraphCache()
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
    this.adapters = new AdapterStacks(backend, () => this.graphs.drop(ADAPTED))
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
    this.graphs.drop('')
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
    const tokenCount = checkBatch(batch, this.options, this.kv.pages)
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
    const graph = this.graphs.get(shape, () => new StageGraph(this.parts, plans, variant))
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
}

/** 64-bit little-endian. */
function wideIntegers(values: readonly number[]): Int32Array {
  const wide = new Int32Array(2 * values.length)
  for (const [index, value] of values.entries()) wide[2 * index] = value
  return wide
}
