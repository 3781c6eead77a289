import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { ModelFileError, UnsupportedModelError } from '../weights/errors.ts'
import { TextTooLongError } from './errors.ts'
import { byteLevelDefinition, definitionOf, embeddedModel, embeddedTokenizer } from './test-tokenizers.ts'
import { MAX_TEXT_LENGTH, Tokenizer } from './tokenizer.ts'

/** Any text without half characters. */
const anyText = fc.string({ unit: 'binary', maxLength: 200 })

describe('the embedded tokenizer', () => {
  let tokenizer: Tokenizer
  beforeAll(async () => {
    tokenizer = await embeddedTokenizer()
  })

  test('gives the ids of the independent reference', () => {
    const reference = JSON.parse(readFileSync(join(embeddedModel, 'reference.json'), 'utf8')) as {
      cases: { prompt: string; ids: number[] }[]
    }
    expect(reference.cases).toHaveLength(8)
    for (const { prompt, ids } of reference.cases) expect([...tokenizer.encode(prompt)]).toEqual(ids)
  })

  test('decodes what it encoded', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
      }),
      { numRuns: 300 },
    )
  })

  test('writes half a character as U+FFFD', () => {
    expect(tokenizer.decode(tokenizer.encode('a\ud83d!'))).toBe('a\ufffd!')
  })

  test('reads a control token only where the caller allows it', () => {
    expect([...tokenizer.encode('<|end|>', { parseSpecial: true })]).toEqual([0])
    const plain = tokenizer.encode('a<|end|>b')
    expect([...plain]).not.toContain(0)
    expect(tokenizer.decode(plain)).toBe('a<|end|>b')
  })

  test('never makes a control token out of plain text', () => {
    const pieces = fc.array(fc.constantFrom('<|', 'end', '|>', '<|end|>', ' ', 'x'), { maxLength: 8 })
    fc.assert(
      fc.property(pieces, (parts) => {
        expect([...tokenizer.encode(parts.join(''), { addSpecial: true })]).not.toContain(0)
      }),
    )
  })

  test('knows its special tokens', () => {
    expect(tokenizer).toMatchObject({ vocabSize: 4096, bosToken: 0, eosToken: 0, stopTokens: [0] })
    expect(tokenizer.isSpecial(0)).toBe(true)
    expect(tokenizer.isSpecial(1)).toBe(false)
    expect(tokenizer.tokenText(0)).toBe('<|end|>')
    expect(tokenizer.decode([593, 0, 1385])).toContain('<|end|>')
    expect(tokenizer.decode([593, 0, 1385], { skipSpecial: true })).not.toContain('<|end|>')
  })

  test('an id beyond the vocabulary writes nothing; what is no id is refused', () => {
    expect(tokenizer.tokenBytes(5000)).toHaveLength(0)
    expect(tokenizer.decode([5000])).toBe('')
    expect(() => tokenizer.tokenBytes(-1)).toThrow(RangeError)
    expect(() => tokenizer.tokenBytes(1.5)).toThrow(RangeError)
  })

  test('encodes a megabyte without a space, and refuses more than the limit', () => {
    const text = 'ab'.repeat(500_000)
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
    expect(() => tokenizer.encode('a'.repeat(MAX_TEXT_LENGTH + 1))).toThrow(TextTooLongError)
  })
})

describe('byte-level BPE', () => {
  test('writes every byte, and bytes that are no UTF-8 as U+FFFD', () => {
    const tokenizer = new Tokenizer(byteLevelDefinition([]))
    for (let byte = 0; byte < 256; byte += 1) expect([...tokenizer.tokenBytes(byte)]).toEqual([byte])
    // 0xE2 0x82 is the start of €, then a byte that ends nothing.
    expect(tokenizer.decode([0xe2, 0x82, 0x41, 0xff])).toBe('\ufffdA\ufffd')
    expect(tokenizer.decode([0xef, 0xbb, 0xbf, 0x41])).toBe('\ufeffA')
  })

  test('merges by rank, not from left to right', () => {
    const tokenizer = new Tokenizer(
      byteLevelDefinition([
        ['b', 'c'],
        ['a', 'b'],
      ]),
    )
    expect([...tokenizer.encode('abc')]).toEqual([0x61, 256])
    expect([...tokenizer.encode('ab')]).toEqual([257])
  })

  test('with ignore_merges takes a word that is a token whole, but no control token', () => {
    const merges = [
      ['b', 'c'],
      ['a', 'b'],
      ['ab', 'c'],
    ] as const
    const ignoring = (added: readonly Record<string, unknown>[]) =>
      new Tokenizer(byteLevelDefinition(merges, added, { ignore_merges: true }))
    expect([...ignoring([]).encode('abc')]).toEqual([258])
    expect([...new Tokenizer(byteLevelDefinition(merges)).encode('abc')]).toEqual([0x61, 256])
    expect([...ignoring([{ id: 258, content: 'abc' }]).encode('abc')]).toEqual([0x61, 256])
  })

  test('added tokens that are not special are read in any text', () => {
    const tokenizer = new Tokenizer(byteLevelDefinition([], [{ content: '<tool>', special: false }]))
    expect([...tokenizer.encode('a<tool>b')]).toEqual([0x61, 256, 0x62])
    expect(tokenizer.isSpecial(256)).toBe(false)
  })

  test('puts around a text what the post-processor and the settings say', () => {
    const definition = byteLevelDefinition([], [{ content: '<s>' }, { content: '</s>' }])
    const template = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: {},
    }
    const around = {
      ...definition,
      bosToken: '<s>',
      eosToken: '</s>',
      json: { ...definition.json, post_processor: template },
    }
    const encode = (changes: object) => [
      ...new Tokenizer({ ...around, ...changes }).encode('a', { addSpecial: true }),
    ]
    expect(encode({})).toEqual([256, 0x61])
    expect(encode({ addBos: false })).toEqual([0x61])
    expect(encode({ addBos: true, addEos: true })).toEqual([256, 0x61, 257])
    expect([...new Tokenizer(around).encode('a')]).toEqual([0x61])
  })

  test('a vocabulary may hold the names of JavaScript objects', () => {
    const json = JSON.parse(JSON.stringify(byteLevelDefinition([]).json)) as { model: { vocab: object } }
    json.model.vocab = JSON.parse(`{"a":0,"__proto__":1,"constructor":2}`) as object
    const tokenizer = new Tokenizer(definitionOf(json as never))
    expect(tokenizer.tokenText(1)).toBe('__proto__')
    expect(tokenizer.decode([2, 1])).toBe('constructor__proto__')
  })
})

describe('damaged and unknown files', () => {
  const json = byteLevelDefinition([['a', 'b']]).json
  const model = json.model as Record<string, unknown>
  test.each([
    ['another model', { model: { ...model, type: 'WordPiece' } }, UnsupportedModelError, 'WordPiece'],
    ['word endings', { model: { ...model, end_of_word_suffix: '</w>' } }, UnsupportedModelError, '</w>'],
    ['another decoder', { decoder: { type: 'CTC' } }, UnsupportedModelError, 'CTC'],
    ['no decoder', { decoder: null }, UnsupportedModelError, 'null'],
    ['an unknown step', { pre_tokenizer: { type: 'Magic' } }, UnsupportedModelError, 'Magic'],
    ['no vocabulary', { model: { type: 'BPE', merges: [] } }, ModelFileError, 'model.vocab'],
    ['no merges', { model: { type: 'BPE', vocab: {} } }, ModelFileError, 'model.merges'],
    ['an id that is none', { model: { ...model, vocab: { a: -1 } } }, ModelFileError, '"a" the id -1'],
    ['a merge of no pair', { model: { ...model, merges: ['ab'] } }, ModelFileError, 'merge 0'],
    ['a merge into no token', { model: { ...model, merges: ['a c'] } }, ModelFileError, '"ac"'],
    ['an added token without id', { added_tokens: [{ content: 'x' }] }, ModelFileError, 'added token 0'],
  ])('%s is refused by name', (_, changes, kind, words) => {
    const act = () => new Tokenizer(definitionOf({ ...json, ...changes }))
    expect(act).toThrow(kind)
    expect(act).toThrow(words)
    expect(act).toThrow('test/tokenizer.json')
  })

  test('a BOS token that is no token is refused', () => {
    expect(() => new Tokenizer({ ...definitionOf(json), bosToken: '<bos>' })).toThrow('"<bos>"')
  })
})
