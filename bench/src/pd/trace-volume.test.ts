import fc from 'fast-check'
import { expect, test } from 'vitest'
import { playTrace, type VolumeSettings } from './trace-volume.ts'

const settings: VolumeSettings = {
  ...{ kvBytesPerToken: 1_000, layers: 2, ratio: 4, cacheBytes: 1e9 },
  rates: {
    ...{ hereMsPerToken: 1, thereMsPerToken: 0.1, thereStartMs: 50, takeOverMs: 50 },
    ...{ bytesPerSecond: 1e7, rttMs: 20 },
  },
}
/** Block's frames, and what goes to the ring that computes. */
const overhead = (pieces: number, tokens: number, blocks: number) => pieces * 160 + tokens * 4 + blocks * 32

test('one prompt twice: the first travels encoded, of the second only what no block holds', () => {
  const prompt = { tokens: 1_100, blocks: [1, 2, 3] }
  const parts = playTrace([prompt, prompt], settings)
  const sent = (1_100 * 1_000) / 4 + overhead(3 * 2 * 2, 1_100, 3)
  expect(parts).toMatchObject({ requests: 2, splitRequests: 1, baselineBytes: 2_200_000 })
  expect(parts.sentBytes).toBeCloseTo(sent, 6)
  expect(parts.reuseBytes).toBe(1_024_000)
  // 76 positions are computed here before the other ring has begun.
  expect(parts.routingBytes).toBe(76_000)
  expect(parts.codecBytes).toBeCloseTo(1_100_000 - sent, 6)
})

test('over a way that is too slow tokens are used, not keys and values', () => {
  const slow = { ...settings, rates: { ...settings.rates, bytesPerSecond: 1e5 } }
  const parts = playTrace([{ tokens: 1_100, blocks: [1, 2, 3] }], slow)
  expect(parts).toMatchObject({ splitRequests: 0, recomputeBytes: 1_100_000, sentBytes: 0 })
})

test('a cache too small for anything is none', () => {
  const prompt = { tokens: 1_024, blocks: [1, 2] }
  const parts = playTrace([prompt, prompt], { ...settings, cacheBytes: 100 })
  expect(parts).toMatchObject({ splitRequests: 2, reuseBytes: 0, evictedBlocks: 0 })
})

test('parts add up to the baseline, whatever the trace', () => {
  const request = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 6 }).chain((blocks) =>
    fc.record({
      blocks: fc.constant(blocks),
      tokens: fc.integer({ min: (blocks.length - 1) * 512 + 1, max: blocks.length * 512 }),
    }),
  )
  fc.assert(
    fc.property(
      fc.array(request, { maxLength: 30 }),
      fc.integer({ min: 1, max: 3_000_000 }),
      (trace, cacheBytes) => {
        const parts = playTrace(trace, { ...settings, cacheBytes })
        const { reuseBytes, routingBytes, recomputeBytes, codecBytes, sentBytes } = parts
        const all = reuseBytes + routingBytes + recomputeBytes + codecBytes + sentBytes
        expect(all).toBeCloseTo(parts.baselineBytes, 3)
      },
    ),
  )
})
