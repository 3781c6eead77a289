import type { ActivationCoding } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodecInputError, CorruptBlockError } from '../errors.ts'
import { decodeActivations, encodeActivations } from './activations.ts'

const seeded = (seed: number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Normal values whose channels differ, one of them far larger than the rest, as residual streams have them. */
function residual(tokens: number, width: number, outlier = 300): Float32Array {
  const random = seeded(tokens * 31 + width)
  const normal = () => Math.sqrt(-2 * Math.log(random() + 1e-12)) * Math.cos(2 * Math.PI * random())
  const scales = Float32Array.from({ length: width }, () => 2 ** normal())
  scales[3 % width] = outlier
  return Float32Array.from({ length: tokens * width }, (_, index) => normal() * scales[index % width]!)
}

const bytesOf = (values: Float32Array | Uint32Array) => new Uint8Array(values.buffer)
const floatsOf = (bytes: Uint8Array) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)

function through(values: Float32Array, tokens: number, width: number, coding: ActivationCoding) {
  const coded = encodeActivations(bytesOf(values), { tokens, width }, coding)!
  return { coded, decoded: floatsOf(decodeActivations(coded, { tokens, width })) }
}

/** Error of all channels but the outlier, over their own magnitude. */
function relativeError(exact: Float32Array, found: Float32Array, width: number): number {
  let error = 0
  let size = 0
  for (const [index, value] of exact.entries()) {
    if (index % width === 3) continue
    error += (found[index]! - value) ** 2
    size += value ** 2
  }
  return Math.sqrt(error / size)
}

const shapes = [
  [1, 128],
  [1, 2048],
  [12, 96],
  [64, 256],
] as const

describe.each(shapes)('%i tokens of %i channels', (tokens, width) => {
  const values = residual(tokens, width)

  test('lossless keeps every bit in fewer bytes', () => {
    const { coded, decoded } = through(values, tokens, width, 'lossless')
    expect(bytesOf(decoded)).toEqual(bytesOf(values))
    expect((4 * values.length) / coded.length).toBeGreaterThan(1.1)
  })

  test('whole numbers are near, and outliers take nothing from the others', () => {
    const int8 = through(values, tokens, width, 'int8')
    const int4h = through(values, tokens, width, 'int4h')
    expect(relativeError(values, int8.decoded, width)).toBeLessThan(0.02)
    expect(relativeError(values, int4h.decoded, width)).toBeLessThan(0.16)
    expect((4 * values.length) / int8.coded.length).toBeGreaterThan(3.3)
    expect((4 * values.length) / int4h.coded.length).toBeGreaterThan(5.5)
  })
})

test('as they are where that is asked for or nothing is saved', () => {
  const shape = { tokens: 4, width: 64 }
  expect(encodeActivations(bytesOf(residual(4, 64)), shape, 'f32')).toBeNull()
  const random = seeded(5)
  const noise = Uint32Array.from({ length: 256 }, () => random() * 2 ** 32)
  expect(encodeActivations(bytesOf(noise), shape, 'lossless')).toBeNull()
  expect(encodeActivations(new Uint8Array(4), { tokens: 1, width: 1 }, 'int8')).toBeNull()
})

test.each([Number.NaN, Number.POSITIVE_INFINITY])('%f goes without loss', (odd) => {
  const values = residual(3, 128)
  values[130] = odd
  for (const coding of ['int8', 'int4h'] as const) {
    const { decoded } = through(values, 3, 128, coding)
    expect(bytesOf(decoded)).toEqual(bytesOf(values))
  }
})

test('bytes that do not lie on words can be read', () => {
  const values = residual(2, 64)
  const shifted = new Uint8Array(values.byteLength + 1)
  shifted.set(bytesOf(values), 1)
  const coded = encodeActivations(shifted.subarray(1), { tokens: 2, width: 64 }, 'lossless')!
  expect(decodeActivations(coded, { tokens: 2, width: 64 })).toEqual(bytesOf(values))
})

test('rows of zeros, of the smallest and of the largest numbers come back', () => {
  for (const value of [0, 1e-44, 1e-38, 3e38]) {
    for (const coding of ['lossless', 'int8', 'int4h'] as const) {
      const { decoded } = through(new Float32Array(256).fill(value), 2, 128, coding)
      for (const found of decoded) expect(Math.abs(found - value)).toBeLessThanOrEqual(0.1 * value + 1e-45)
    }
  }
})

test('what does not fit the shape is refused', () => {
  const shape = { tokens: 2, width: 64 }
  expect(() => encodeActivations(new Uint8Array(508), shape, 'lossless')).toThrow(CodecInputError)
  expect(() => encodeActivations(new Uint8Array(0), { tokens: 0, width: 64 }, 'f32')).toThrow(CodecInputError)
  const { coded } = through(residual(2, 64), 2, 64, 'int8')
  expect(() => decodeActivations(coded, { tokens: 3, width: 64 })).toThrow(CorruptBlockError)
  expect(() => decodeActivations(coded, { tokens: 1, width: 64 })).toThrow(CorruptBlockError)
  expect(() => decodeActivations(Uint8Array.of(0xac, 1, 2, 3), shape)).toThrow(CorruptBlockError)
  expect(() => decodeActivations(new Uint8Array(0), shape)).toThrow(CorruptBlockError)
  expect(() => decodeActivations(new Uint8Array(512), shape)).toThrow(CorruptBlockError)
})

test('every cut is refused', () => {
  for (const coding of ['lossless', 'int8', 'int4h'] as const) {
    const { coded } = through(residual(13, 32), 13, 32, coding)
    for (let length = 0; length < coded.length; length += 1) {
      const cut = coded.subarray(0, length)
      expect(() => decodeActivations(cut, { tokens: 13, width: 32 })).toThrow(CorruptBlockError)
    }
  }
})

test('values of any bits come back, and changed bytes give values or a refusal', () => {
  const words = fc.uint32Array({ minLength: 1, maxLength: 400 })
  fc.assert(
    fc.property(words, fc.integer({ min: 1, max: 24 }), (all, tokens) => {
      const width = Math.floor(all.length / tokens)
      fc.pre(width > 0)
      const bytes = bytesOf(all.slice(0, tokens * width))
      const coded = encodeActivations(bytes, { tokens, width }, 'lossless')
      if (coded !== null) expect(decodeActivations(coded, { tokens, width })).toEqual(bytes)
    }),
  )
  const coding = fc.constantFrom('lossless', 'int8', 'int4h')
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(coding, fc.integer({ min: 1, max: 16 }), changes, (name, tokens, changed) => {
      const { coded } = through(residual(tokens, 64), tokens, 64, name)
      for (const [at, byte] of changed) coded[at % coded.length] = byte
      expectTotal(coded, { tokens, width: 64 })
    }),
    { numRuns: 500 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat({ max: 11 }), (bytes, kind) => {
      if (bytes.length > 0) bytes[0] = 0xa0 + kind
      expectTotal(bytes, { tokens: 2, width: 80 })
    }),
    { numRuns: 500 },
  )
})

function expectTotal(bytes: Uint8Array, shape: { readonly tokens: number; readonly width: number }): void {
  try {
    expect(decodeActivations(bytes, shape)).toHaveLength(4 * shape.tokens * shape.width)
  } catch (error) {
    expect(error).toBeInstanceOf(CorruptBlockError)
  }
}
