import { expect, test } from 'vitest'
import { OutputLengths } from './output-lengths.ts'

const trained = (tenant: string, lengths: readonly number[]): OutputLengths => {
  const outputs = new OutputLengths()
  for (const length of lengths) outputs.record(tenant, length)
  return outputs
}

test('without experience the limit is expected', () => {
  expect(new OutputLengths().expectRemaining('a', 10, 100)).toBe(90)
})

test('the mean of what was seen, and of one that goes to the limit', () => {
  // (10 + 20 + 30 + 100) / 4
  expect(trained('a', [20, 10, 30]).expectRemaining('a', 0, 100)).toBe(40)
})

test('who has outlived the short ones is compared with the long ones', () => {
  const outputs = trained('a', [5, 5, 5, 5, 5, 5, 105, 105])
  // (2 × 100 + 200) / 3
  expect(outputs.expectRemaining('a', 5, 205)).toBe(134)
  expect(outputs.expectRemaining('a', 105, 205)).toBe(100)
})

test('never more than is left, never less than one', () => {
  expect(trained('a', new Array(50).fill(500)).expectRemaining('a', 0, 20)).toBe(20)
  expect(trained('a', new Array(200).fill(1)).expectRemaining('a', 0, 1)).toBe(1)
})

test('a tenant with enough of its own is not judged by the others', () => {
  const outputs = trained('short', new Array(100).fill(10))
  for (let count = 0; count < 7; count++) outputs.record('long', 1_000)
  const mixed = outputs.expectRemaining('long', 0, 2_000)
  outputs.record('long', 1_000)
  expect(mixed).toBeLessThan(150)
  expect(outputs.expectRemaining('long', 0, 2_000)).toBeGreaterThan(1_000)
})

test('old outputs are forgotten', () => {
  const outputs = trained('a', new Array(128).fill(1_000))
  for (let count = 0; count < 128; count++) outputs.record('a', 10)
  expect(outputs.expectRemaining('a', 0, 1_000)).toBeLessThan(20)
})
