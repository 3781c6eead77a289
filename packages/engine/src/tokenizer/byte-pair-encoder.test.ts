import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BytePairEncoder } from './byte-pair-encoder.ts'
import { MergeTable } from './merge-table.ts'
import { TokenBuffer } from './token-buffer.ts'

interface Merge {
  readonly left: number
  readonly right: number
  readonly result: number
}

/** Looks at all pairs before each merge. */
function naiveEncode(symbols: readonly number[], merges: readonly Merge[]): number[] {
  const ids = [...symbols]
  for (;;) {
    let best = { rank: merges.length, at: -1 }
    for (let at = 0; at + 1 < ids.length; at += 1) {
      const rank = merges.findIndex(({ left, right }) => left === ids[at] && right === ids[at + 1])
      if (rank >= 0 && rank < best.rank) best = { rank, at }
    }
    if (best.at < 0) return ids
    ids.splice(best.at, 2, merges[best.rank]!.result)
  }
}

test('merges as looking at every pair every time does', () => {
  // Letters a–c are tokens 0–2; each merge makes a new token of two tokens before it.
  const drawnMerges = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 }).map((pairs) => {
    const merges: Merge[] = []
    for (const [left, right] of pairs) {
      const known = 3 + merges.length
      const merge = { left: left % known, right: right % known, result: known }
      const isNew = !merges.some((other) => other.left === merge.left && other.right === merge.right)
      if (isNew) merges.push(merge)
    }
    return merges
  })
  fc.assert(
    fc.property(drawnMerges, fc.array(fc.nat({ max: 2 }), { maxLength: 60 }), (merges, symbols) => {
      const table = new MergeTable(merges.length)
      for (const [rank, { left, right, result }] of merges.entries()) table.add(left, right, rank, result)
      const characters = new Map([
        [0x61, 0],
        [0x62, 1],
        [0x63, 2],
      ])
      const rules = { characters, bytes: null, unknown: null, fuseUnknown: false, wholeWords: null }
      const encoder = new BytePairEncoder(rules, table)
      const word = symbols.map((symbol) => 'abc'.charAt(symbol)).join('')
      for (let time = 0; time < 2; time += 1) {
        const out = new TokenBuffer()
        encoder.encodeWord(word, out)
        expect([...out.slice()]).toEqual(naiveEncode(symbols, merges))
      }
    }),
    { numRuns: 500 },
  )
})

test('characters without a token become their bytes, or the unknown token, or nothing', () => {
  const encode = (changes: object, word: string) => {
    const rules = {
      characters: new Map([[0x61, 7]]),
      bytes: null,
      unknown: null,
      fuseUnknown: false,
      wholeWords: null,
    }
    const out = new TokenBuffer()
    new BytePairEncoder({ ...rules, ...changes }, new MergeTable(0)).encodeWord(word, out)
    return [...out.slice()]
  }
  const bytes = Int32Array.from({ length: 256 }, (_, byte) => 1000 + byte)
  expect(encode({ bytes }, 'a€a')).toEqual([7, 1000 + 0xe2, 1000 + 0x82, 1000 + 0xac, 7])
  expect(encode({ unknown: 5 }, 'a€😀a')).toEqual([7, 5, 5, 7])
  expect(encode({ unknown: 5, fuseUnknown: true }, 'a€😀a')).toEqual([7, 5, 7])
  expect(encode({}, 'a€a')).toEqual([7, 7])
})
