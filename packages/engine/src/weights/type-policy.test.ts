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

test.each([
  ['norms', 'attn_norm.weight', [64]],
  ['attention sinks', 'attn_sinks.weight', [64]],
  ['routers', 'ffn_gate_inp.weight', [64, 8]],
  ['biases of experts', 'ffn_gate_exps.bias', [64, 8]],
] as const)('%s stay F32 whatever is asked, without counting as a fallback', (_, name, shape) => {
  const tensor = { name: `blk.0.${name}`, type: 'BF16' as const, shape }
  for (const wanted of ['Q4_K', 'F16', 'native'] as const) {
    expect(targetType(tensor, wanted)).toBe('F32')
    expect(typeFallback(tensor, wanted)).toBeNull()
  }
})

test('experts get the type asked for', () => {
  const experts = { name: 'blk.0.ffn_gate_exps.weight', type: 'MXFP4' as const, shape: [256, 64, 8] }
  expect(targetType(experts, 'Q4_K')).toBe('Q4_K')
  expect(targetType(experts, 'native')).toBe('MXFP4')
})

test('isWeightType()', () => {
  expect(isWeightType('Q6_K')).toBe(true)
  expect(isWeightType('I32')).toBe(false)
})
