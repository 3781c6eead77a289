import { expect, test } from 'vitest'
import { StepTimes } from './step-times.ts'

const entry = (position: number, count: number) => ({ key: 1, position, count, sample: true, pages: [] })
const timing = {
  decode: [
    [1, 5],
    [2, 6],
    [8, 9],
  ] as const,
  prompt: [
    [16, 12],
    [32, 20],
  ] as const,
  contextMs: 2,
  promptContextMs: 0.5,
  decodeContext: 100,
  hostMs: 1,
}

test('steps of one kind take what was measured, and what lies between or beyond is linear', () => {
  const times = new StepTimes(timing)
  const decodes = (count: number) => times.of(Array.from({ length: count }, () => entry(100, 1)))
  expect([1, 2, 5, 8, 10].map(decodes)).toEqual([5, 6, 7.5, 9, 10])
  expect([16, 24, 48].map((count) => times.of([entry(0, count)]))).toEqual([12, 16, 28])
})

test('a mixed step takes its parts once, and more context takes more', () => {
  const times = new StepTimes(timing)
  // The smallest step takes 4 ms: 5 for one session, 1 for each further.
  expect(times.of([entry(100, 1), entry(100, 1), entry(0, 16)])).toBe(6 + 12 - 4)
  expect(times.of([entry(600, 1)])).toBe(5 + 1)
  expect(times.of([entry(500, 16)])).toBe(12 + 4)
})

test('points that do not ascend are refused', () => {
  expect(() => new StepTimes({ ...timing, decode: [[1, 5]] })).toThrow(/decode points is 1/)
  expect(
    () =>
      new StepTimes({
        ...timing,
        prompt: [
          [8, 1],
          [8, 2],
        ],
      }),
  ).toThrow(/prompt points\[1\]/)
  expect(
    () =>
      new StepTimes({
        ...timing,
        decode: [
          [1, 1],
          [2, Number.NaN],
        ],
      }),
  ).toThrow(/decode points\[1\]/)
})
