import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { loadTokenizer } from './load.ts'
import { StreamingDetokenizer } from './streaming-detokenizer.ts'
import { embeddedTokenizer, FIRST_PIECE, ggufSource, sentencePieceMetadata } from './test-tokenizers.ts'
import type { Tokenizer } from './tokenizer.ts'

function stream(tokenizer: Tokenizer, ids: readonly number[], continuesText: boolean): string[] {
  const detokenizer = new StreamingDetokenizer(tokenizer, { skipSpecial: false, continuesText })
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()]
}

const pieces = ['▁', 'a', 'b', '▁a', 'ab', 'é', '▁▁']

describe.each([
  ['byte-level', embeddedTokenizer],
  ['SentencePiece', () => loadTokenizer(ggufSource(sentencePieceMetadata(pieces)))],
])('%s tokens', (_, load) => {
  let tokenizer: Tokenizer
  beforeAll(async () => {
    tokenizer = await load()
  })

  test('one by one give what they give at once, in whole characters', () => {
    // Mostly single bytes, the hard case.
    const id = fc.oneof(
      { weight: 3, arbitrary: fc.nat({ max: 258 }) },
      fc.nat({ max: tokenizer.vocabSize - 1 }),
    )
    fc.assert(
      fc.property(fc.array(id, { maxLength: 80 }), (ids) => {
        const parts = stream(tokenizer, ids, false)
        expect(parts.join('')).toBe(tokenizer.decode(ids))
        for (const part of parts) expect(part).not.toMatch(/\p{Surrogate}/u)
      }),
      { numRuns: 500 },
    )
  })

  test('a character cut into bytes comes out when it is whole', () => {
    const euro = [0xe2, 0x82, 0xac].map((byte) => idOfByte(tokenizer, byte))
    expect(stream(tokenizer, euro, true)).toEqual(['', '', '€', ''])
    // The third byte cannot end the character, and says so at once.
    expect(stream(tokenizer, [...euro.slice(0, 2), idOfByte(tokenizer, 0x41)], true)).toEqual([
      '',
      '',
      '\ufffdA',
      '',
    ])
    expect(stream(tokenizer, euro.slice(0, 2), true)).toEqual(['', '', '\ufffd'])
  })
})

test('control tokens are left out unless asked for, even amid a character', async () => {
  const tokenizer = await embeddedTokenizer()
  const detokenizer = new StreamingDetokenizer(tokenizer)
  const ids = [0xe2, 0x82, 0xac].map((byte) => idOfByte(tokenizer, byte))
  expect([ids[0]!, 0, ids[1]!, ids[2]!].map((id) => detokenizer.push(id)).join('')).toBe('€')
})

test('control tokens that are named are shown', async () => {
  const tokenizer = await embeddedTokenizer()
  const end = tokenizer.tokenText(0)!
  const shown = (visible: readonly string[]) => new StreamingDetokenizer(tokenizer, { visible }).push(0)
  expect(tokenizer.isSpecial(0)).toBe(true)
  expect([shown([end]), shown(['other']), shown([])]).toEqual([end, '', ''])
})

test('the space SentencePiece puts before a text is dropped at its start only', async () => {
  const tokenizer = await loadTokenizer(ggufSource(sentencePieceMetadata(pieces)))
  const spaceA = FIRST_PIECE + 3
  expect(stream(tokenizer, [spaceA, spaceA], false).join('')).toBe('a a')
  expect(stream(tokenizer, [spaceA, spaceA], true).join('')).toBe(' a a')
  expect(tokenizer.decode(tokenizer.encode('a a'))).toBe('a a')
  expect(tokenizer.decode(tokenizer.encode(' a'))).toBe(' a')
})

function idOfByte(tokenizer: Tokenizer, byte: number): number {
  for (let id = 0; id < tokenizer.vocabSize; id += 1) {
    const bytes = tokenizer.tokenBytes(id)
    if (bytes.length === 1 && bytes[0] === byte) return id
  }
  throw new Error(`No token writes the byte ${byte}.`)
}
