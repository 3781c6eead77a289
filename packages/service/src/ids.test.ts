import { expect, test } from 'vitest'
import { systemClock } from './clock.ts'
import { systemIds } from './ids.ts'
import { randomSeed, systemRandom } from './random.ts'

test('ids carry their prefix and do not repeat', () => {
  const ids = Array.from({ length: 1000 }, () => systemIds.next('chatcmpl'))
  expect(new Set(ids).size).toBe(1000)
  for (const id of ids) expect(id).toMatch(/^chatcmpl-[0-9a-v]{24}$/)
})

test('random numbers stay in [0, 1) and are not all alike', () => {
  const numbers = Array.from({ length: 1000 }, () => systemRandom.next())
  expect(numbers.every((n) => n >= 0 && n < 1)).toBe(true)
  expect(numbers.reduce((sum, n) => sum + n, 0) / 1000).toBeCloseTo(0.5, 1)
})

test('seeds are unsigned 64-bit integers', () => {
  const seed = BigInt(randomSeed())
  expect(BigInt.asUintN(64, seed)).toBe(seed)
})

test('the clock does not run backwards', () => {
  const first = systemClock.now()
  expect(systemClock.now()).toBeGreaterThanOrEqual(first)
})
