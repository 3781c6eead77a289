import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { measureKvQuality } from './kv-quality.ts'

const models = join(import.meta.dirname, '../../../models')
const cacheDir = mkdtempSync(join(tmpdir(), 'deos-kv-quality-'))
afterAll(() => rmSync(cacheDir, { recursive: true, force: true }))

const options = {
  ...{ modelPath: join(models, 'deos-7m'), types: ['Q8_0', 'Q4_0'] as const },
  ...{ windows: 4, windowTokens: 160, threads: 1, cacheDir, progress: () => undefined },
}

test('eight bits cost next to nothing, four a little, and both save what their blocks say', async () => {
  const text = readFileSync(join(models, 'held-out.txt'), 'utf8')
  const [f16, q8, q4] = await measureKvQuality({ ...options, text })
  expect([f16, q8, q4].map((quality) => quality?.type)).toEqual(['F16', 'Q8_0', 'Q4_0'])
  expect(f16!.top1Agreement).toBe(1)
  expect(f16!.perplexity).toBeGreaterThan(1)
  expect(f16!.perplexity).toBeLessThan(200)
  expect(q8!.perplexity / f16!.perplexity).toBeLessThan(1.005)
  expect(q8!.top1Agreement).toBeGreaterThan(0.97)
  expect(q4!.perplexity / f16!.perplexity).toBeLessThan(1.1)
  expect(q4!.top1Agreement).toBeGreaterThan(0.85)
  expect(q8!.positionBytes / f16!.positionBytes).toBe(34 / 64)
  expect(q4!.positionBytes / f16!.positionBytes).toBe(18 / 64)
})

test('a text that is too short is refused with its length', async () => {
  await expect(measureKvQuality({ ...options, text: 'Too short.' })).rejects.toThrow(/4 windows of 160/)
})
