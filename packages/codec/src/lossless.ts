import { ByteReader, ByteWriter } from './byte-cursor.ts'
import { CodecInputError, CorruptBlockError } from './errors.ts'
import { type FrequencyTable, tableFromCounts } from './frequency-table.ts'
import { halfValues, toHalf } from './half.ts'
import { type ChannelModel, channelOrder, Expectation } from './innovation.ts'
import type { KvMatrix, KvShape } from './kv-matrix.ts'
import { RansDecoder, RansEncoder } from './rans.ts'
import type { RotaryGeometry } from './rotary.ts'

/** What both sides know beforehand of a layer's K or V; with it fewer bits are left to say. */
export interface LosslessContext {
  readonly model: ChannelModel
  /** How keys turn; null for values. */
  readonly rotary: RotaryGeometry | null
  /** Position of the first token. */
  readonly firstPosition: number
}

/** Steps a value may lie from where it is expected, either way; beyond, it is said in full. */
const REACH = 47
const ESCAPE = 2 * REACH + 1
const SYMBOLS = ESCAPE + 1
/** Scales are quarter octaves from 2^-20. */
const SCALE_OFFSET = 80
const MAX_SCALE = 127
/** Flag beside a scale: expect what the token before had. */
const DELTA = 128

/** Student's distribution with 5 degrees of freedom, whose mean deviation is 0.949: what surprises look like. */
const tables: readonly FrequencyTable[] = [0, 1, 2, 3].map((quarter) => {
  const meanSteps = 2 ** (2 + quarter / 4)
  return tableFromCounts(
    Float64Array.from({ length: SYMBOLS }, (_, symbol) => {
      if (symbol === ESCAPE) return 1e-4
      const z = (0.949 * (symbol - REACH)) / meanSteps
      return (1 + (z * z) / 5) ** -3 / meanSteps
    }),
  )
})

/**
 * Says every bit. A value is told as the number of steps of its channel between it and what is expected, entropy-coded,
 * and then which half it is within its step. The expectation is the channel's mean, or the token before, or what a
 * fitted model makes of the channels already told.
 */
export function encodeLossless(matrix: KvMatrix, context: LosslessContext | null): Uint8Array<ArrayBuffer> {
  const plan = context === null ? planAlone(matrix) : planExpected(matrix, context)
  const { channels, values } = matrix
  const encoder = new RansEncoder()
  for (let place = 0; place < values.length; place += 1) {
    const at = place % channels
    const half = values[place - at + plan.order[at]!]!
    putValue(encoder, half, plan.expected[place]!, plan.scales[at]! & MAX_SCALE)
  }
  const writer = new ByteWriter().append(plan.scales)
  if (context === null) writer.halves(plan.means)
  return writer.append(encoder.done()).done()
}

/** @throws CorruptBlockError if the bytes are not what was encoded in this shape and context */
export function decodeLossless(
  bytes: Uint8Array,
  { tokens, channels }: KvShape,
  context: LosslessContext | null,
): Uint16Array<ArrayBuffer> {
  const reader = new ByteReader(bytes)
  const scales = reader.slice(channels)
  const means = context === null ? reader.halves(channels) : new Uint16Array(channels)
  const decoder = new RansDecoder(reader.rest())
  const values = new Uint16Array(tokens * channels)
  const visit: Visit = (index, expected, at) => {
    values[index] = getValue(decoder, expected, scales[at]! & MAX_SCALE)
  }
  const matrix = { tokens, channels, values }
  if (context === null) walkAlone(matrix, { scales, means }, visit)
  else walkExpected(matrix, context, visit)
  decoder.finish()
  return values
}

/** How a matrix is told. */
interface Plan {
  /** Channels in order of telling. */
  readonly order: Uint32Array
  /** Of each channel in that order. */
  readonly scales: Uint8Array
  /** Of each channel if there is no model, else empty. */
  readonly means: Uint16Array
  /** `[tokens, channels]` in that order. */
  readonly expected: Float64Array
}

/** Takes the place of a value, what is expected there, and its channel's place in the order. */
type Visit = (index: number, expected: number, at: number) => void

function walkAlone(
  { tokens, channels, values }: KvMatrix,
  { scales, means }: Pick<Plan, 'scales' | 'means'>,
  visit: Visit,
): void {
  for (let token = 0; token < tokens; token += 1) {
    for (let channel = 0; channel < channels; channel += 1) {
      const index = token * channels + channel
      const delta = scales[channel]! >= DELTA && token > 0
      visit(index, halfValues[delta ? values[index - channels]! : means[channel]!]!, channel)
    }
  }
}

function walkExpected({ tokens, channels, values }: KvMatrix, context: LosslessContext, visit: Visit): void {
  const { model, rotary, firstPosition } = context
  if (model.channels !== channels)
    throw new CodecInputError(`The model is of ${model.channels} channels, the block has ${channels}.`)
  const order = channelOrder(channels, rotary)
  const expectation = new Expectation(model, rotary)
  const expected = new Float64Array(2)
  for (let token = 0; token < tokens; token += 1) {
    expectation.startToken(firstPosition + token)
    for (let at = 0; at < channels; ) {
      const size = expectation.groupSize(at)
      expectation.expect(at, size, expected)
      const first = token * channels + order[at]!
      visit(first, expected[0]!, at)
      const second = size === 2 ? token * channels + order[at + 1]! : first
      if (size === 2) visit(second, expected[1]!, at + 1)
      expectation.learn(at, size, halfValues[values[first]!]!, halfValues[values[second]!]!)
      at += size
    }
  }
}

function planExpected(matrix: KvMatrix, context: LosslessContext): Plan {
  const { tokens, channels, values } = matrix
  const deviations = new Float64Array(channels)
  const expected = new Float64Array(values.length)
  walkExpected(matrix, context, (index, value, at) => {
    deviations[at]! += finite(Math.abs(halfValues[values[index]!]! - value))
    expected[index - (index % channels) + at] = value
  })
  const scales = Uint8Array.from(deviations, (sum) => scaleOf(sum / tokens))
  return { order: channelOrder(channels, context.rotary), scales, means: new Uint16Array(0), expected }
}

function planAlone({ tokens, channels, values }: KvMatrix): Plan {
  const means = new Uint16Array(channels)
  const scales = new Uint8Array(channels)
  for (let channel = 0; channel < channels; channel += 1) {
    let sum = 0
    for (let index = channel; index < values.length; index += channels)
      sum += finite(halfValues[values[index]!]!)
    means[channel] = toHalf(sum / tokens)
    const mean = halfValues[means[channel]!]!
    let fromMean = 0
    let fromBefore = finite(Math.abs(halfValues[values[channel]!]! - mean))
    for (let index = channel; index < values.length; index += channels) {
      const value = halfValues[values[index]!]!
      fromMean += finite(Math.abs(value - mean))
      if (index >= channels) fromBefore += finite(Math.abs(value - halfValues[values[index - channels]!]!))
    }
    const delta = fromBefore < fromMean
    scales[channel] = scaleOf(Math.min(fromMean, fromBefore) / tokens) | (delta ? DELTA : 0)
  }
  const expected = new Float64Array(values.length)
  walkAlone({ tokens, channels, values }, { scales, means }, (index, value) => {
    expected[index] = value
  })
  return { order: channelOrder(channels, null), scales, means, expected }
}

const finite = (value: number): number => (Number.isFinite(value) ? value : 0)

function scaleOf(deviation: number): number {
  const scale = Math.round(4 * Math.log2(Math.max(deviation, 1e-9))) + SCALE_OFFSET
  return Math.min(MAX_SCALE, Math.max(0, scale))
}

/** Exponent of a scale's step: a power of two at least the smallest half, a quarter to an eighth of the mean deviation. */
const stepExponents = Int8Array.from({ length: MAX_SCALE + 1 }, (_, scale) =>
  Math.max(-24, (scale >> 2) - SCALE_OFFSET / 4 - 2),
)
const steps = Float64Array.from(stepExponents, (exponent) => 2 ** exponent)
const inverseSteps = Float64Array.from(stepExponents, (exponent) => 2 ** -exponent)
/** Bits that tell the halves of the lowest step apart, all from zero. */
const lowestStepBits = Uint8Array.from(
  steps,
  (step) => 32 - Math.clz32(Math.max(0, Math.min(0x7c00, toHalf(step)) - 1)),
)

/** Steps below a number, within what 32 bits can count. */
function stepsTo(expected: number, scale: number): number {
  const count = Math.floor(expected * inverseSteps[scale]!)
  return count > -(2 ** 28) && count < 2 ** 28 ? count : 0
}

function putValue(encoder: RansEncoder, half: number, expected: number, scale: number): void {
  const table = tables[scale & 3]!
  const magnitude = half & 0x7fff
  const whole =
    magnitude < 0x7c00 ? Math.floor(halfValues[magnitude]! * inverseSteps[scale]!) : Number.POSITIVE_INFINITY
  const symbol = (half & 0x8000 ? -1 - whole : whole) - stepsTo(expected, scale) + REACH
  if (!(symbol >= 0 && symbol < ESCAPE)) {
    encoder.put(table, ESCAPE)
    encoder.putBits(half, 16)
    return
  }
  encoder.put(table, symbol)
  const first = whole === 0 ? 0 : toHalf(whole * steps[scale]!)
  encoder.putBits(magnitude - first, bitsWithin(whole, first, scale))
}

function getValue(decoder: RansDecoder, expected: number, scale: number): number {
  const symbol = decoder.get(tables[scale & 3]!)
  if (symbol === ESCAPE) return decoder.getBits(16)
  const count = symbol - REACH + stepsTo(expected, scale)
  const whole = count < 0 ? -1 - count : count
  const first = whole === 0 ? 0 : toHalf(whole * steps[scale]!)
  const magnitude = first >= 0x7c00 ? first : first + decoder.getBits(bitsWithin(whole, first, scale))
  if (magnitude >= 0x7c00)
    throw new CorruptBlockError(`${count} steps of ${steps[scale]} lead out of the halves.`)
  return count < 0 ? magnitude | 0x8000 : magnitude
}

/** Bits that tell the halves of one step apart: of the lowest step all from zero, of others those of one binade. */
function bitsWithin(whole: number, first: number, scale: number): number {
  if (whole === 0) return lowestStepBits[scale]!
  return Math.max(0, stepExponents[scale]! - Math.max(1, first >>> 10) + 25)
}
