import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RateWindow } from './rate-window.ts'

test('no stretch of the window’s length holds more than was let through', () => {
  const limit = 10
  const steps = fc.array(
    fc.record({ waitMs: fc.nat({ max: 20_000 }), amount: fc.integer({ min: 1, max: 4 }) }),
    {
      maxLength: 80,
    },
  )
  fc.assert(
    fc.property(steps, (list) => {
      const window = new RateWindow(60_000)
      const taken: { readonly atMs: number; readonly amount: number }[] = []
      let nowMs = 123_456_789
      for (const { waitMs, amount } of list) {
        nowMs += waitMs
        if (window.total(nowMs) + amount > limit) {
          const untilMs = window.timeUntil(limit - amount, nowMs)
          expect(untilMs).toBeGreaterThan(0)
          expect(untilMs).toBeLessThanOrEqual(61_000)
          continue
        }
        window.add(amount, nowMs)
        taken.push({ atMs: nowMs, amount })
      }
      for (const { atMs } of taken) {
        const within = taken.filter((each) => each.atMs > atMs - 60_000 && each.atMs <= atMs)
        expect(within.reduce((sum, { amount }) => sum + amount, 0)).toBeLessThanOrEqual(limit)
      }
    }),
  )
})

test('after the time it says there is room', () => {
  const window = new RateWindow(60_000)
  window.add(6, 1_000)
  window.add(4, 30_500)
  const waitMs = window.timeUntil(5, 40_000)
  expect(window.total(40_000 + waitMs)).toBeLessThanOrEqual(5)
  expect(window.total(40_000 + waitMs)).toBe(4)
  expect(window.timeUntil(10, 40_000 + waitMs)).toBe(0)
})

test('what was counted can be put right while it counts, and not after', () => {
  const window = new RateWindow(60_000)
  const piece = window.add(10, 5_000)
  window.correct(piece, -7, 9_000)
  expect(window.total(9_000)).toBe(3)
  expect(window.total(70_000)).toBe(0)
  window.correct(piece, 5, 70_000)
  expect(window.total(70_000)).toBe(0)
})
