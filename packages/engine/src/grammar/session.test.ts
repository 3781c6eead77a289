import { describe, expect, test } from 'vitest'
import { GrammarEngine } from './engine.ts'
import { GrammarLimitError } from './errors.ts'
import type { GrammarSpec } from './spec.ts'
import { seededRandom } from './testing/schemas.ts'
import { isAllowed, sampleAnswer, smallVocabulary, uniform } from './testing/walks.ts'

const further = ['"name"', '{"', '": "', '"}', 'aaaa', ' the', '[[[[', 'required', '": ', '", "']
const { vocabulary, stop } = smallVocabulary(further)
const engine = new GrammarEngine(vocabulary)
const decode = (tokens: readonly number[]) =>
  Buffer.concat(
    tokens.map((id) => vocabulary.bytes.slice(vocabulary.offsets[id], vocabulary.offsets[id + 1])),
  ).toString()
const text = (spec: GrammarSpec) => JSON.stringify(spec)

const nested: GrammarSpec = {
  type: 'json_schema',
  schema: {
    type: 'object',
    properties: { name: { type: 'string' }, children: { type: 'array', items: { $ref: '#' } } },
    required: ['name', 'children'],
  },
}
/** `{"name":"","children":[]}` */
const shortestNested = 26

describe('the limit', () => {
  test.each([shortestNested + 1, shortestNested + 2, 40, 64, 200])(
    'every answer is whole and ended by a stop token within %i tokens',
    (maxTokens) => {
      for (let seed = 0; seed < 40; seed += 1) {
        const { tokens, stopped } = sampleAnswer(engine, nested, {
          choose: uniform(seededRandom(seed)),
          maxTokens,
          stopTokens: [stop],
        })
        expect(stopped, decode(tokens)).toBe(true)
        expect(JSON.parse(decode(tokens))).toHaveProperty('children')
      }
    },
  )

  test('what fits in tokens but not in bytes is completed by longer tokens', () => {
    const required = ['required', 'name', 'aaaa']
    const schema = {
      type: 'object',
      properties: Object.fromEntries(required.map((name) => [name, { const: 'required' }])),
      required,
    }
    const shortest = { type: 'json_schema', schema } as const
    const bytes = JSON.stringify({ required: 'required', name: 'required', aaaa: 'required' }).length
    // {" required ":" required "," name ":" required "," aaaa ":" required "} with ":" and "," byte by byte
    for (const maxTokens of [22, 23, 26, 30, 40]) {
      expect(maxTokens).toBeLessThan(bytes)
      for (let seed = 0; seed < 20; seed += 1) {
        const { tokens } = sampleAnswer(engine, shortest, {
          choose: uniform(seededRandom(seed)),
          maxTokens,
          stopTokens: [stop],
        })
        expect(Object.keys(JSON.parse(decode(tokens)) as object)).toEqual(required)
      }
    }
  })

  test('one token too few for the shortest text is said at once', () => {
    const open = (maxTokens: number) =>
      engine.open(1, text({ type: 'regex', pattern: '[0-9]{5}' }), new Int32Array(), maxTokens)
    expect(() => open(4)).toThrow(GrammarLimitError)
    expect(() => open(4)).toThrow('takes 5 tokens; 4 may be generated')
    // Without room for a stop token the answer is whole all the same.
    open(5)
    for (const digit of '12345') {
      expect(isAllowed(engine.mask(1), digit.charCodeAt(0))).toBe(true)
      engine.accept(1, digit.charCodeAt(0))
    }
    expect(isAllowed(engine.mask(1), stop)).toBe(true)
  })

  test('far from the limit nothing is held back', () => {
    engine.open(1, text(nested), new Int32Array(), 10_000)
    engine.open(2, text(nested), new Int32Array(), 1_000_000)
    for (const byte of Buffer.from('{"name": "x", "children": [')) {
      expect(engine.mask(1)).toEqual(engine.mask(2))
      engine.accept(1, byte)
      engine.accept(2, byte)
    }
  })

  test('near it only what still can be completed is allowed', () => {
    const any = text({ type: 'json_schema', schema: true })
    const brackets = 256 + further.indexOf('[[[[')
    const bracket = '['.charCodeAt(0)
    // The token itself, four closing brackets and a stop token.
    for (const [maxTokens, four, one] of [
      [5, false, true],
      [6, true, true],
      [2, false, false],
    ] as const) {
      engine.open(1, any, new Int32Array(), maxTokens)
      expect(isAllowed(engine.mask(1), brackets), `four of ${maxTokens}`).toBe(four)
      expect(isAllowed(engine.mask(1), bracket), `one of ${maxTokens}`).toBe(one)
    }
  })
})

describe('sessions', () => {
  test('an answer taken up again goes on as if it had not been interrupted', () => {
    const random = seededRandom(7)
    const { tokens } = sampleAnswer(engine, nested, {
      choose: uniform(random),
      maxTokens: 120,
      stopTokens: [stop],
    })
    for (const cut of [0, 1, 5, tokens.length - 1, tokens.length]) {
      engine.open(1, text(nested), Int32Array.from(tokens.slice(0, cut)), 120)
      engine.open(2, text(nested), new Int32Array(), 120)
      for (const token of tokens.slice(0, cut)) engine.accept(2, token)
      expect(engine.mask(1)).toEqual(engine.mask(2))
    }
  })

  test('after a stop token nothing but stop tokens is allowed', () => {
    engine.open(1, text({ type: 'regex', pattern: 'a*' }), new Int32Array(), 10)
    engine.accept(1, stop)
    const mask = engine.mask(1)
    expect(
      Array.from({ length: vocabulary.size }, (_, id) => id).filter((id) => isAllowed(mask, id)),
    ).toEqual([stop])
    expect(() => engine.accept(1, 97)).toThrow('after the text has ended')
  })

  test('a token or stop the grammar does not allow is refused', () => {
    engine.open(1, text({ type: 'regex', pattern: 'ab' }), new Int32Array(), 10)
    expect(() => engine.accept(1, 98)).toThrow('does not allow token 98 here')
    expect(() => engine.accept(1, stop)).toThrow('before the text may end')
    expect(() => engine.accept(1, 1_000_000)).toThrow('does not allow token 1000000')
    engine.accept(1, 97)
    engine.close(1)
    expect(() => engine.mask(1)).toThrow('No grammar session 1')
  })

  test('masks are the caller’s: changing one does not change the next', () => {
    engine.open(1, text({ type: 'regex', pattern: 'a+' }), new Int32Array(), 1000)
    const mask = engine.mask(1)
    const copy = mask.slice()
    mask.fill(0)
    expect(engine.mask(1)).toEqual(copy)
  })

  test('grammars beyond the capacity are compiled again, sessions keep theirs', () => {
    const small = new GrammarEngine(vocabulary, { maxGrammars: 1, maskBytesPerGrammar: 100 })
    small.open(1, text({ type: 'regex', pattern: 'ab' }), new Int32Array(), 10)
    small.open(2, text({ type: 'regex', pattern: 'cd' }), new Int32Array(), 10)
    small.accept(1, 97)
    small.accept(2, 99)
    expect(isAllowed(small.mask(1), 98)).toBe(true)
    expect(isAllowed(small.mask(2), 100)).toBe(true)
  })
})
