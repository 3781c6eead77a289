import type { SlidingWindow } from './model.ts'

/** Latent attention stores no values: it reads them out of the keys. */
export type KvPart = 'key' | 'value'

/** Half-open: `[first, end)`. */
export interface PositionRange {
  readonly first: number
  readonly end: number
}

/**
 * How the keys of a layer were turned by their positions. Pair `i` of a head was turned by the angle
 * `position * frequencies[i]` and multiplied by `magnitude`: with a = x·cos − y·sin and b = x·sin + y·cos, the stored pair
 * is `(magnitude · a, magnitude · b)`. Whatever stretches frequencies to longer texts is worked into them.
 */
export interface KeyRotation {
  /** Dimension of each head at which the turned ones begin; the others are not turned. */
  readonly first: number
  /**
   * Which of the turned dimensions make pair `i`: `2i` and `2i + 1` if interleaved; `i` and `i + frequencies.length` if in
   * halves.
   */
  readonly pairs: 'interleaved' | 'halves'
  /** Radians per position, one for each pair. */
  readonly frequencies: readonly number[]
  readonly magnitude: number
}

/** A position's values of one part in one layer: `heads` vectors of `dim`, one after another. */
export interface KvHeads {
  readonly heads: number
  readonly dim: number
}

/** What K and V of one layer are; the same on every machine, however stages are cut and pages numbered. */
export interface KvLayerLayout {
  readonly key: KvHeads
  /** `null` where values are read out of the keys. */
  readonly value: KvHeads | null
  /** How many dimensions of each key, from the first on, are the values too; 0 unless `value` is `null`. */
  readonly valueDimsInKey: number
  /** `null` in layers whose keys know nothing of positions. */
  readonly rotation: KeyRotation | null
  /** How far back tokens look; `null` is to the beginning. */
  readonly reach: Pick<SlidingWindow, 'size' | 'kind'> | null
}

/** Elements of one position in one layer; 0 for values that are not stored. */
export function kvColumns(layout: KvLayerLayout, part: KvPart): number {
  const heads = layout[part]
  return heads === null ? 0 : heads.heads * heads.dim
}

/**
 * How K and V are written outside an engine: `f16` as float16 whatever the engine stores, with heads as the model made
 * them; `stored` as they lie in its cache, which only an engine with the same KV type understands. They are the same where
 * the cache is F16. Of other types only `stored` is exact.
 */
export type KvEncoding = 'f16' | 'stored'

/** Keys or values of some positions of one layer. */
export interface KvSlice {
  /** Of the model: where stages begin does not matter. */
  readonly layer: number
  readonly part: KvPart
  /** The pages of a sequence, or some that follow one another in it. */
  readonly pages: readonly number[]
  /** Counted from the first position of the first of the pages. */
  readonly positions: PositionRange
  readonly encoding: KvEncoding
}

/** A slice to store. */
export interface KvSliceWrite extends KvSlice {
  /** `[positions, columns]` in the slice's encoding. */
  readonly data: Uint8Array
  /** Also into pages of open sequences: what they hold is put more exactly. */
  readonly refines?: boolean
}
