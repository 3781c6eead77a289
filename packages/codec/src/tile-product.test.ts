import fc from 'fast-check'
import { expect, test } from 'vitest'
import { multiplyTransposed } from './projection.ts'
import { plainTiles, simdTiles } from './tile-product.ts'

test('four at a time gives the very bits of one at a time', () => {
  const simd = simdTiles()
  if (simd === null) throw new Error('This machine has no SIMD in WebAssembly: nothing was compared.')
  fc.assert(
    fc.property(
      ...[fc.nat(40), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 }), fc.nat(3)],
      (inner, rowTiles, columnTiles, skipped) => {
        const [left, right] = [4 * (skipped + rowTiles * inner), 8 * columnTiles * inner]
        const spaces = [simd, plainTiles].map((reserve) => {
          const space = reserve(left, right, 32 * rowTiles * columnTiles)
          for (let index = 0; index < left; index += 1) space.left[index] = Math.sin(index) / 3
          for (let index = 0; index < right; index += 1) space.right[index] = 1e3 * Math.cos(3 * index)
          space.multiply(4 * skipped, inner, rowTiles, columnTiles)
          return Array.from(space.result)
        })
        expect(spaces[0]).toEqual(spaces[1])
      },
    ),
  )
})

test('memory grows, and products larger than a panel are whole', () => {
  const [inner, rows, columns] = [700, 300, 250]
  const left = Float32Array.from({ length: rows * inner }, (_, index) => Math.sin(index + 1))
  const right = Float32Array.from({ length: columns * inner }, (_, index) => Math.cos(3 * index))
  const result = multiplyTransposed(left, right, inner)
  for (const [row, column] of [
    ...[
      [0, 0],
      [127, 186],
      [128, 187],
    ],
    ...[
      [299, 249],
      [131, 248],
    ],
  ] as const) {
    let sum = 0
    for (let k = 0; k < inner; k += 1) sum += left[row! * inner + k]! * right[column! * inner + k]!
    expect(result[row! * columns + column!]).toBeCloseTo(sum, 3)
  }
})
