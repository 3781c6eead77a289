import { CodecInputError } from './errors.ts'
import { type RotaryGeometry, rotaryPairs, tokenRotation } from './rotary.ts'

/**
 * What a channel is expected to be, given the channels before it: `mean + L·e`, where `L` is the unit lower triangle of
 * the channels' covariance and `e` what was unexpected of each. Fitted by calibration.
 */
export interface ChannelModel {
  readonly channels: number
  /** Channels of a span depend on each other; those of different spans do not. Divides `channels`. */
  readonly span: number
  readonly mean: Float32Array
  /** `[channels, span]`: row c holds the factors of its span's channels before it, in {@link channelOrder}. */
  readonly lower: Float32Array
}

/** Channels in the order they are told: those that turn together next to each other. */
export function channelOrder(channels: number, rotary: RotaryGeometry | null): Uint32Array {
  if (rotary === null) return Uint32Array.from({ length: channels }, (_, channel) => channel)
  const pairs = rotaryPairs(rotary).flat()
  const rest = Array.from({ length: rotary.headDim }, (_, channel) => channel).filter(
    (c) => !pairs.includes(c),
  )
  const head = [...pairs, ...rest]
  return Uint32Array.from(
    { length: channels },
    (_, at) => Math.floor(at / head.length) * head.length + head[at % head.length]!,
  )
}

/** Unit lower triangle of a covariance `[channels, channels]` in double precision, span by span. */
export function fitChannelModel(
  mean: Float64Array,
  covariance: Float64Array,
  span: number,
  order: Uint32Array,
): ChannelModel {
  const channels = mean.length
  if (channels % span !== 0) throw new CodecInputError(`Spans of ${span} do not divide ${channels} channels.`)
  const lower = new Float32Array(channels * span)
  for (let start = 0; start < channels; start += span) {
    const factors = new Float64Array(span * span)
    const diagonal = new Float64Array(span)
    for (let row = 0; row < span; row += 1) {
      for (let column = 0; column <= row; column += 1) {
        let rest = covariance[order[start + row]! * channels + order[start + column]!]!
        for (let k = 0; k < column; k += 1)
          rest -= factors[row * span + k]! * factors[column * span + k]! * diagonal[k]!
        if (row === column) diagonal[row] = Math.max(rest, 1e-9)
        else factors[row * span + column] = rest / diagonal[column]!
      }
    }
    lower.set(factors, start * span)
  }
  return { channels, span, mean: Float32Array.from(order, (channel) => mean[channel]!), lower }
}

/** Follows tokens channel by channel. The same halves lead to the same expectations on every machine. */
export class Expectation {
  private readonly innovations: Float64Array
  private rotation: Float64Array = new Float64Array(0)
  private readonly turning: number
  private readonly headDim: number
  private readonly stretch: number
  private first = 0
  private second = 0

  constructor(
    private readonly model: ChannelModel,
    private readonly rotary: RotaryGeometry | null,
  ) {
    this.innovations = new Float64Array(model.channels)
    this.headDim = rotary?.headDim ?? 1
    this.turning = rotary === null ? 0 : 2 * rotary.frequencies.length
    this.stretch = rotary?.magnitude ?? 1
  }

  startToken(position: number): void {
    if (this.rotary !== null) this.rotation = tokenRotation(this.rotary, position)
  }

  /** How many channels are told together from place `at` of the order: 2 if they turn, else 1. */
  groupSize(at: number): 1 | 2 {
    return this.rotary !== null && at % this.rotary.headDim < this.turning ? 2 : 1
  }

  /** Expected values of the group at `at`, as they are stored. */
  expect(at: number, size: 1 | 2, into: Float64Array): void {
    this.first = this.linear(at, at)
    if (size === 1) {
      into[0] = this.first
      return
    }
    this.second = this.linear(at + 1, at)
    const pair = at % this.headDim
    const cosine = this.rotation[pair]!
    const sine = this.rotation[pair + 1]!
    into[0] = this.stretch * (this.first * cosine - this.second * sine)
    into[1] = this.stretch * (this.first * sine + this.second * cosine)
  }

  /** What the group just expected turned out to be. */
  learn(at: number, size: 1 | 2, first: number, second: number): void {
    const { innovations } = this
    if (size === 1) {
      innovations[at] = tame(first - this.first)
      return
    }
    const pair = at % this.headDim
    const cosine = this.rotation[pair]!
    const sine = this.rotation[pair + 1]!
    innovations[at] = tame((first * cosine + second * sine) / this.stretch - this.first)
    const { lower, span } = this.model
    const mate = lower[(at + 1) * span + (at % span)]! * innovations[at]!
    innovations[at + 1] = tame((second * cosine - first * sine) / this.stretch - this.second - mate)
  }

  private linear(at: number, end: number): number {
    const { span, lower, mean } = this.model
    const start = at - (at % span)
    const row = at * span - start
    const { innovations } = this
    let sum = mean[at]!
    // Four sums, so that no addition waits for the one before; in this order on every machine.
    let second = 0
    let third = 0
    let fourth = 0
    let other = start
    for (; other + 3 < end; other += 4) {
      sum += lower[row + other]! * innovations[other]!
      second += lower[row + other + 1]! * innovations[other + 1]!
      third += lower[row + other + 2]! * innovations[other + 2]!
      fourth += lower[row + other + 3]! * innovations[other + 3]!
    }
    for (; other < end; other += 1) sum += lower[row + other]! * innovations[other]!
    return sum + second + (third + fourth)
  }
}

/** Infinities and NaN say nothing about what follows. */
const tame = (surprise: number): number => (Math.abs(surprise) < 1e6 ? surprise : 0)
