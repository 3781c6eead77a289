import { fileURLToPath } from 'node:url'
import { openModel } from '@deos/engine/weights/open-model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type BlockFacts, decodeBlock, encodeBlock, knowsLevels } from './block-codec.ts'
import { loadCalibration } from './calibration-file.ts'

const exact = { level: 0, calibrated: false }

const facts: BlockFacts = {
  ...{ layer: 3, part: 'key', tokens: 16, columns: 8, firstPosition: 32, type: 'F16' },
  rotation: null,
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
        expect(decodeBlock(encodeBlock(rows, own, exact, null), own, null)).toEqual(rows)
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
  expect(encodeBlock(rows, own, exact, null).length).toBeLessThan(rows.length / 1.25)
})

test('a block of another type, place or part is refused', () => {
  const rows = new Uint8Array(16 * 8 * 2).map((_, at) => (at % 2 === 1 ? 0x3c : at & 0x3f))
  const bytes = encodeBlock(rows, facts, exact, null)
  expect(() => decodeBlock(bytes, { ...facts, type: 'F32' }, null)).toThrow('F32')
  expect(() => decodeBlock(bytes, { ...facts, layer: 4 }, null)).toThrow()
  expect(() => decodeBlock(bytes, { ...facts, firstPosition: 0 }, null)).toThrow()
  expect(() => decodeBlock(bytes.subarray(0, bytes.length - 3), facts, null)).toThrow()
  expect(() => decodeBlock(bytes, { ...facts, columns: 0 }, null)).toThrow('stores nothing')
})

const model = fileURLToPath(new URL('../../../../models/deos-7m', import.meta.url))
const { fingerprint } = await openModel(model, { vocabulary: false })
const { calibration } = await loadCalibration(`${model}.kv`, fingerprint)

test('a calibration is for its model only', async () => {
  await expect(loadCalibration(`${model}.kv`, 'f'.repeat(64))).rejects.toThrow('not of model ffffffffffff')
})

test('with a calibration, blocks at each level come back, and only to those who have it', () => {
  const own = { ...facts, columns: 128, tokens: 64, firstPosition: 0, part: 'value' as const }
  const rows = Uint8Array.from({ length: 2 * 64 * 128 }, (_, at) => (at % 2 === 1 ? 0x38 : (at * 37) & 0xff))
  expect(knowsLevels([0, 6], calibration)).toBe(true)
  expect(knowsLevels([7], calibration)).toBe(false)
  expect(knowsLevels([3], null)).toBe(false)
  const sizes = [0, 1, 2, 3, 4, 5, 6].map((level) => {
    const bytes = encodeBlock(rows, own, { level, calibrated: true }, calibration)
    const back = decodeBlock(bytes, own, calibration)
    expect(back.length).toBe(rows.length)
    if (level === 0) expect(back).toEqual(rows)
    else expect(back).not.toEqual(rows)
    expect(() => decodeBlock(bytes, own, null)).toThrow('calibration')
    return bytes.length
  })
  expect(sizes[1]).toBeLessThan(rows.length * 0.6)
})

test('what cannot be coded with loss travels exactly', () => {
  const own = { ...facts, columns: 128, tokens: 16, part: 'value' as const }
  const rows = new Uint8Array(2 * 16 * 128).fill(0x38)
  const coding = { level: 3, calibrated: true }
  const infinite = rows.slice()
  infinite.set([0, 0x7c], 40)
  for (const [block, of] of [
    [infinite, own],
    [rows, { ...own, layer: 99 }],
    [rows, { ...own, type: 'Q8_0' }],
  ] as const)
    expect(decodeBlock(encodeBlock(block, of, coding, calibration), of, calibration)).toEqual(block)
  // A plan without a calibration, at a level that needs one.
  const bare = encodeBlock(rows, own, { level: 3, calibrated: false }, calibration)
  expect(decodeBlock(bare, own, null)).toEqual(rows)
})

test('floats lose only where loss is wanted, and finite values come back near', () => {
  const own = { ...facts, type: 'F32', columns: 64, part: 'value' as const }
  const floats = Float32Array.from({ length: 16 * 64 }, (_, at) => Math.sin(at) * 3)
  const rows = new Uint8Array(floats.buffer)
  expect(decodeBlock(encodeBlock(rows, own, exact, null), own, null)).toEqual(rows)
  const lossy = encodeBlock(rows, own, { level: 1, calibrated: false }, null)
  expect(lossy.length).toBeLessThan(rows.length / 3)
  const back = new Float32Array(decodeBlock(lossy, own, null).slice().buffer)
  for (const [at, value] of back.entries()) expect(Math.abs(value - floats[at]!)).toBeLessThan(0.05)
  floats[5] = 1e9
  expect(decodeBlock(encodeBlock(rows, own, { level: 1, calibrated: false }, null), own, null)).toEqual(rows)
})

test('halves that are to travel as stored do, with every bit', () => {
  const rows = new Uint8Array(16 * 8 * 2).map((_, at) => (at * 31) & 0xff)
  const plain = encodeBlock(rows, facts, { ...exact, plain: true }, null)
  expect(plain.subarray(-rows.length)).toEqual(rows)
  expect(decodeBlock(plain, facts, null)).toEqual(rows)
})
