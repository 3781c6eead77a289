import { expect, test } from 'vitest'
import { measurePairs } from './pairs.ts'

test('pairs alternate their order and warm-ups do not count', async () => {
  const order: string[] = []
  const side = (name: string, values: number[]) => () => {
    order.push(name)
    return values.shift()!
  }
  const pairs = await measurePairs({ n: 3, a: side('a', [99, 2, 4, 6]), b: side('b', [1, 1, 2, 2]) })
  expect(order.join('')).toBe('abbaabba')
  expect(pairs).toEqual({ a: [2, 4, 6], b: [1, 2, 2], ratios: [2, 2, 3], medianRatio: 2, spread: 0.5 })
})

test('a measurement that throws stops the run', async () => {
  const failing = () => Promise.reject(new Error('device lost'))
  await expect(measurePairs({ n: 1, a: () => 1, b: failing })).rejects.toThrow('device lost')
})

test('no pairs are refused', async () => {
  await expect(measurePairs({ n: 0, a: () => 1, b: () => 1 })).rejects.toThrow(RangeError)
})
