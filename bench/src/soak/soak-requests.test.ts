import { expect, test } from 'vitest'
import { SoakRequests } from './soak-requests.ts'

const text = 'The quick brown fox jumps over the lazy dog. '.repeat(100)
const draw = (seed: number) => {
  const requests = new SoakRequests(text, seed)
  return Array.from({ length: 400 }, () => requests.next())
}

test('a seed draws the same requests again, another seed draws others', () => {
  expect(draw(1)).toEqual(draw(1))
  expect(draw(2)).not.toEqual(draw(1))
})

test('every kind comes up, prompts are never empty and often begin alike', () => {
  const requests = draw(3)
  expect(new Set(requests.map(({ kind }) => kind)).size).toBe(5)
  expect(requests.every(({ prompt }) => prompt.length > 0)).toBe(true)
  const beginnings = requests.map(({ prompt }) => prompt.slice(0, 40))
  expect(new Set(beginnings).size).toBeLessThan(beginnings.length * 0.8)
})
