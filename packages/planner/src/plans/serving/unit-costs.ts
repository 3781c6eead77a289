import type { LayerRange } from '@deos/domain'
import { type Accelerator, type Efficiency, layerTime, memoryBytes } from '../../devices/index.ts'
import {
  expertParameters,
  type LayerGraph,
  type ModelShape,
  type Phase,
  parameterCounts,
} from '../../models/index.ts'
import { exchangeMs, partOfModel } from '../divided-layers.ts'
import type { LinkRate } from '../fleet.ts'
import type { GroupDegrees } from '../group-degrees.ts'
import { kvPartsOf } from '../tensor-parallel.ts'
import { kvBytesByLayer } from './kv-bytes.ts'
import { precisions, type ServingWorkload, type WeightPrecision } from './workload.ts'

/** Accelerators that hold a stage together; one alone is a group of one. */
export interface UnitKind {
  readonly accelerator: Accelerator
  readonly tensorParallel: number
  /** 1 if not given, both. */
  readonly expertParallel?: number
  readonly contextParallel?: number
  /** Weights in the host's memory; none if not given. */
  readonly offload?: Offload
  /** The worst link among its members. */
  readonly link: LinkRate
}

/** Weights that lie in host memory and come over the host's link in every pass, a layer ahead of its use. */
export interface Offload {
  /** Of every layer's weights. */
  readonly share: number
  readonly bytesPerS: number
  /** Of one accelerator. */
  readonly hostBytes: number
}

export const degreesOf = ({
  tensorParallel,
  expertParallel = 1,
  contextParallel = 1,
}: UnitKind): GroupDegrees => ({ tensor: tensorParallel, expert: expertParallel, context: contextParallel })

/** Of an accelerator's memory, what weights and KV may take; buffers and the runtime take the rest. */
export const usableMemory = 0.9
const activationBytesPerElement = 2
/** A layer is computed while the next one comes. */
const layersInBuffers = 2
const batchSizes = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]

/** What most of a layer's time goes to. */
export type Bound = 'compute' | 'memory' | 'link'

export interface LayerBounds {
  readonly prefill: readonly Bound[]
  readonly decode: readonly Bound[]
}

/** How far a unit's memory and time reach through the layers. */
export interface Reach {
  /** `[n]`: ms that a request takes of the unit for the first n layers, prompt and answer. */
  readonly requestMs: Float64Array
  /** `[first]`: end of the longest range from there that fits with the sequences. */
  readonly memoryEnds: Int32Array
}

interface UnitTime {
  readonly timeMs: number
  readonly bound: Bound
}

/** What layers of a model cost on one kind of unit in one precision. Embedding and head are parts of the end layers. */
export class UnitCosts {
  readonly layers: number
  /** Of one accelerator of the group. */
  readonly roomBytes: number
  readonly batches: readonly number[]
  /** `[n]`: of one accelerator, for the first n layers. */
  readonly #weights: Float64Array
  readonly #offloaded: Float64Array
  /** Of each layer, what comes from the host in a pass: of the embedding, only the rows of its tokens. */
  readonly #streamedBytes: readonly number[]
  readonly #bufferBytes: number
  readonly #kvPerSequence: Float64Array
  readonly #kvOfLongest: Float64Array
  readonly #prefillMs: Float64Array
  readonly #decodeMs: readonly Float64Array[]
  readonly #reaches = new Map<string, Reach>()

  constructor(
    readonly shape: ModelShape,
    readonly kind: UnitKind,
    readonly precision: WeightPrecision,
    private readonly workload: ServingWorkload,
    private readonly efficiency: Efficiency,
  ) {
    this.layers = shape.layers
    this.roomBytes = memoryBytes(kind.accelerator) * usableMemory
    this.batches = batchSizes.filter((batch) => batch === 1 || batch <= workload.maxBatch)
    const counts = parameterCounts(shape)
    const own = counts.layers.map(({ all }) => all)
    own[0] = own[0]! + counts.embedding
    const headCopy = shape.tiedEmbeddings && shape.layers > 1 ? shape.vocabSize * shape.embeddingSize : 0
    own[shape.layers - 1] = own[shape.layers - 1]! + counts.head + headCopy
    const { tensor, expert, context } = degreesOf(kind)
    const perParameter = precisions[precision].weightBytes / tensor
    const weights = own.map((parameters, layer) => {
      const routed = expertParameters(shape, layer)
      return (parameters - routed + routed / expert) * perParameter
    })
    const share = kind.offload?.share ?? 0
    this.#weights = sums(weights.map((each) => each * (1 - share)))
    this.#offloaded = sums(weights.map((each) => each * share))
    const table = counts.embedding * perParameter
    this.#streamedBytes = weights.map((each, layer) => (each - (layer === 0 ? table : 0)) * share)
    this.#bufferBytes = Math.max(...this.#streamedBytes) * layersInBuffers
    this.#kvPerSequence = this.#kv(workload.promptTokens.mean + workload.outputTokens.mean, expert * context)
    this.#kvOfLongest = this.#kv(workload.contextTokens, context)
    this.#prefillMs = sums(this.layerMs(this.prefillPhase(workload.promptTokens.mean)))
    this.#decodeMs = this.batches.map((batch) => sums(this.layerMs(this.decodePhase(batch))))
  }

  prefillPhase(tokens: number): Phase {
    return { kind: 'prefill', sequences: 1, tokens: Math.max(1, Math.round(tokens)), past: 0 }
  }

  /** At the length that an answer has on the average. */
  decodePhase(sequences: number): Phase {
    const { promptTokens, outputTokens } = this.workload
    return { kind: 'decode', sequences, past: Math.round(promptTokens.mean + outputTokens.mean / 2) }
  }

  prefillMs({ first, end }: LayerRange): number {
    return this.#prefillMs[end]! - this.#prefillMs[first]!
  }

  /** One step of a batch, between the batches that were counted in a straight line. */
  decodeMs({ first, end }: LayerRange, batch: number): number {
    const { batches } = this
    let at = 1
    while (at < batches.length - 1 && batches[at]! < batch) at += 1
    const low = this.#decodeMs[at - 1]!
    const lowMs = low[end]! - low[first]!
    if (batches.length === 1) return lowMs
    const high = this.#decodeMs[at]!
    const share = (batch - batches[at - 1]!) / (batches[at]! - batches[at - 1]!)
    return lowMs + (high[end]! - high[first]! - lowMs) * Math.max(0, share)
  }

  /** In the accelerator's own memory, with buffers for what is not. */
  weightBytes({ first, end }: LayerRange): number {
    return end === first ? 0 : this.#weights[end]! - this.#weights[first]! + this.#bufferBytes
  }

  /** In the host's memory, for one accelerator. */
  hostBytes({ first, end }: LayerRange): number {
    return this.#offloaded[end]! - this.#offloaded[first]!
  }

  /** Whether the host holds what it is to hold. */
  hostHolds(range: LayerRange): boolean {
    return this.hostBytes(range) <= (this.kind.offload?.hostBytes ?? 0)
  }

  /** Of a sequence of mean length at its end. */
  kvBytesPerSequence({ first, end }: LayerRange): number {
    return this.#kvPerSequence[end]! - this.#kvPerSequence[first]!
  }

  kvBytesOfLongest({ first, end }: LayerRange): number {
    return this.#kvOfLongest[end]! - this.#kvOfLongest[first]!
  }

  /** Sequences of mean length for which there is room beside the weights; 0 if the longest session does not fit. */
  sequencesIn(range: LayerRange): number {
    const free = this.roomBytes - this.weightBytes(range)
    if (free < this.kvBytesOfLongest(range) || !this.hostHolds(range)) return 0
    const each = this.kvBytesPerSequence(range)
    return each === 0 ? Number.POSITIVE_INFINITY : Math.floor(free / each)
  }

  /** What a division of layers asks again and again, remembered: how far memory and time reach. */
  reach(batch: number, sequences: number): Reach {
    const key = `${batch}|${sequences}`
    const known = this.#reaches.get(key)
    if (known !== undefined) return known
    const { layers } = this
    const output = this.workload.outputTokens.mean
    const requestMs = new Float64Array(layers + 1)
    for (let end = 1; end <= layers; end += 1) {
      const range = { first: 0, end }
      requestMs[end] = this.prefillMs(range) + (output * this.decodeMs(range, batch)) / batch
    }
    const memoryEnds = new Int32Array(layers + 1)
    for (let first = 0, end = 0; first <= layers; first += 1) {
      end = Math.max(end, first)
      while (end < layers && this.#holds({ first, end: end + 1 }, sequences)) end += 1
      memoryEnds[first] = end
    }
    const made = { requestMs, memoryEnds }
    this.#reaches.set(key, made)
    return made
  }

  #holds(range: LayerRange, sequences: number): boolean {
    const free = this.roomBytes - this.weightBytes(range)
    const holdsKv = free >= this.kvBytesOfLongest(range) && free >= sequences * this.kvBytesPerSequence(range)
    return holdsKv && this.hostHolds(range)
  }

  /** Layer by layer, communication inside the group included. */
  layerMs(phase: Phase): readonly number[] {
    return withEnds(this.#times(phase).map(({ timeMs }) => timeMs))
  }

  /** What binds each layer while a prompt is computed, and in a step of so many sequences. */
  bounds(batch: number): LayerBounds {
    const { promptTokens } = this.workload
    return {
      prefill: this.#boundsIn(this.prefillPhase(promptTokens.mean)),
      decode: this.#boundsIn(this.decodePhase(Math.max(1, Math.round(batch)))),
    }
  }

  #boundsIn(phase: Phase): readonly Bound[] {
    return this.#times(phase)
      .slice(1, -1)
      .map(({ bound }) => bound)
  }

  /** Of embedding, layers and head; layers that share their operators take the same time. */
  #times(phase: Phase): readonly UnitTime[] {
    const { shape, kind, precision, workload } = this
    const bytes = {
      weightBytes: precisions[precision].weightBytes,
      activationBytes: activationBytesPerElement,
      kvBytes: workload.kvBytesPerElement,
    }
    const known = new Map<LayerGraph['operators'], UnitTime>()
    return partOfModel(shape, phase, bytes, degreesOf(kind)).map((graph) => {
      const time = known.get(graph.operators) ?? this.#computedTime(graph, phase)
      known.set(graph.operators, time)
      return this.#withStream(graph.layer, time)
    })
  }

  /** With all weights at hand. */
  #computedTime(graph: LayerGraph, phase: Phase): UnitTime {
    const { kind, efficiency, precision, shape, workload } = this
    const { format } = precisions[precision]
    const { timeMs, bound } = layerTime(graph, kind.accelerator, { format, efficiency })
    const talkMs = exchangeMs(
      shape,
      phase,
      degreesOf(kind),
      kind.link,
      graph.layer,
      workload.kvBytesPerElement,
    )
    return { timeMs: timeMs + talkMs, bound: talkMs > timeMs ? 'link' : bound }
  }

  #withStream(layer: number | null, time: UnitTime): UnitTime {
    const streamMs = layer === null ? 0 : this.#streamMs(layer)
    return streamMs > time.timeMs ? { timeMs: streamMs, bound: 'link' } : time
  }

  /** Until a layer's weights have come from the host, which happens while the layer before it is computed. */
  #streamMs(layer: number): number {
    const { offload } = this.kind
    if (offload === undefined) return 0
    return (this.#streamedBytes[layer]! / offload.bytesPerS) * 1000
  }

  /** @param members - beside those with other heads, the ones that share it */
  #kv(tokens: number, members: number): Float64Array {
    const { shape, kind, workload } = this
    const parts = kvPartsOf(shape, kind.tensorParallel) * members
    return sums(kvBytesByLayer(shape, tokens, workload.kvBytesPerElement).map((each) => each / parts))
  }
}

/** What stands before the layers goes with the first, what stands behind them with the last. */
function withEnds(times: readonly number[]): readonly number[] {
  const layers = times.slice(1, -1)
  layers[0] = layers[0]! + times[0]!
  layers[layers.length - 1] = layers.at(-1)! + times.at(-1)!
  return layers
}

export function sums(values: readonly number[]): Float64Array {
  const result = new Float64Array(values.length + 1)
  for (const [at, value] of values.entries()) result[at + 1] = result[at]! + value
  return result
}
