import { DomainError } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32 } from './checksum.ts'
import {
  type Basis,
  BasisMismatchError,
  basisForStep,
  CodecInputError,
  CorruptBlockError,
  decodeKvBlock,
  encodeKvBlock,
  fitBasis,
  GramAccumulator,
  inspectKvBlock,
  type KvBlockContent,
  type Level,
  multiplyTransposed,
  readBasis,
  toHalf,
  widenHalves,
} from './index.ts'

const CHANNELS = 16
const turning = (layer: number) => ({
  ...{ headDim: 8, first: 2, pairs: 'halves' as const, magnitude: 1.25 },
  frequencies: layer === 5 ? [1, 0.1, 0.01] : [1],
})
const still = () => null

/** Numbers that look random and are the same in each run. */
function noise(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 31 - 1
  }
}

/** Rows of 32 channels that follow from 3 hidden numbers and a little noise. */
function rowsOf(tokens: number, seed: number): Float32Array {
  const next = noise(seed)
  const rows = new Float32Array(tokens * 2 * CHANNELS)
  for (let token = 0; token < tokens; token += 1) {
    const hidden = [3 * next(), 2 * next(), next()]
    for (let c = 0; c < 2 * CHANNELS; c += 1)
      rows[token * 2 * CHANNELS + c] =
        0.5 +
        Math.sin(c) * hidden[0]! +
        Math.cos(3 * c) * hidden[1]! +
        Math.sin(7 * c) * hidden[2]! +
        0.05 * next()
  }
  return rows
}

function fitted(seed = 1, weight = 1): { basis: Basis; bytes: Uint8Array } {
  const gram = new GramAccumulator(2 * CHANNELS)
  const rows = rowsOf(400, seed)
  gram.add(rows)
  const part = { layer: 5, channels: CHANNELS, weight }
  return fitBasis({
    parts: [
      { ...part, part: 'k' },
      { ...part, part: 'v' },
    ],
    ...{
      gram,
      referenceChannels: 0,
      sample: { rows, reference: null },
      smallestDeviation: 0.005,
      version: 1,
    },
  })
}

function contentOf(tokens: number, seed: number): KvBlockContent {
  const rows = rowsOf(tokens, seed)
  const part = (offset: number) =>
    Uint16Array.from({ length: tokens * CHANNELS }, (_, index) =>
      toHalf(rows[Math.floor(index / CHANNELS) * 2 * CHANNELS + offset + (index % CHANNELS)]!),
    )
  return {
    firstPosition: 0,
    tokens,
    parts: [
      { layer: 5, part: 'k', channels: CHANNELS, values: part(0) },
      { layer: 5, part: 'v', channels: CHANNELS, values: part(CHANNELS) },
    ],
  }
}

const { basis, bytes: basisBytes } = fitted()
const tools = { rotary: still, basis }
const levels: readonly Level[] = [
  { name: 'lossless' },
  { name: 'int8' },
  { name: 'hadamard4' },
  { name: 'basis', step: 0.25, exact: { first: 2, last: 1 } },
  { name: 'sharedBasis', step: 0.05, exact: { first: 0, last: 0 } },
]

function meanSquare(a: Uint16Array, b: Uint16Array): number {
  const [x, y] = [widenHalves(a), widenHalves(b)]
  return x.reduce((sum, value, index) => sum + (value - y[index]!) ** 2, 0) / x.length
}

describe('every level', () => {
  const content = contentOf(40, 2)
  const errors = levels.map((level) => {
    const bytes = encodeKvBlock(content, level, tools)
    const halves = decodeKvBlock(bytes, content, tools)
    return { size: bytes.length, error: meanSquare(content.parts[0]!.values, halves[0]!) }
  })

  test('comes back within its error and says what it is', () => {
    expect(errors[0]!.error).toBe(0)
    expect(errors[1]!.error).toBeLessThan(1e-3)
    expect(errors[2]!.error).toBeLessThan(0.1)
    expect(errors[3]!.error).toBeLessThan(0.01)
    expect(errors[4]!.error).toBeLessThan(0.0025)
    for (const level of levels)
      expect(inspectKvBlock(encodeKvBlock(content, level, tools)).level).toBe(level.name)
  })

  test('a basis of three numbers takes far fewer bytes than four bits a value', () => {
    expect(errors[3]!.size).toBeLessThan(errors[2]!.size / 2)
  })

  test('exact tokens are exact', () => {
    const halves = decodeKvBlock(encodeKvBlock(content, levels[3]!, tools), content, tools)
    for (const [index, part] of content.parts.entries()) {
      const first = 2 * CHANNELS
      expect(halves[index]!.subarray(0, first)).toEqual(part.values.subarray(0, first))
      expect(halves[index]!.subarray(39 * CHANNELS)).toEqual(part.values.subarray(39 * CHANNELS))
    }
  })

  test('keys that turn are turned back and forth', () => {
    const turned = { ...tools, rotary: turning }
    const far = { ...content, firstPosition: 5000 }
    const level: Level = { name: 'basis', step: 1e-3, exact: { first: 0, last: 0 } }
    const halves = decodeKvBlock(encodeKvBlock(far, level, turned), far, turned)
    // What the 32 leading components leave out, and rounding to halves.
    expect(meanSquare(far.parts[0]!.values, halves[0]!)).toBeLessThan(0.01)
  })
})

describe('bytes from elsewhere', () => {
  const content = contentOf(12, 3)
  const resealed = (bytes: Uint8Array): Uint8Array => {
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(
      bytes.length - 4,
      crc32(bytes.subarray(0, -4)),
      true,
    )
    return bytes
  }
  const onlyDomainErrors = (read: () => unknown): void => {
    try {
      read()
    } catch (error) {
      expect(error).toBeInstanceOf(DomainError)
    }
  }

  test.each(levels)('any change or cut of a $name block is noticed', (level) => {
    const bytes = encodeKvBlock(content, level, tools)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = bytes.slice()
        changed[at] = changed[at]! ^ flip
        expect(() => decodeKvBlock(changed, content, tools)).toThrow(CorruptBlockError)
        expect(() => decodeKvBlock(bytes.slice(0, at), content, tools)).toThrow(CorruptBlockError)
      }),
    )
  })

  test.each(levels)(
    'a $name block with a forged checksum ends in a domain error or in halves of the right number',
    (level) => {
      const bytes = encodeKvBlock(content, level, tools)
      const changes = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 })), {
        maxLength: 6,
      })
      fc.assert(
        fc.property(changes, fc.nat(bytes.length), (edits, cut) => {
          const changed = bytes.slice(0, Math.max(8, edits.length % 2 ? cut : bytes.length))
          for (const [at, value] of edits) if (at < changed.length) changed[at] = value
          onlyDomainErrors(() => {
            const halves = decodeKvBlock(resealed(changed), content, tools)
            expect(halves.map(({ length }) => length)).toEqual([12 * CHANNELS, 12 * CHANNELS])
          })
        }),
        { numRuns: 400 },
      )
    },
  )

  test('noise is no block and no basis', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => decodeKvBlock(bytes, content, tools)).toThrow(CorruptBlockError)
        expect(() => readBasis(bytes)).toThrow(CorruptBlockError)
      }),
    )
  })

  test('a changed basis is refused, and a forged one never crashes', () => {
    fc.assert(
      fc.property(fc.nat(basisBytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = basisBytes.slice()
        changed[at] = changed[at]! ^ flip
        expect(() => readBasis(changed)).toThrow(CorruptBlockError)
        onlyDomainErrors(() => readBasis(resealed(changed)))
      }),
    )
  })

  test('another basis, another place and another shape are refused', () => {
    const bytes = encodeKvBlock(content, levels[3]!, tools)
    expect(() => decodeKvBlock(bytes, content, { rotary: still, basis: fitted(9).basis })).toThrow(
      BasisMismatchError,
    )
    expect(() => decodeKvBlock(bytes, { ...content, firstPosition: 1 }, tools)).toThrow(/from 1/)
    expect(() => decodeKvBlock(bytes, { ...content, tokens: 13 }, tools)).toThrow(CorruptBlockError)
  })
})

describe('tools that are not what their id says', () => {
  const content = contentOf(12, 3)
  const level = levels[3]!
  const bytes = encodeKvBlock(content, level, tools)

  test('a basis with any one bit changed in memory is refused', () => {
    const fields = ['vectors', 'mean', 'deviations'] as const
    fc.assert(
      fc.property(fc.constantFrom(...fields), fc.nat(), fc.nat(31), (field, place, bit) => {
        const values = basis[field].slice()
        const bits = new Uint32Array(values.buffer)
        bits[place % bits.length]! ^= 1 << bit
        const stale = { rotary: still, basis: { ...basis, [field]: values } }
        expect(() => decodeKvBlock(bytes, content, stale)).toThrow(BasisMismatchError)
      }),
      { numRuns: 300 },
    )
    expect(() => decodeKvBlock(bytes, content, { rotary: turning, basis })).toThrow(BasisMismatchError)
    expect(() => decodeKvBlock(bytes, content, tools)).not.toThrow()
  })

  test('so are changed tables, and other channel models than those of a lossless block', () => {
    const classes = basis.classes.map((own, index) => (index === 7 ? { ...own, one: 1.5 * own.one } : own))
    const stale = { rotary: still, basis: { ...basis, classes } }
    expect(() => decodeKvBlock(bytes, content, stale)).toThrow(BasisMismatchError)
    const model = (factor: number) => ({
      ...{ channels: CHANNELS, span: 1 },
      mean: new Float32Array(CHANNELS),
      lower: new Float32Array(CHANNELS).fill(factor),
    })
    const modelled = (factor: number) => ({
      ...{ rotary: still, channelModelsId: '0123456789abcdef' },
      channelModel: () => model(factor),
    })
    const exact = encodeKvBlock(content, { name: 'lossless' }, modelled(0))
    expect(decodeKvBlock(exact, content, modelled(0))[0]).toEqual(content.parts[0]!.values)
    expect(() => decodeKvBlock(exact, content, modelled(1))).toThrow(BasisMismatchError)
  })
})

test('products of any extents are what one by one gives', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(9), fc.nat(9), (inner, rows, columns) => {
      const left = Float32Array.from({ length: rows * inner }, (_, index) => Math.sin(index + 1))
      const right = Float32Array.from({ length: columns * inner }, (_, index) => Math.cos(3 * index))
      const result = multiplyTransposed(left, right, inner)
      expect(result.length).toBe(rows * columns)
      for (const [place, value] of result.entries()) {
        let sum = 0
        for (let k = 0; k < inner; k += 1)
          sum += left[Math.floor(place / columns) * inner + k]! * right[(place % columns) * inner + k]!
        expect(value).toBeCloseTo(sum, 5)
      }
    }),
  )
})

test('what does not fit is refused before anything is written', () => {
  const content = contentOf(4, 5)
  const level = levels[3]!
  expect(() => encodeKvBlock({ ...content, tokens: 5 }, level, tools)).toThrow(CodecInputError)
  expect(() => encodeKvBlock(content, level, { rotary: still })).toThrow(/needs a basis/)
  expect(() => encodeKvBlock({ ...content, parts: content.parts.slice(1) }, level, tools)).toThrow(/parts/)
  const ruined = contentOf(4, 5)
  ruined.parts[0]!.values[3 * CHANNELS - 1] = 0x7c00
  expect(() => encodeKvBlock(ruined, level, tools)).toThrow(CodecInputError)
  expect(() => encodeKvBlock(ruined, { name: 'int8' }, tools)).toThrow(/finite/)
})

test('a basis for one step alone codes the same there in fewer bytes', () => {
  const content = contentOf(40, 2)
  const level = { name: 'basis', step: 1, exact: { first: 2, last: 1 } } as const
  const { basis: own, bytes } = basisForStep(basis, 1)
  expect(bytes.length).toBeLessThan(basisBytes.length)
  const coded = encodeKvBlock(content, level, { rotary: still, basis: own })
  expect(coded.length).toBe(encodeKvBlock(content, level, tools).length)
  const whole = decodeKvBlock(encodeKvBlock(content, level, tools), content, tools)
  expect(decodeKvBlock(coded, content, { rotary: still, basis: own })).toEqual(whole)
})

test('a basis read again is the same and knows its name', () => {
  const again = readBasis(basisBytes)
  expect(again).toEqual(basis)
  expect(fitted(2).basis.id).not.toBe(basis.id)
})
