import { expect, test } from 'vitest'
import { hadamardSize, turnHadamard } from './groups.ts'

test('runs of any power of two are turned by the Walsh–Hadamard matrix', () => {
  for (const size of [1, 2, 4, 8, 16, 32, 64]) {
    const values = Float32Array.from({ length: 2 * size }, (_, index) => Math.sin(index + 1))
    const turned = values.slice()
    turnHadamard(turned, size)
    for (let row = 0; row < size; row += 1) {
      let sum = 0
      for (let column = 0; column < size; column += 1) {
        const ones = (row & column).toString(2).replaceAll('0', '').length
        sum += (ones % 2 === 0 ? 1 : -1) * values[size + column]!
      }
      expect(turned[size + row]).toBeCloseTo(sum / Math.sqrt(size), 5)
    }
    turnHadamard(turned, size)
    for (const [index, value] of values.entries()) expect(turned[index]).toBeCloseTo(value, 5)
  }
  expect([1, 6, 64, 96, 128].map(hadamardSize)).toEqual([1, 2, 64, 32, 64])
})
