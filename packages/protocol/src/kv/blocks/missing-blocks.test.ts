import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { kvRoot, kvRunIds } from './block-identity.ts'
import { blockCount, blockPlace, blockSlice, blocksPerRun, type KvBlockGrid } from './block-order.ts'
import { blockKeys, missingBlocks } from './missing-blocks.ts'

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest())
const root = kvRoot(sha256, { model: 'm', numerics: '', adapter: null, scope: '', blockTokens: 4 })
const exact = { version: 1, level: 0, basis: 0 }
const coarse = { version: 1, level: 2, basis: 0 }

const wanted = (tokens: readonly number[], codings = [exact]) => {
  const grid: KvBlockGrid = {
    ...{ length: tokens.length, blockTokens: 4, layers: { first: 2, end: 5 } },
    parts: ['key', 'value'],
  }
  return { grid, runs: kvRunIds(sha256, root, Int32Array.from(tokens), 4), codings }
}
const tokens = fc.array(fc.nat(9), { maxLength: 30 })

test('of a prompt that another began alike, only the rest is missing', () => {
  fc.assert(
    fc.property(tokens, tokens, tokens, (prefix, a, b) => {
      const inventory = new Set([...blockKeys(wanted([...prefix, ...a]))].flat())
      const next = wanted([...prefix, ...b])
      const missing = missingBlocks(next, (key) => inventory.has(key))
      const keys = [...blockKeys(next)].flat()
      expect(missing.size).toBe(keys.length)
      for (const [index, key] of keys.entries()) expect(missing.has(index)).toBe(!inventory.has(key))
      const shared = Math.floor(prefix.length / 4) * blocksPerRun(next.grid)
      for (let index = 0; index < shared; index += 1) expect(missing.has(index)).toBe(false)
    }),
  )
})

test('a block in any of the codings that will do is not missing', () => {
  const one = wanted([1, 2, 3, 4], [exact, coarse])
  const inventory = new Set([...blockKeys(one)].map(([, key]) => key!))
  expect(missingBlocks(one, (key) => inventory.has(key)).count).toBe(0)
  expect(missingBlocks({ ...one, codings: [exact] }, (key) => inventory.has(key)).count).toBe(6)
})

test('blocks are numbered by position, layer and part, and lie in the pages of their positions', () => {
  const { grid } = wanted(Array.from({ length: 10 }, (_, index) => index))
  expect(blockCount(grid)).toBe(3 * 3 * 2)
  expect([0, 1, 2, 6, 17].map((index) => blockPlace(grid, index))).toEqual([
    { block: 0, layer: 2, part: 'key' },
    { block: 0, layer: 2, part: 'value' },
    { block: 0, layer: 3, part: 'key' },
    { block: 1, layer: 2, part: 'key' },
    { block: 2, layer: 4, part: 'value' },
  ])
  const pages = [9, 8, 3, 4, 0]
  const slice = (index: number) => blockSlice(grid, blockPlace(grid, index), pages, 2)
  expect(slice(6)).toEqual({ layer: 2, part: 'key', pages: [3, 4], positions: { first: 0, end: 4 } })
  expect(slice(17)).toEqual({ layer: 4, part: 'value', pages: [0], positions: { first: 0, end: 2 } })
  expect(() => blockSlice(grid, blockPlace(grid, 0), pages, 3)).toThrow(/pages of 3/)
})

test('runs without ids are a mistake', () => {
  const one = wanted([1, 2, 3, 4, 5])
  expect(() => [...blockKeys({ ...one, runs: one.runs.slice(1) })]).toThrow(/no id of block 1/)
})
