import { describe, expect, test } from 'vitest'
import { GrammarEngine } from './engine.ts'
import { grammarExpression } from './grammar-expression.ts'
import type { ParseState } from './recognizer.ts'
import type { GrammarSpec } from './spec.ts'
import { seededRandom } from './testing/schemas.ts'
import { embeddedVocabulary, isAllowed, smallVocabulary } from './testing/walks.ts'
import { XGrammarMasks } from './testing/xgrammar-masks.ts'
import { TokenMasks } from './token-masks.ts'
import { buildTokenTrie } from './token-trie.ts'
import { readVocabulary } from './vocabulary.ts'

const grammars = [
  'root ::= expr ("=" expr)*\nexpr ::= term ([-+*/] term)*\nterm ::= num | "(" expr ")"\nnum ::= [0-9]+',
  'root ::= "{" pair ("," pair)* "}"\npair ::= string ": " value\nvalue ::= string | [0-9]+ | root | "true"\nstring ::= "\\"" ([^"\\\\\\n] | "\\\\" ["\\\\n])* "\\""',
  'root ::= line{1,4}\nline ::= [^\\n]{3,12} "\\n"',
  'root ::= word (" " word)* [.!?]\nword ::= [a-zA-Z]+ | [0-9]{1,3} | "the" | "then" word?',
  'root ::= "struct " [A-Z] [a-z]* " {\\n" ("    " [a-z_]+ ": " type ",\\n")* "}"\ntype ::= "u" ("8" | "16" | "32") | "Vec<" type ">"',
]

describe('masks', () => {
  // In ASCII: it takes other characters of a class for bytes.
  test.each(grammars)('are those of XGrammar: %j', async (grammar) => {
    const { vocabulary, tokenizer } = await embeddedVocabulary()
    const engine = new GrammarEngine(vocabulary)
    const random = seededRandom(grammar.length)
    // XGrammar takes any byte above 0xC0 for the beginning of a character.
    const neverInUtf8 = (token: number) =>
      vocabulary.bytes
        .subarray(vocabulary.offsets[token], vocabulary.offsets[token + 1])
        .some((byte) => byte === 0xc0 || byte === 0xc1 || byte > 0xf4)
    for (let walk = 0; walk < 3; walk += 1) {
      const other = await XGrammarMasks.compile(grammar, vocabulary)
      engine.open(walk, JSON.stringify({ type: 'ebnf', grammar }), new Int32Array(), 1_000_000)
      for (let step = 0; step < 40; step += 1) {
        const mask = engine.mask(walk)
        const theirs = await other.mask()
        const differing = Array.from({ length: vocabulary.size }, (_, token) => token).filter(
          (token) => !neverInUtf8(token) && isAllowed(mask, token) !== isAllowed(theirs, token),
        )
        expect(differing.map((token) => tokenizer.tokenText(token))).toEqual([])
        const allowed = Array.from({ length: vocabulary.size }, (_, token) => token).filter((token) =>
          isAllowed(mask, token),
        )
        const token = allowed[Math.floor(random() * allowed.length)]!
        if (vocabulary.stopTokens.includes(token)) break
        engine.accept(walk, token)
        expect(other.accept(token)).toBe(true)
      }
    }
  })

  test.each<GrammarSpec>([
    { type: 'json' },
    { type: 'json_schema', schema: { type: 'string', minLength: 3, maxLength: 40 } },
    {
      type: 'json_schema',
      schema: { type: 'array', items: { type: 'string', maxLength: 20 }, maxItems: 30 },
    },
    {
      type: 'json_schema',
      schema: { anyOf: [{ type: 'string', maxLength: 25 }, { pattern: '^a+' }, { enum: ['an', 'b'] }] },
    },
    { type: 'regex', pattern: '((?:[a-z]|é){1,30} ){0,20}\\d{18,50}' },
    { type: 'ebnf', grammar: 'root ::= "(" root ")" root? | [a-z]{0,20} | "if " [^]{0,24}' },
    {
      type: 'structural_tag',
      format: {
        type: 'triggered_tags',
        triggers: ['<t'],
        tags: [
          { type: 'tag', begin: '<tag>', content: { type: 'json_schema', json_schema: true }, end: '</tag>' },
        ],
      },
    },
  ])('tell of each token what reading it byte by byte tells: %j', async (spec) => {
    const { vocabulary } = await embeddedVocabulary()
    const trie = buildTokenTrie(vocabulary)
    const masks = new TokenMasks(grammarExpression(spec), { vocabulary, trie }, 1 << 20)
    const random = seededRandom(JSON.stringify(spec).length)
    for (let walk = 0; walk < 4; walk += 1) {
      let state = masks.start
      for (let step = 0; step < 25; step += 1) {
        const { words, cheapDistance, costly } = masks.mask(state)
        const costs = new Map(
          Array.from({ length: costly.length / 2 }, (_, i) => [costly[2 * i]!, costly[2 * i + 1]!]),
        )
        const budget = Math.floor(random() * (cheapDistance + 20))
        const within = masks.maskWithin(state, budget, false)
        const followers: ParseState[] = []
        for (let token = 0; token < vocabulary.size; token += 1) {
          const next = masks.advance(state, token)
          if (isAllowed(words, token) !== (next !== null)) expect.fail(`token ${token}`)
          if (isAllowed(within, token) !== (next !== null && next.distance <= budget))
            expect.fail(`within: ${token}`)
          if (!next) continue
          followers.push(next)
          if (next.distance > cheapDistance) expect(costs.get(token)).toBe(next.distance)
        }
        if (followers.length === 0) break
        state = followers[Math.floor(random() * followers.length)]!
      }
    }
  })

  test('a token may hold parts of characters', () => {
    const euro = [0xe2, 0x82, 0xac]
    const texts = ['€'].map((text) => Buffer.from(text))
    expect([...texts[0]!]).toEqual(euro)
    const { vocabulary, stop } = smallVocabulary()
    const engine = new GrammarEngine(vocabulary)
    engine.open(1, JSON.stringify({ type: 'regex', pattern: '[€ä]' }), new Int32Array(), 100)
    const allowed = () =>
      Array.from({ length: 257 }, (_, id) => id).filter((id) => isAllowed(engine.mask(1), id))
    expect(allowed()).toEqual([0xc3, 0xe2])
    engine.accept(1, 0xe2)
    expect(allowed()).toEqual([0x82])
    engine.accept(1, 0x82)
    expect(allowed()).toEqual([0xac])
    engine.accept(1, 0xac)
    expect(allowed()).toEqual([stop])
  })

  test('control tokens and ids that write nothing are never text', () => {
    const { vocabulary, stop } = smallVocabulary(['<|im_end|>', 'ab', 'ab'], ['<|im_start|>'])
    const padded = {
      ...vocabulary,
      size: vocabulary.size + 40,
      offsets: pad(vocabulary.offsets, 40),
      special: padBytes(vocabulary.special, 40),
    }
    const engine = new GrammarEngine(padded)
    engine.open(1, JSON.stringify({ type: 'regex', pattern: '[^]*' }), new Int32Array(), 100)
    const mask = engine.mask(1)
    expect(mask).toHaveLength(Math.ceil(padded.size / 32))
    const [spelled, first, second, control] = [256, 257, 258, 259]
    expect([spelled, first, second, stop].map((id) => isAllowed(mask, id))).toEqual([true, true, true, true])
    expect(isAllowed(mask, control)).toBe(false)
    for (let id = vocabulary.size; id < padded.size; id += 1) expect(isAllowed(mask, id)).toBe(false)
    expect(() => engine.accept(1, control)).toThrow(`does not allow token ${control}`)
  })

  test('a byte that no token writes by itself is not relied on', () => {
    const { vocabulary, stop } = smallVocabulary(['xyz'])
    const without = { ...vocabulary, special: Uint8Array.from(vocabulary.special) }
    without.special['y'.charCodeAt(0)] = 1
    const engine = new GrammarEngine(without)
    expect(() => engine.prepare(JSON.stringify({ type: 'regex', pattern: 'y' }), 64)).toThrow(
      'No text satisfies',
    )
    engine.open(1, JSON.stringify({ type: 'regex', pattern: 'x(y|a)' }), new Int32Array(), 10)
    engine.accept(1, 'x'.charCodeAt(0))
    expect(isAllowed(engine.mask(1), 'a'.charCodeAt(0))).toBe(true)
    engine.accept(1, 'a'.charCodeAt(0))
    expect(isAllowed(engine.mask(1), stop)).toBe(true)
  })
})

test('readVocabulary() takes what a tokenizer knows, and no more ids than there are logits', () => {
  const texts = ['<end>', 'a', 'bc']
  const tokenizer = {
    tokenBytes: (id: number) => Buffer.from(texts[id] ?? ''),
    isSpecial: (id: number) => id === 0,
    stopTokens: [0, 9],
  }
  const vocabulary = readVocabulary(tokenizer, 5)
  expect(vocabulary).toMatchObject({ size: 5, stopTokens: [0] })
  expect([...vocabulary.offsets]).toEqual([0, 5, 6, 8, 8, 8])
  expect([...vocabulary.special]).toEqual([1, 0, 0, 0, 0])
  expect(() => new GrammarEngine({ ...vocabulary, stopTokens: [] })).toThrow('no token that ends an answer')
})

function pad(offsets: Uint32Array, count: number): Uint32Array<ArrayBuffer> {
  return Uint32Array.from([...offsets, ...new Array<number>(count).fill(offsets.at(-1)!)])
}

function padBytes(bytes: Uint8Array, count: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...bytes, ...new Array<number>(count).fill(0)])
}
