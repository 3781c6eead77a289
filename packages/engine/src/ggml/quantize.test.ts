import { expect, test } from 'vitest'
import { dequantizeRows, quantizeRows } from './quantize.ts'
import type { TensorType } from './tensor-type.ts'

const wave = (n: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.37) * 2)

test.each<[TensorType, number]>([
  ['F32', 0],
  ['F16', 1e-3],
  ['BF16', 1e-2],
  ['Q8_0', 1e-2],
  ['Q4_0', 0.25],
  ['Q4_K', 0.2],
  ['Q5_K', 0.07],
  ['Q6_K', 0.04],
])('%s keeps values within %f of what was stored', (type, tolerance) => {
  const values = wave(1024)
  const restored = dequantizeRows(type, quantizeRows(type, values, 512), 512)
  const worst = values.reduce((most, value, i) => Math.max(most, Math.abs(value - restored[i]!)), 0)
  expect(worst).toBeLessThanOrEqual(tolerance)
})

test('rows must be whole blocks', () => {
  expect(() => quantizeRows('Q4_K', wave(300), 300)).toThrow(/blocks of 256/)
  expect(() => quantizeRows('F32', wave(300), 299)).toThrow(/whole rows/)
})
