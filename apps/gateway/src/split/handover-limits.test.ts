import { expect, test } from 'vitest'
import { largestBlockBytes, MAX_BLOCK_BYTES } from './handover-limits.ts'

const stage = (type: string, columns: number, layers = 4) => ({
  kv: { type, columns: columns * layers },
  layers: [8, 8 + layers] as const,
})

test.each([
  ['the embedded model', 128, [stage('F16', 2 * 128)], MAX_BLOCK_BYTES],
  ['a stage that does not say', 128, [{ kv: null, layers: [0, 4] as const }], MAX_BLOCK_BYTES],
  // Llama 2 13B has 40 heads of 128 for keys, and as many for values.
  ['a model without grouped heads', 128, [stage('F16', 2 * 5120)], 128 * 2 * 5120 * 2 + 64],
  ['floats', 128, [stage('F16', 2 * 1024), stage('F32', 2 * 1024)], 128 * 2 * 1024 * 4 + 64],
  ['long blocks', 4096, [stage('F16', 2 * 1024)], 4096 * 2 * 1024 * 2 + 64],
  ['what no frame carries', 4096, [stage('F32', 2 * 5120)], 32 * 2 ** 20],
])('blocks of %s may have as many bytes as they need', (_, blockTokens, reports, expected) => {
  expect(largestBlockBytes(blockTokens, MAX_BLOCK_BYTES, reports)).toBe(expected)
})
