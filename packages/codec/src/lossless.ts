import { BitReader, packBits } from './bit-stream.ts'
import { ByteReader, ByteWriter } from './byte-cursor.ts'
import { readCoded, writeCoded } from './coded-section.ts'
import { TILE_TOKENS } from './expectation.ts'
import { halfValues } from './half.ts'
import { HalfTeller, MAX_SCALE, readHalf, scaleOf, tableOfScale } from './half-steps.ts'
import { channelOrder } from './innovation.ts'
import type { KvMatrix, KvShape } from './kv-matrix.ts'
import { decodeAlone, planAlone } from './lossless-alone.ts'
import { decodeExpected, type LosslessContext, planExpected } from './lossless-modelled.ts'
import { finite, type Plan } from './lossless-plan.ts'
import { decodeSymbols, encodeSymbols } from './rans.ts'

/** What both sides expect of each value, `[tokens, channels]` as the values. */
export interface GivenExpectation {
  readonly expected: Float32Array
}

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
