import type { Backend } from '../ggml/backend.ts'
import type { GraphBuilder, Tensor } from '../ggml/graph-builder.ts'
import { bytesOf, floatsOf } from '../ranks/index.ts'
import type { AttentionShape } from './attention-shape.ts'
import { placeRows } from './context-rows.ts'
import { mergeAttention } from './merge-attention.ts'
import type { ContextShare } from './rank-parts.ts'

export interface ContextAttentionParts {
  readonly backend: Backend
  readonly context: ContextShare
  readonly shape: AttentionShape
  readonly attentionScale: number
  readonly attentionSoftcap: number
}

/** An entry of the batch, and the cells stored here that its queries look at. */
export interface EntryCells {
  /** Among all rows of the batch. */
  readonly firstRow: number
  readonly count: number
  readonly cellCount: number
  /** `[dim, cells, kvHeads]` */
  readonly keys: Tensor
  /** `[cells, dim, kvHeads]` */
  readonly values: Tensor
  /** `[cells, count]` float32 */
  readonly mask: Tensor
}

/** Most graph nodes of one entry in one layer, views included. */
export const contextEntryNodes = 36

/**
 * Attention of all rows of a batch to positions that lie on several ranks: each gives its queries to all, attends with
 * everybody's to the positions it stores, and puts together what all found for its own rows. One for a graph; layers use
 * its memory one after another.
 */
export class ContextAttention {
  /** Attention of this rank's rows, `[valueDim * heads, rows]`. */
  readonly merged: Tensor
  private readonly own: Tensor
  private readonly all: Tensor
  private readonly values: Tensor
  /** Logarithms of the sums of weights: entry after entry, each `[count, heads]`. */
  private readonly logSums: Tensor

  constructor(
    private readonly parts: ContextAttentionParts,
    private readonly builder: GraphBuilder,
    private readonly rows: number,
    private readonly total: number,
  ) {
    const { heads, keyDim, valueDim } = parts.shape
    this.own = builder.empty('F32', heads * keyDim, rows)
    this.all = builder.input('F32', heads * keyDim, total)
    this.values = builder.empty('F32', heads * valueDim, total)
    this.logSums = builder.empty('F32', heads, total)
    this.merged = builder.input('F32', heads * valueDim, rows)
    for (const tensor of [this.own, this.values, this.logSums]) builder.expand(tensor)
  }

  /** @param q - this rank's, without gaps */
  take(q: Tensor): void {
    const { heads, keyDim } = this.parts.shape
    this.builder.copyInto(this.own, 0, q, heads * keyDim, this.rows)
  }

  async shareQueries(): Promise<void> {
    const { context, shape } = this.parts
    const width = shape.heads * shape.keyDim
    const { byRank, total } = context.rows
    const own = this.read(this.own, this.rows * width).subarray(0, byRank[context.index]!.length * width)
    const given = await context.exchange(bytesOf(own).slice())
    const parts = given.map((data, rank) => floatsOf(data, byRank[rank]!.length * width))
    this.write(this.all, placeRows({ byRank, total }, parts, width))
  }

  /** Attends with an entry's queries to what is stored here. */
  attend({ firstRow, count, cellCount, keys, values, mask }: EntryCells): void {
    const { builder } = this
    const { shape, attentionScale, attentionSoftcap } = this.parts
    const { heads, keyDim, valueDim } = shape
    const rows = builder.f32Rows(this.all, heads * keyDim, firstRow, count)
    const queries = builder.contiguous(builder.swapOuter(builder.reshape3d(rows, keyDim, heads, count)))
    const scaled = builder.scale(builder.matmul(keys, queries), attentionScale)
    const capped = attentionSoftcap === 0 ? scaled : builder.softcap(scaled, attentionSoftcap)
    const scores = builder.add(capped, mask)
    const weights = builder.softmax(scores)
    const transposed = builder.toFloat32(values)
    const attended = builder.matmul(transposed, weights)
    const width = heads * valueDim
    builder.copyInto(this.values, firstRow * width, builder.swapOuter(attended), width, count)
    // The largest weight is its score's exponential over the sum, and never tiny: the sum follows from those two.
    const places = count * heads
    const largest = builder.reshape2d(
      builder.largestPlace(builder.reshape2d(scores, cellCount, places)),
      1,
      places,
    )
    const pick = (of: Tensor) => builder.rows(builder.reshape3d(of, 1, cellCount, places), largest)
    const logSum = builder.add(pick(scores), builder.scale(builder.log(pick(weights)), -1))
    builder.writeInto(this.logSums, firstRow * heads, logSum)
  }

  /** @param entries - of the batch, in order */
  async merge(
    entries: readonly { readonly firstRow: number; readonly count: number }[],
    sinks: Tensor | null,
  ): Promise<void> {
    const { context, shape } = this.parts
    const { heads, valueDim } = shape
    const valueCount = this.total * heads * valueDim
    const sumCount = this.total * heads
    const own = new Float32Array(valueCount + sumCount)
    own.set(this.read(this.values, valueCount))
    own.set(this.read(this.logSums, sumCount), valueCount)
    const given = await context.exchange(bytesOf(own))
    const entryOf = entries.flatMap((entry) => Array.from({ length: entry.count }, () => entry))
    const parts = given.map((data) => {
      const floats = floatsOf(data, own.length)
      return {
        values: floats.subarray(0, valueCount),
        logSum: (row: number, head: number) => {
          const { firstRow, count } = entryOf[row]!
          return floats[valueCount + firstRow * heads + head * count + (row - firstRow)]!
        },
      }
    })
    const { computed } = context.rows
    this.write(this.merged, mergeAttention(parts, computed, shape, sinks && this.read(sinks, heads)))
  }

  private read(tensor: Tensor, length: number): Float32Array {
    const values = new Float32Array(length)
    this.parts.backend.ggml.tensorGet(tensor.pointer, values, 0, values.byteLength)
    return values
  }

  private write(tensor: Tensor, values: Float32Array): void {
    this.parts.backend.ggml.tensorSet(tensor.pointer, values, 0, values.byteLength)
  }
}
