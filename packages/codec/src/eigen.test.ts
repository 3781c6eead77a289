import fc from 'fast-check'
import { expect, test } from 'vitest'
import { symmetricEigen } from './eigen.ts'

test('vectors are orthonormal and build the matrix again', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 144, maxLength: 144 }),
      (size, numbers) => {
        const matrix = new Float64Array(size * size)
        for (let i = 0; i < size; i += 1)
          for (let j = 0; j <= i; j += 1) {
            matrix[i * size + j] = numbers[i * 12 + j]!
            matrix[j * size + i] = numbers[i * 12 + j]!
          }
        const { values, vectors } = symmetricEigen(matrix, size)
        for (let i = 0; i < size; i += 1) {
          for (let j = 0; j < size; j += 1) {
            let built = 0
            let dot = 0
            for (let k = 0; k < size; k += 1) {
              built += values[k]! * vectors[k * size + i]! * vectors[k * size + j]!
              dot += vectors[i * size + k]! * vectors[j * size + k]!
            }
            expect(built).toBeCloseTo(matrix[i * size + j]!, 8)
            expect(dot).toBeCloseTo(i === j ? 1 : 0, 8)
          }
        }
        expect([...values]).toEqual([...values].sort((a, b) => b - a))
      },
    ),
  )
})

test('a matrix known by hand', () => {
  const { values } = symmetricEigen(Float64Array.from([2, 1, 0, 1, 2, 1, 0, 1, 2]), 3)
  for (const [index, value] of [2 + Math.SQRT2, 2, 2 - Math.SQRT2].entries())
    expect(values[index]).toBeCloseTo(value, 12)
})

test.each([1.5717277847026288e-162, 1e-300, 5e-324, 1e300])(
  'elements of %d, whose squares leave the range of numbers, leave vectors orthonormal',
  (tiny) => {
    const matrix = Float64Array.from([0, tiny, tiny, tiny, 0, tiny, tiny, tiny, 1])
    const { values, vectors } = symmetricEigen(matrix, 3)
    for (const row of [0, 3, 6])
      for (const other of [0, 3, 6]) {
        let dot = 0
        for (let k = 0; k < 3; k += 1) dot += vectors[row + k]! * vectors[other + k]!
        expect(dot).toBeCloseTo(row === other ? 1 : 0, 8)
      }
    expect(values.every(Number.isFinite)).toBe(true)
  },
)
