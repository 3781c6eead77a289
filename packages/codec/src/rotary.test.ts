import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodecInputError } from './errors.ts'
import { exactRotation, rotaryOfLayouts, rotateKeys } from './rotary.ts'

const rotation = { first: 2, pairs: 'halves' as const, frequencies: [1, 0.25], magnitude: 1.5 }
const layout = {
  ...{ key: { heads: 2, dim: 8 }, value: { heads: 2, dim: 8 } },
  ...{ valueDimsInKey: 0, rotation, reach: null },
}

describe('keys', () => {
  const rotary = rotaryOfLayouts([layout, { ...layout, rotation: null }])

  test('turn as their layout says, from its first turned dimension on, and are stretched', () => {
    const keys = Float32Array.from({ length: 16 }, (_, channel) => channel + 1)
    rotateKeys(keys, [3], rotary(0)!, 'rotate')
    for (const head of [0, 8]) {
      const [x, y] = [head + 4, head + 6]
      expect(keys[head + 3]).toBeCloseTo(1.5 * (x * Math.cos(0.75) - y * Math.sin(0.75)), 4)
      expect(keys[head + 5]).toBeCloseTo(1.5 * (x * Math.sin(0.75) + y * Math.cos(0.75)), 4)
      expect([keys[head], keys[head + 7]]).toEqual([head + 1, head + 8])
    }
    expect(rotary(1)).toBeNull()
  })

  test('come back when turned back', () => {
    fc.assert(
      fc.property(
        fc.nat(1_000_000),
        fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 16, maxLength: 16 }),
        (position, values) => {
          const keys = Float32Array.from(values)
          rotateKeys(keys, [position], rotary(0)!, 'rotate')
          rotateKeys(keys, [position], rotary(0)!, 'unrotate')
          for (const [index, value] of values.entries()) expect(keys[index]).toBeCloseTo(value, 4)
        },
      ),
    )
  })

  test('of a layer no one described, or in heads too narrow, are refused', () => {
    expect(() => rotary(2)).toThrow(CodecInputError)
    const narrow = rotaryOfLayouts([{ ...layout, key: { heads: 2, dim: 4 } }])(0)!
    expect(() => rotateKeys(new Float32Array(8), [0], narrow, 'rotate')).toThrow(/do not fit/)
  })
})

test('our own cosine and sine are those of the library, nearly', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 2 ** 20, noNaN: true }), (angle) => {
      const both = new Float64Array(2)
      exactRotation(angle, both)
      expect(both[0]).toBeCloseTo(Math.cos(angle), 8)
      expect(both[1]).toBeCloseTo(Math.sin(angle), 8)
    }),
  )
})
