import { BitReader, packBits } from './bit-stream.ts'
import { ByteReader, ByteWriter } from './byte-cursor.ts'
import { readCoded, writeCoded } from './coded-section.ts'
import { CodecInputError } from './errors.ts'
import { Expectation, TILE_TOKENS } from './expectation.ts'
import { halfValues, toHalf, widenHalves } from './half.ts'
import { HalfTeller, MAX_SCALE, readHalf, scaleOf, tableOfScale } from './half-steps.ts'
import { type ChannelModel, channelOrder } from './innovation.ts'
import type { KvMatrix, KvShape } from './kv-matrix.ts'
import { decodeSymbols, encodeSymbols } from './rans.ts'
import type { RotaryGeometry } from './rotary.ts'

/** What both sides know beforehand of a layer's K or V; with it fewer bits are left to say. */
export interface LosslessContext {
  readonly model: ChannelModel
  /** How keys turn; null for values. */
  readonly rotary: RotaryGeometry | null
  /** Position of the first token. */
  readonly firstPosition: number
}

/** What both sides expect of each value, `[tokens, channels]` as the values. */
export interface GivenExpectation {
  readonly expected: Float32Array
}

/** Flag beside a scale: expect what the token before had. */
const DELTA = 128

/**
 * Says every bit. A value is told as the number of steps of its channel between it and what is expected, entropy-coded,
 * and then which half it is within its step. The expectation is the channel's mean, or the token before, or what a
 * fitted model makes of the channels already told. Eight tokens are told side by side, channel after channel.
 */
export function encodeLossless(
  matrix: KvMatrix,
  context: LosslessContext | GivenExpectation | null,
): Uint8Array<ArrayBuffer> {
  const rotary = context !== null && 'model' in context ? context.rotary : null
  const halves = inOrderOfTelling(matrix, channelOrder(matrix.channels, rotary))
  const { scales, means, expected } = planOf(matrix, halves, context)
  const teller = new HalfTeller(halves.length)
  const { tokens, channels } = matrix
  for (let first = 0, from = 0; first < tokens; first += TILE_TOKENS) {
    const count = Math.min(TILE_TOKENS, tokens - first)
    for (let at = 0; at < channels; at += 1, from += count) {
      const symbolAt = first * channels + at
      const scale = scales[at]! & MAX_SCALE
      teller.tell(halves, expected, { from, count, scale, symbolAt, stride: channels })
    }
  }
  const { symbols, bits, widths } = teller
  const coded = writeCoded(encodeSymbols(symbols, tablesOf(scales)), packBits(bits, widths))
  return new ByteWriter().append(scales).halves(means).append(coded).done()
}

/** @throws CorruptBlockError if the bytes are not what was encoded in this shape and context */
export function decodeLossless(
  bytes: Uint8Array,
  shape: KvShape,
  context: LosslessContext | GivenExpectation | null,
): Uint16Array<ArrayBuffer> {
  const { tokens, channels } = shape
  const reader = new ByteReader(bytes)
  const scales = reader.slice(channels)
  const means = reader.halves(context === null ? channels : 0)
  const coded = readCoded(reader.rest())
  const symbols = decodeSymbols(coded.symbols, tablesOf(scales), tokens * channels)
  const bits = new BitReader(coded.bits)
  const values =
    context === null
      ? decodeAlone(shape, { scales, means }, symbols, bits)
      : 'expected' in context
        ? decodeGiven(shape, context, scales, symbols, bits)
        : decodeExpected(shape, context, scales, symbols, bits)
  bits.finish()
  return values
}

const tablesOf = (scales: Uint8Array) => Array.from(scales, tableOfScale)

function inOrderOfTelling({ tokens, channels, values }: KvMatrix, order: Uint32Array): Uint16Array {
  const told = new Uint16Array(values.length)
  for (let first = 0, place = 0; first < tokens; first += TILE_TOKENS) {
    const end = Math.min(tokens, first + TILE_TOKENS)
    for (let at = 0; at < channels; at += 1)
      for (
        let token = first, index = first * channels + order[at]!;
        token < end;
        token += 1, index += channels
      )
        told[place++] = values[index]!
  }
  return told
}

/** How a matrix is told. */
interface Plan {
  /** Of each channel in order. */
  readonly scales: Uint8Array
  /** Of each channel if there is no model, else empty. */
  readonly means: Uint16Array
  /** In order of telling. */
  readonly expected: Float32Array
}

function planOf(
  matrix: KvMatrix,
  halves: Uint16Array,
  context: LosslessContext | GivenExpectation | null,
): Plan {
  if (context === null) return planAlone(matrix, halves)
  return 'expected' in context ? planGiven(matrix, context) : planExpected(matrix, halves, context)
}

function planGiven({ tokens, channels, values }: KvMatrix, { expected }: GivenExpectation): Plan {
  const sums = new Float64Array(channels)
  const told = new Float32Array(values.length)
  for (let first = 0, place = 0; first < tokens; first += TILE_TOKENS) {
    const end = Math.min(tokens, first + TILE_TOKENS)
    for (let at = 0; at < channels; at += 1)
      for (let token = first; token < end; token += 1, place += 1) {
        const index = token * channels + at
        told[place] = expected[index]!
        sums[at]! += finite(Math.abs(halfValues[values[index]!]! - expected[index]!))
      }
  }
  const scales = Uint8Array.from(sums, (sum) => scaleOf(sum / tokens))
  return { scales, means: new Uint16Array(0), expected: told }
}

function decodeGiven(
  { tokens, channels }: KvShape,
  { expected }: GivenExpectation,
  scales: Uint8Array,
  symbols: Uint8Array,
  bits: BitReader,
): Uint16Array<ArrayBuffer> {
  const values = new Uint16Array(tokens * channels)
  for (let first = 0; first < tokens; first += TILE_TOKENS) {
    const end = Math.min(tokens, first + TILE_TOKENS)
    for (let at = 0; at < channels; at += 1)
      for (let token = first; token < end; token += 1) {
        const index = token * channels + at
        values[index] = readHalf(bits, symbols[index]!, expected[index]!, scales[at]! & MAX_SCALE)
      }
  }
  return values
}

function planAlone({ tokens, channels }: KvShape, halves: Uint16Array): Plan {
  const numbers = widenHalves(halves)
  const means = meansOf(numbers, tokens, channels)
  const centres = widenHalves(means)
  const fromMean = new Float64Array(channels)
  const fromBefore = new Float64Array(channels)
  const before = centres.slice()
  for (let first = 0, place = 0; first < tokens; first += TILE_TOKENS) {
    const count = Math.min(TILE_TOKENS, tokens - first)
    for (let at = 0; at < channels; at += 1) {
      const mean = centres[at]!
      let last = before[at]!
      let [sum, sumBefore] = [0, 0]
      for (const end = place + count; place < end; place += 1) {
        const value = numbers[place]!
        sum += finite(Math.abs(value - mean))
        sumBefore += finite(Math.abs(value - last))
        last = value
      }
      before[at] = last
      fromMean[at]! += sum
      fromBefore[at]! += sumBefore
    }
  }
  const scales = Uint8Array.from(fromMean, (sum, at) => {
    const delta = fromBefore[at]! < sum
    return scaleOf(Math.min(sum, fromBefore[at]!) / tokens) | (delta ? DELTA : 0)
  })
  return { scales, means, expected: expectedAlone(numbers, centres, scales, tokens) }
}

function meansOf(numbers: Float32Array, tokens: number, channels: number): Uint16Array {
  const sums = new Float64Array(channels)
  for (let first = 0, place = 0; first < tokens; first += TILE_TOKENS) {
    const count = Math.min(TILE_TOKENS, tokens - first)
    for (let at = 0; at < channels; at += 1) {
      let sum = 0
      for (const end = place + count; place < end; place += 1) sum += finite(numbers[place]!)
      sums[at]! += sum
    }
  }
  return Uint16Array.from(sums, (sum) => toHalf(sum / tokens))
}

function expectedAlone(
  numbers: Float32Array,
  centres: Float32Array,
  scales: Uint8Array,
  tokens: number,
): Float32Array {
  const expected = new Float32Array(numbers.length)
  const before = centres.slice()
  for (let first = 0, place = 0; first < tokens; first += TILE_TOKENS) {
    const count = Math.min(TILE_TOKENS, tokens - first)
    for (let at = 0; at < scales.length; at += 1, place += count) {
      if (scales[at]! < DELTA) {
        expected.fill(centres[at]!, place, place + count)
        continue
      }
      expected[place] = before[at]!
      for (let next = place + 1; next < place + count; next += 1) expected[next] = numbers[next - 1]!
      before[at] = numbers[place + count - 1]!
    }
  }
  return expected
}

function decodeAlone(
  { tokens, channels }: KvShape,
  { scales, means }: Pick<Plan, 'scales' | 'means'>,
  symbols: Uint8Array,
  bits: BitReader,
): Uint16Array<ArrayBuffer> {
  const values = new Uint16Array(tokens * channels)
  for (let first = 0; first < tokens; first += TILE_TOKENS) {
    const count = Math.min(TILE_TOKENS, tokens - first)
    for (let at = 0; at < channels; at += 1) {
      const scale = scales[at]! & MAX_SCALE
      const delta = scales[at]! >= DELTA
      let index = first * channels + at
      let expected = halfValues[delta && first > 0 ? values[index - channels]! : means[at]!]!
      for (let token = 0; token < count; token += 1, index += channels) {
        const half = readHalf(bits, symbols[index]!, expected, scale)
        values[index] = half
        if (delta) expected = halfValues[half]!
      }
    }
  }
  return values
}

/** One or two channels of up to eight tokens, which turn together. */
interface Group {
  readonly firstToken: number
  readonly tokens: number
  /** Place of its first channel in the order. */
  readonly at: number
  readonly size: 1 | 2
}

/** Takes a group and what is expected of it; what it turned out to be goes into `found`, laid out alike. */
type VisitGroup = (group: Group, expected: Float32Array, found: Float32Array) => void

function walkExpected(
  { tokens, channels }: KvShape,
  { model, rotary, firstPosition }: LosslessContext,
  visit: VisitGroup,
): void {
  if (model.channels !== channels)
    throw new CodecInputError(`The model is of ${model.channels} channels, the block has ${channels}.`)
  const expectation = new Expectation(model, rotary)
  const found = new Float32Array(2 * TILE_TOKENS)
  for (let firstToken = 0; firstToken < tokens; firstToken += TILE_TOKENS) {
    const count = Math.min(TILE_TOKENS, tokens - firstToken)
    expectation.startTokens(firstPosition + firstToken, count)
    for (let at = 0; at < channels; ) {
      const size = expectation.groupSize(at)
      expectation.expect(at, size)
      visit({ firstToken, tokens: count, at, size }, expectation.expected, found)
      expectation.learn(at, size, found)
      at += size
    }
  }
}

function planExpected(shape: KvShape, halves: Uint16Array, context: LosslessContext): Plan {
  const { tokens, channels } = shape
  const sums = new Float64Array(channels)
  const expected = new Float32Array(halves.length)
  let place = 0
  walkExpected(shape, context, (group, wanted, found) => {
    for (let member = 0; member < group.size; member += 1) {
      let sum = 0
      for (let at = member * TILE_TOKENS; at < member * TILE_TOKENS + group.tokens; at += 1) {
        const value = halfValues[halves[place]!]!
        found[at] = value
        expected[place] = wanted[at]!
        sum += finite(Math.abs(value - wanted[at]!))
        place += 1
      }
      sums[group.at + member]! += sum
    }
  })
  return {
    scales: Uint8Array.from(sums, (sum) => scaleOf(sum / tokens)),
    means: new Uint16Array(0),
    expected,
  }
}

function decodeExpected(
  shape: KvShape,
  context: LosslessContext,
  scales: Uint8Array,
  symbols: Uint8Array,
  bits: BitReader,
): Uint16Array<ArrayBuffer> {
  const { tokens, channels } = shape
  const order = channelOrder(channels, context.rotary)
  const values = new Uint16Array(tokens * channels)
  walkExpected(shape, context, (group, expected, found) => {
    const row = group.firstToken * channels
    for (let member = 0; member < group.size; member += 1) {
      const at = group.at + member
      const scale = scales[at]! & MAX_SCALE
      const [told, stored] = [row + at, row + order[at]!]
      for (let token = 0; token < group.tokens; token += 1) {
        const place = member * TILE_TOKENS + token
        const half = readHalf(bits, symbols[told + token * channels]!, expected[place]!, scale)
        values[stored + token * channels] = half
        found[place] = halfValues[half]!
      }
    }
  })
  return values
}

const finite = (value: number): number => (Number.isFinite(value) ? value : 0)
