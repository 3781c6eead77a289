import type { BitReader } from './bit-stream.ts'
import { CodecInputError } from './errors.ts'
import { Expectation, TILE_TOKENS } from './expectation.ts'
import { halfValues } from './half.ts'
import { MAX_SCALE, readHalf, scaleOf } from './half-steps.ts'
import { type ChannelModel, channelOrder } from './innovation.ts'
import type { KvShape } from './kv-matrix.ts'
import { finite, type Plan } from './lossless-plan.ts'
import type { RotaryGeometry } from './rotary.ts'

/** What both sides know beforehand of a layer's K or V; with it fewer bits are left to say. */
export interface LosslessContext {
  readonly model: ChannelModel
  /** How keys turn; null for values. */
  readonly rotary: RotaryGeometry | null
  /** Position of the first token. */
  readonly firstPosition: number
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

/** Expects what a model makes of the channels already told. */
export function planExpected(shape: KvShape, halves: Uint16Array, context: LosslessContext): Plan {
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

export function decodeExpected(
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
