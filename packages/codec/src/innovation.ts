import { CodecInputError } from './errors.ts'
import { type RotaryGeometry, rotaryPairs } from './rotary.ts'

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
