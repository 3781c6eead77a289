import { CodecInputError } from './errors.ts'
import type { ChannelModel } from './innovation.ts'
import { type RotaryGeometry, tokenRotation } from './rotary.ts'
import { TILE_COLUMNS, TILE_ROWS } from './simd-module.ts'
import { reserveTiles, type TileSpace } from './tile-product.ts'

/** Tokens that are followed side by side, channel after channel. */
export const TILE_TOKENS = TILE_COLUMNS

/** Up to four places of the order whose products with all places before them are taken at once. */
interface Batch {
  readonly first: number
  readonly end: number
  /** Where the places depend from: none before it. */
  readonly start: number
  /** Of the factors in the space's left side, `[first - start, 4]`. */
  readonly leftAt: number
}

/**
 * Follows eight tokens at a time through the channels of a model. The same halves lead to the same expectations on every
 * machine: single precision in a fixed order, or double precision rounded to single, and no function but our own sine.
 */
export class Expectation {
  /** Of the group last expected, as values are stored: first channel of each token, then second if there are two. */
  readonly expected = new Float32Array(2 * TILE_TOKENS)
  private readonly plain = new Float32Array(2 * TILE_TOKENS)
  private readonly rotations: Float64Array
  private readonly turning: number
  private readonly headDim: number
  private readonly stretch: number
  private readonly batches: readonly Batch[]
  private readonly space: TileSpace
  private batch = 0
  private tokens = 0

  constructor(
    private readonly model: ChannelModel,
    private readonly rotary: RotaryGeometry | null,
  ) {
    this.headDim = rotary?.headDim ?? 1
    if (model.channels % this.headDim !== 0)
      throw new CodecInputError(`${model.channels} channels are not whole heads of ${this.headDim}.`)
    this.turning = rotary === null ? 0 : 2 * rotary.frequencies.length
    this.stretch = rotary?.magnitude ?? 1
    this.rotations = new Float64Array(TILE_TOKENS * this.turning)
    this.batches = this.cutBatches()
    const last = this.batches.at(-1)!
    const leftLength = last.leftAt + TILE_ROWS * (last.first - last.start)
    this.space = reserveTiles(leftLength, TILE_COLUMNS * model.channels, TILE_ROWS * TILE_COLUMNS)
    for (const batch of this.batches) this.packFactors(batch)
  }

  /** @param count - of tokens from this position on, up to eight */
  startTokens(position: number, count: number): void {
    this.batch = -1
    this.tokens = count
    if (this.rotary === null) return
    for (let token = 0; token < count; token += 1)
      tokenRotation(this.rotary, position + token, this.rotations, token * this.turning)
  }

  /** How many channels are told together from place `at` of the order: 2 if they turn, else 1. */
  groupSize(at: number): 1 | 2 {
    return at % this.headDim < this.turning ? 2 : 1
  }

  /** Makes {@link expected} that of the group at `at`; places come in order. */
  expect(at: number, size: 1 | 2): void {
    const { expected, plain, tokens, stretch, rotations, turning } = this
    if (this.batch < 0 || at >= this.batches[this.batch]!.end) this.startBatch()
    this.sumBefore(at, at, 0)
    if (size === 1) {
      for (let token = 0; token < tokens; token += 1) expected[token] = plain[token]!
      return
    }
    this.sumBefore(at + 1, at, TILE_TOKENS)
    for (let token = 0, turn = at % this.headDim; token < tokens; token += 1, turn += turning) {
      const x = plain[token]!
      const y = plain[TILE_TOKENS + token]!
      const cosine = rotations[turn]!
      const sine = rotations[turn + 1]!
      expected[token] = stretch * (x * cosine - y * sine)
      expected[TILE_TOKENS + token] = stretch * (x * sine + y * cosine)
    }
  }

  /** What the group just expected turned out to be, laid out as {@link expected}. */
  learn(at: number, size: 1 | 2, found: Float32Array): void {
    const { plain, tokens, space, rotations, turning } = this
    const { lower, span } = this.model
    const surprises = space.right
    const to = (at - this.batches[this.batch]!.start) * TILE_TOKENS
    if (size === 1) {
      for (let token = 0; token < tokens; token += 1)
        surprises[to + token] = tame(found[token]! - plain[token]!)
      return
    }
    const mate = lower[(at + 1) * span + (at % span)]!
    const shrink = 1 / this.stretch
    for (let token = 0, turn = at % this.headDim; token < tokens; token += 1, turn += turning) {
      const x = found[token]!
      const y = found[TILE_TOKENS + token]!
      const cosine = rotations[turn]!
      const sine = rotations[turn + 1]!
      const first = Math.fround(tame((x * cosine + y * sine) * shrink - plain[token]!))
      surprises[to + token] = first
      surprises[to + TILE_TOKENS + token] = tame(
        (y * cosine - x * sine) * shrink - plain[TILE_TOKENS + token]! - mate * first,
      )
    }
  }

  private cutBatches(): readonly Batch[] {
    const { channels, span } = this.model
    const batches: Batch[] = []
    let leftAt = 0
    for (let first = 0; first < channels; ) {
      const start = first - (first % span)
      let end = first
      while (end < Math.min(channels, start + span)) {
        const next = end + this.groupSize(end)
        if (next - first > TILE_ROWS) break
        end = next
      }
      batches.push({ first, end, start, leftAt })
      leftAt += TILE_ROWS * (first - start)
      first = end
    }
    return batches
  }

  private packFactors({ first, end, start, leftAt }: Batch): void {
    const { lower, span } = this.model
    const factors = this.space.left
    factors.fill(0, leftAt, leftAt + TILE_ROWS * (first - start))
    for (let row = first; row < end; row += 1)
      for (let k = 0; k < first - start; k += 1)
        factors[leftAt + TILE_ROWS * k + row - first] = lower[row * span + k]!
  }

  private startBatch(): void {
    this.batch += 1
    const { first, start, leftAt } = this.batches[this.batch]!
    this.space.multiply(leftAt, first - start, 1, 1)
  }

  /** Mean of place `at` and what the places before `before` say of it. */
  private sumBefore(at: number, before: number, to: number): void {
    const { plain, space } = this
    const { lower, mean, span } = this.model
    const { first, start } = this.batches[this.batch]!
    const { result, right } = space
    const sums = TILE_COLUMNS * (at - first)
    const centre = mean[at]!
    for (let token = 0; token < TILE_TOKENS; token += 1) plain[to + token] = centre + result[sums + token]!
    for (let other = first; other < before; other += 1) {
      const factor = lower[at * span + other - start]!
      const surprises = (other - start) * TILE_TOKENS
      for (let token = 0; token < TILE_TOKENS; token += 1)
        plain[to + token] = plain[to + token]! + factor * right[surprises + token]!
    }
  }
}

/** Infinities and NaN say nothing about what follows. */
const tame = (surprise: number): number => (Math.abs(surprise) < 1e6 ? surprise : 0)
