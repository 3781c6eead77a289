import { expect, test } from 'vitest'
import { gumbelNoise, NOISE_BLOCK, NoiseSource } from './noise.ts'
import { threefry2x32 } from './threefry.ts'

// Random123's tests/kat_vectors, "threefry2x32 20".
test.each([
  { counter: [0, 0], key: [0, 0], words: [0x6b200159, 0x99ba4efe] },
  {
    counter: [0xffffffff, 0xffffffff],
    key: [0xffffffff, 0xffffffff],
    words: [0x1cb996fc, 0xbb002be7],
  },
  {
    counter: [0x243f6a88, 0x85a308d3],
    key: [0x13198a2e, 0x03707344],
    words: [0xc4923a9c, 0x483df7a0],
  },
])('threefry2x32() gives the known answer for counter $counter', ({ counter, key, words }) => {
  const out = new Uint32Array(2)
  threefry2x32(key[0]!, key[1]!, counter[0]!, counter[1]!, out)
  expect([...out]).toEqual(words)
})

const EULER = 0.5772156649015329

test('Gumbel values of 64,000 tokens have the mean and variance of the Gumbel distribution', () => {
  const values = noiseOf('7', 3, 64_000)
  const mean = average(values)
  const variance = average(values.map((value) => (value - mean) ** 2))
  // Standard errors: sqrt(π²/6 / 64000) = 0.005 and about 0.015.
  expect(Math.abs(mean - EULER)).toBeLessThan(0.025)
  expect(Math.abs(variance - Math.PI ** 2 / 6)).toBeLessThan(0.08)
})

test('tokens of one block are as independent as any: their pairs do not correlate', () => {
  const values = noiseOf('11', 0, 128_000).map((value) => Math.exp(-Math.exp(-value)) - 0.5)
  for (const distance of [1, 7, 32, 63, 64]) {
    const products = values.slice(0, -distance).map((value, i) => value * values[i + distance]!)
    // Standard error of the mean product of uniforms: 1/12 / sqrt(128000) = 0.00023.
    expect(Math.abs(average(products))).toBeLessThan(0.0012)
  }
})

test('the bound of a block is the largest value in it', () => {
  const noise = new NoiseSource('18446744073709551615')
  for (let block = 0; block < 200; block += 1) {
    const bound = noise.openBlock(5, block)
    const values = Array.from({ length: NOISE_BLOCK }, (_, i) => noise.gumbel(block * NOISE_BLOCK + i))
    expect(Math.max(...values)).toBe(bound)
  }
})

test('noise differs between seeds, positions and tokens, in both halves of the seed', () => {
  const values = [
    gumbelNoise('1', 0, 0),
    gumbelNoise('2', 0, 0),
    gumbelNoise('4294967297', 0, 0),
    gumbelNoise('1', 1, 0),
    gumbelNoise('1', 0, 1),
    gumbelNoise('1', 0, 64),
  ]
  expect(new Set(values).size).toBe(values.length)
})

test.each(['', '-1', '1.5', 'abc', '18446744073709551616'])('seed "%s" is refused', (seed) => {
  expect(() => new NoiseSource(seed)).toThrow(RangeError)
})

function noiseOf(seed: string, position: number, count: number): number[] {
  return Array.from({ length: count }, (_, token) => gumbelNoise(seed, position, token))
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
