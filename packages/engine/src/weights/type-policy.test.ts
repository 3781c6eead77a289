import { expect, test } from 'vitest'
import { isWeightType, targetType, typeFallback } from './type-policy.ts'

const matrix = (columns: number) => ({
  name: 'blk.0.ffn_up.weight',
  type: 'BF16' as const,
  shape: [columns, 8],
})

test.each([
  ['Q4_K', 512, 'Q4_K'],
  ['Q4_K', 288, 'Q5_0'],
  ['Q5_K', 288, 'Q5_1'],
  ['Q6_K', 288, 'Q8_0'],
  ['Q3_K', 288, 'Q4_0'],
  ['Q2_K', 288, 'Q4_0'],
  ['Q4_K', 100, 'F16'],
  ['Q8_0', 100, 'F16'],
  ['F16', 100, 'F16'],
  ['native', 100, 'BF16'],
] as const)('%s for rows of %i elements is %s', (wanted, columns, used) => {
  expect(targetType(matrix(columns), wanted)).toBe(used)
  const fallback =
    used === wanted || wanted === 'native' ? null : { tensor: matrix(1).name, wanted, used, columns }
  expect(typeFallback(matrix(columns), wanted)).toEqual(fallback)
})

test('vectors stay F32 whatever is asked, without counting as a fallback', () => {
  const norm = { name: 'blk.0.attn_norm.weight', type: 'BF16' as const, shape: [64] }
  for (const wanted of ['Q4_K', 'F16', 'native'] as const) {
    expect(targetType(norm, wanted)).toBe('F32')
    expect(typeFallback(norm, wanted)).toBeNull()
  }
})

test('isWeightType()', () => {
  expect(isWeightType('Q6_K')).toBe(true)
  expect(isWeightType('I32')).toBe(false)
})
