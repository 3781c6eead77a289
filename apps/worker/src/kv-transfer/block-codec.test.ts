import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type BlockFacts, decodeBlock, encodeBlock } from './block-codec.ts'

const facts: BlockFacts = {
  ...{ layer: 3, part: 'key', tokens: 16, columns: 8, firstPosition: 32, type: 'F16' },
}

test('every bit comes back, of halves and of any other type', () => {
  fc.assert(
    fc.property(
      fc.record({
        tokens: fc.integer({ min: 1, max: 40 }),
        columns: fc.integer({ min: 0, max: 20 }),
        part: fc.constantFrom('key' as const, 'value' as const),
        type: fc.constantFrom('F16', 'F32', 'Q8_0'),
      }),
      fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
      (drawn, bytes) => {
        const size = drawn.tokens * drawn.columns * (drawn.type === 'F32' ? 4 : 2)
        const rows = Uint8Array.from({ length: size }, () => bytes.next().value ?? 0)
        const own = { ...facts, ...drawn }
        expect(decodeBlock(encodeBlock(rows, own), own)).toEqual(rows)
      },
    ),
  )
})

test('what a cache holds becomes smaller', () => {
  // Halves between 1 and 2: equal exponents.
  const rows = Uint8Array.from({ length: 16 * 8 * 40 * 2 }, (_, at) =>
    at % 2 === 1 ? 0x3c : (at * 37) & 0xff,
  )
  const own = { ...facts, tokens: 16 * 40 }
  expect(encodeBlock(rows, own).length).toBeLessThan(rows.length / 1.25)
})

test('a block of another type, place or part is refused', () => {
  const rows = new Uint8Array(16 * 8 * 2).map((_, at) => (at % 2 === 1 ? 0x3c : at & 0x3f))
  const bytes = encodeBlock(rows, facts)
  expect(() => decodeBlock(bytes, { ...facts, type: 'F32' })).toThrow('F32')
  expect(() => decodeBlock(bytes, { ...facts, layer: 4 })).toThrow()
  expect(() => decodeBlock(bytes, { ...facts, firstPosition: 0 })).toThrow()
  expect(() => decodeBlock(bytes.subarray(0, bytes.length - 3), facts)).toThrow()
  expect(() => decodeBlock(bytes, { ...facts, columns: 0 })).toThrow('stores nothing')
})
