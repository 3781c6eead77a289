import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { llamaCppAvailability } from '@deos/engine/testing'
import { afterAll, expect, test } from 'vitest'
import { BenchUsageError } from '../run-bench.ts'
import { parseTypes } from './bench-types.ts'
import { measureEngine } from './measure-engine.ts'

const model = join(import.meta.dirname, '../../../models/deos-7m')
const cacheDir = mkdtempSync(join(tmpdir(), 'deos-bench-'))

afterAll(() => rmSync(cacheDir, { recursive: true, force: true }))

test('every figure of a type is there, with the bars it is held to', async () => {
  const lines: string[] = []
  const progress = (line: string) => lines.push(line)
  const { figures, raw } = await measureEngine({
    ...{ model, quick: true, threads: 1, types: ['Q8_0'], cacheDir, progress },
  })
  expect(figures.map(({ id, bar }) => [id, bar])).toEqual([
    ['engine.prefill.q8_0.tokens128.vsLlamaCpp', 0.95],
    ['engine.prefill.q8_0.vsLlamaCpp', 0.95],
    ['engine.prefill.q8_0.tokens2048.vsLlamaCpp', 0.95],
    ['engine.prefill.q8_0.tokens4096.vsLlamaCpp', 0.95],
    ['engine.decode.q8_0.batch1.vsLlamaCpp', 0.95],
    ['engine.decode.q8_0.batch1.bandwidthShare', 0.8],
    ['engine.decode.q8_0.batch2.vsLlamaCpp', 1],
    ['engine.decode.q8_0.batch4.vsLlamaCpp', 1],
    ['engine.decode.q8_0.batch8.vsLlamaCpp', 1],
    ['engine.decode.q8_0.batch16.vsLlamaCpp', 1],
  ])
  for (const { id, value, reason } of figures) {
    const isLong = /tokens(2048|4096)/.test(id)
    if (llamaCppAvailability().available && !isLong) expect(value).toBeGreaterThan(0)
    else expect(reason).toBeDefined()
  }
  expect(raw).toMatchObject({ model, threads: 1, bandwidth: { threads: 1 } })
  expect(readdirSync(cacheDir)).toHaveLength(1)
  expect(lines.some((line) => line.includes('converting'))).toBe(true)
})

test('types are parsed in any case, and unknown ones refused by name', () => {
  expect(parseTypes('f16, Q8_0,q4_k,F16')).toEqual(['F16', 'Q8_0', 'Q4_K'])
  expect(() => parseTypes('F16,Q9')).toThrow(BenchUsageError)
  expect(() => parseTypes('F16,Q9')).toThrow('Q9')
})
