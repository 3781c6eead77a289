import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Workload, workloads } from './workload.ts'

const ids = { first: 100, end: 1000 }
const workload = (seed = 1) => new Workload(ids, seed)
const common = (a: readonly number[], b: readonly number[]) => {
  const differs = a.findIndex((token, index) => token !== b[index])
  return differs === -1 ? a.length : differs
}

test('a seed gives the same requests again, another seed others', () => {
  expect(workload(7).mixed(20)).toEqual(workload(7).mixed(20))
  expect(workload(7).mixed(20)).not.toEqual(workload(8).mixed(20))
})

test('requests hold to their spans, whatever the seed', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 0, max: 70 }), (seed, count) => {
      const { mixed } = workloads
      const requests = workload(seed).mixed(count)
      expect(requests).toHaveLength(count)
      for (const { prompt, maxTokens } of requests) {
        expect(prompt.length).toBeGreaterThanOrEqual(mixed.shortTokens[0])
        expect(prompt.length).toBeLessThanOrEqual(mixed.longTokens[1] + mixed.prefixTokens)
        expect(prompt.every((token) => token >= ids.first && token < ids.end)).toBe(true)
        expect(maxTokens).toBeGreaterThanOrEqual(mixed.outputTokens[0])
        expect(maxTokens).toBeLessThanOrEqual(mixed.outputTokens[1])
      }
    }),
  )
})

test('long prompts and shared prefixes have their shares, even among few requests', () => {
  const { mixed } = workloads
  for (const count of [1, 4, 64]) {
    const prompts = workload()
      .mixed(count)
      .map(({ prompt }) => prompt)
    const long = prompts.filter(({ length }) => length >= mixed.longTokens[0]).length
    expect(long).toBe(Math.ceil(count * mixed.longShare))
  }
  const heads = new Map<string, number>()
  for (const { prompt } of workload().mixed(64)) {
    const head = prompt.slice(0, mixed.prefixTokens).join()
    heads.set(head, (heads.get(head) ?? 0) + 1)
  }
  const sharedHeads = [...heads.values()].filter((count) => count > 1)
  expect(sharedHeads).toHaveLength(mixed.prefixes)
  expect(sharedHeads.reduce((sum, count) => sum + count, 0)).toBe(64 * mixed.prefixedShare)
})

test('the shared-prefix workload shares its prefix and nothing else', () => {
  const [a, b] = workload().sharedPrefix(2)
  expect(common(a!.prompt, b!.prompt)).toBe(workloads.shared.prefixTokens)
  expect(a!.maxTokens).toBe(b!.maxTokens)
})

test('pairSharing() shares exactly what it says', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 2, max: 300 }), (seed, length) => {
      // Two ids only: chance would make prompts share more than they should.
      const [cold, warm] = new Workload({ first: 5, end: 7 }, seed).pairSharing(length, 0.9)
      expect(cold).toHaveLength(length)
      expect(warm).toHaveLength(length)
      expect(common(cold, warm)).toBe(Math.round(0.9 * length))
      expect(warm.every((token) => token === 5 || token === 6)).toBe(true)
    }),
  )
})

test('no token ids are refused', () => {
  expect(() => new Workload({ first: 5, end: 5 }, 1)).toThrow(RangeError)
  expect(() => new Workload({ first: -1, end: 5 }, 1)).toThrow('-1')
})
