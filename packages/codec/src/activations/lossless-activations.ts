import { ByteReader, ByteWriter } from '../byte-cursor.ts'
import { CorruptBlockError } from '../errors.ts'
import type { FrequencyTable } from '../frequency-table.ts'
import { decodeSymbols, encodeSymbols } from '../rans.ts'
import { bestClass, EXPONENTS, exponentTable, SPREADS } from './exponent-tables.ts'

/** Sign and mantissa of a value. */
const PLAIN_BYTES = 3
/** With fewer tokens a class for each channel costs more than it saves. */
const FEWEST_TOKENS = 12
const NO_CHANNELS = 0
const CHANNELS = 1

/**
 * Exponents entropy-coded, signs and mantissas as they are. With some tokens the exponents of each channel have a table of
 * their own class, by the channel's deviation: channels differ more than tokens do.
 *
 * @param words - `[tokens, width]` bits of float32
 */
export function encodeWords(words: Uint32Array, width: number): Uint8Array<ArrayBuffer> {
  const exponents = new Uint8Array(words.length)
  const plain = new Uint8Array(PLAIN_BYTES * words.length)
  for (let index = 0, at = 0; index < words.length; index += 1, at += PLAIN_BYTES) {
    const word = words[index]!
    exponents[index] = word >>> 23
    plain[at] = word
    plain[at + 1] = word >>> 8
    plain[at + 2] = ((word >>> 16) & 0x7f) | ((word >>> 24) & 0x80)
  }
  const writer = new ByteWriter(4 * words.length)
  if (words.length < FEWEST_TOKENS * width) {
    const tables = writeClass(writer.u8(NO_CHANNELS), exponents)
    return writer.append(plain).append(encodeSymbols(exponents, tables)).done()
  }
  const classes = channelClasses(exponents, width)
  const coded = encodeSymbols(classes, writeClass(writer.u8(CHANNELS), classes))
  writer.u32(coded.length).append(coded).append(plain)
  return writer.append(encodeSymbols(exponents, channelTables(classes))).done()
}

/** @throws CorruptBlockError if the bytes are not so many words */
export function decodeWords(bytes: Uint8Array, tokens: number, width: number): Uint32Array<ArrayBuffer> {
  const size = tokens * width
  const reader = new ByteReader(bytes)
  const kind = reader.u8()
  if (kind !== NO_CHANNELS && kind !== CHANNELS)
    throw new CorruptBlockError(`Hidden states cannot be of kind ${kind}.`)
  let tables = readClass(reader)
  if (kind === CHANNELS) {
    const coded = reader.slice(reader.u32())
    // Before anything as large as the words is made.
    if (reader.remaining < PLAIN_BYTES * size) throw tooShort(reader.remaining, size)
    tables = channelTables(decodeSymbols(coded, tables, width))
  }
  if (reader.remaining < PLAIN_BYTES * size) throw tooShort(reader.remaining, size)
  const plain = reader.slice(PLAIN_BYTES * size)
  const exponents = decodeSymbols(reader.rest(), tables, size)
  const words = new Uint32Array(size)
  for (let index = 0, at = 0; index < size; index += 1, at += PLAIN_BYTES) {
    const upper = plain[at + 2]!
    words[index] =
      plain[at]! |
      (plain[at + 1]! << 8) |
      ((upper & 0x7f) << 16) |
      (exponents[index]! << 23) |
      ((upper & 0x80) << 24)
  }
  return words
}

const tooShort = (length: number, size: number): CorruptBlockError =>
  new CorruptBlockError(`${length} bytes are too few for the signs and mantissas of ${size} values.`)

function writeClass(writer: ByteWriter, exponents: Uint8Array): readonly FrequencyTable[] {
  const { exponent, spread } = bestClass(exponents)
  writer.u8(exponent).u8(spread)
  return [exponentTable(exponent, spread)]
}

function readClass(reader: ByteReader): readonly FrequencyTable[] {
  const exponent = reader.u8()
  const spread = reader.u8()
  if (spread >= SPREADS) throw new CorruptBlockError(`Exponents cannot be spread by ${spread}.`)
  return [exponentTable(exponent, spread)]
}

/** For each channel the exponent of its deviation, as its exponents show it: 0.92 above their mean, for normal values. */
function channelClasses(exponents: Uint8Array, width: number): Uint8Array {
  const sums = new Uint32Array(width)
  for (let start = 0; start < exponents.length; start += width)
    for (let channel = 0; channel < width; channel += 1)
      sums[channel] = sums[channel]! + exponents[start + channel]!
  const tokens = exponents.length / width
  return Uint8Array.from(sums, (sum) => Math.min(EXPONENTS - 1, Math.round(sum / tokens + 0.92)))
}

const channelTables = (classes: Uint8Array): readonly FrequencyTable[] =>
  Array.from(classes, (exponent) => exponentTable(exponent, 0))
