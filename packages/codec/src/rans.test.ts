import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BitReader, packBits } from './bit-stream.ts'
import { CorruptBlockError } from './errors.ts'
import { type FrequencyTable, tableFromCounts } from './frequency-table.ts'
import { decodeSymbols, encodeSymbols } from './rans.ts'

const tables: readonly FrequencyTable[] = [
  tableFromCounts([1]),
  tableFromCounts([0, 1000, 3]),
  tableFromCounts(Array.from({ length: 200 }, (_, index) => index)),
]

const anyRows = fc
  .tuple(fc.array(fc.nat(2), { minLength: 1, maxLength: 5 }), fc.array(fc.nat(199), { maxLength: 300 }))
  .map(([columns, numbers]) => {
    const own = columns.map((table) => tables[table]!)
    const symbols = Uint8Array.from(
      numbers,
      (number, index) => number % own[index % own.length]!.frequencies.length,
    )
    return { own, symbols }
  })

describe('the entropy coder', () => {
  test('gives back any symbols', () => {
    fc.assert(
      fc.property(anyRows, ({ own, symbols }) => {
        expect(decodeSymbols(encodeSymbols(symbols, own), own, symbols.length)).toEqual(symbols)
      }),
    )
  })

  test('takes hardly more than the information in them', () => {
    const table = tableFromCounts([900, 50, 30, 20])
    const symbols = Uint8Array.from({ length: 20_000 }, (_, index) => {
      const place = (index * 7919) % 1000
      return place < 900 ? 0 : place < 950 ? 1 : place < 980 ? 2 : 3
    })
    const bits = symbols.reduce((sum, symbol) => sum - Math.log2(table.frequencies[symbol]! / 4096), 0)
    expect(encodeSymbols(symbols, [table]).length).toBeLessThan((1.001 * bits) / 8 + 8)
  })

  test('refuses what is cut, longer or begins with no state', () => {
    const symbols = Uint8Array.from({ length: 200 }, (_, index) => index)
    const bytes = encodeSymbols(symbols, [tables[2]!])
    for (const wrong of [
      ...[bytes.subarray(0, -1), bytes.subarray(0, -2), bytes.subarray(0, 6)],
      ...[Uint8Array.of(...bytes, 0, 0), bytes.with(3, 128)],
    ])
      expect(() => decodeSymbols(wrong, [tables[2]!], 200)).toThrow(CorruptBlockError)
  })
})

describe('bits', () => {
  const anyNumbers = fc.array(
    fc.tuple(fc.nat(65_535), fc.nat(16)).map(([value, width]) => [value % 2 ** width, width] as const),
  )

  test('come back in order', () => {
    fc.assert(
      fc.property(anyNumbers, (numbers) => {
        const bytes = packBits(
          Uint16Array.from(numbers, ([value]) => value),
          Uint8Array.from(numbers, ([, width]) => width),
        )
        expect(bytes.length).toBe(Math.ceil(numbers.reduce((sum, [, width]) => sum + width, 0) / 8))
        const reader = new BitReader(bytes)
        for (const [value, width] of numbers) expect(reader.get(width)).toBe(value)
        reader.finish()
      }),
    )
  })

  test('that were not all read, or read beyond the end, or are not 0 after it, are found', () => {
    const finish = (bytes: Uint8Array, width: number) => () => {
      const reader = new BitReader(bytes)
      reader.get(width)
      reader.finish()
    }
    expect(finish(Uint8Array.of(7), 3)).not.toThrow()
    expect(finish(Uint8Array.of(7), 2)).toThrow(CorruptBlockError)
    expect(finish(Uint8Array.of(7, 0), 3)).toThrow(CorruptBlockError)
    expect(finish(Uint8Array.of(7), 9)).toThrow(CorruptBlockError)
    expect(finish(new Uint8Array(0), 1)).toThrow(CorruptBlockError)
  })
})
