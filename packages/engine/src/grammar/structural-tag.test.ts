import { describe, expect, test } from 'vitest'
import { GrammarEngine } from './engine.ts'
import { GrammarError } from './errors.ts'
import { checkGrammarSpec } from './grammar-expression.ts'
import { propertyTypes } from './schema.ts'
import type { JsonObject, JsonSchema } from './spec.ts'
import { isAllowed, smallVocabulary, TextOracle } from './testing/walks.ts'

const oracle = new TextOracle()
const accepts = (format: JsonObject, text: string) => oracle.accepts({ type: 'structural_tag', format }, text)

const arguments_ = { type: 'object', properties: { city: { enum: ['Oslo', 'Rome'] } }, required: ['city'] }
const call = (name: string) => ({
  type: 'tag',
  begin: `<call=${name}>`,
  content: { type: 'json_schema', json_schema: arguments_ },
  end: '</call>',
})
const triggered = { type: 'triggered_tags', triggers: ['<call='], tags: [call('a'), call('b')] }
const a = '<call=a>{"city": "Oslo"}</call>'
const b = '<call=b>{"city": "Rome"}</call>'
const text = (value: string) => ({ type: 'const_string', value })
const any = { type: 'any_text' }
const think = { type: 'tag', begin: '<think>', content: any, end: '</think>' }

type Case = readonly [
  name: string,
  format: JsonObject,
  allowed: readonly string[],
  refused: readonly string[],
]
const cases: readonly Case[] = [
  ['a text', text('yes'), ['yes'], ['', 'no', 'yess']],
  ['any text', any, ['', 'any 日本 </think>'], []],
  [
    'any text but some',
    { type: 'any_text', excludes: ['<x>', 'abc'] },
    ['<x', 'ababx', 'ab c'],
    ['a <x> b', 'ababc'],
  ],
  [
    'alternatives',
    { type: 'or', elements: [text('a'), { type: 'regex', pattern: '\\d+' }] },
    ['a', '12'],
    ['', 'a1'],
  ],
  [
    'a sequence',
    { type: 'sequence', elements: [text('a'), { type: 'grammar', grammar: 'root ::= [xy]' }] },
    ['ax', 'ay'],
    ['a', 'az'],
  ],
  [
    'optional, plus, star',
    {
      type: 'sequence',
      elements: [
        { type: 'optional', content: text('a') },
        { type: 'plus', content: text('b') },
        { type: 'star', content: text('c') },
      ],
    },
    ['b', 'abbcc'],
    ['a', 'ac'],
  ],
  ['a counted repetition', { type: 'repeat', min: 1, max: 2, content: text('a') }, ['a', 'aa'], ['', 'aaa']],
  [
    'a repetition without an end',
    { type: 'repeat', min: 1, max: -1, content: text('a') },
    ['a', 'aaaaa'],
    [''],
  ],
  [
    'a tag ends at the first end',
    think,
    ['<think>a < b </thin</think>', '<think></think>'],
    ['<think>a', '<think>a</think>b</think>', 'a'],
  ],
  [
    'a tag with several ends',
    { ...think, end: ['</think>', '\n\n'] },
    ['<think>a</think>', '<think>a\n\n'],
    ['<think>a\n\n</think>'],
  ],
  [
    'tags in free text',
    triggered,
    ['', 'hello', `I will. ${a} then ${b}!`, '<call', 'a < b'],
    ['<call=c>', '<call=a>{"city": "Paris"}</call>', `x ${a.slice(0, -1)}`],
  ],
  ['at least one tag', { ...triggered, at_least_one: true }, [a, `${a} and ${b}`], ['', `hello ${a}`]],
  [
    'one tag and no more',
    { ...triggered, stop_after_first: true },
    ['hello', `hello ${a}`],
    [`${a} more`, `${a}${b}`],
  ],
  [
    'exactly one tag',
    { ...triggered, at_least_one: true, stop_after_first: true },
    [a, b],
    ['', `${a}${b}`, `${a} more`],
  ],
  [
    'free text with tags inside a tag',
    { type: 'tag', begin: '[', content: triggered, end: ']' },
    ['[hi]', `[hi ${a} ho]`],
    ['[hi', `[${a.slice(0, 12)}]`, '[a]b]'],
  ],
  [
    'one tag inside a tag',
    { type: 'tag', begin: '[', content: { ...triggered, stop_after_first: true }, end: ']' },
    ['[hi]', `[hi ${a}]`],
    [`[${a}more]`],
  ],
  [
    'separated tags',
    { type: 'tags_with_separator', tags: [call('a'), call('b')], separator: '\n' },
    ['', a, `${a}\n${b}\n${a}`],
    [`${a}${b}`, `${a}\n`],
  ],
  [
    'at least one separated tag',
    {
      type: 'tags_with_separator',
      tags: [call('a')],
      separator: '\n',
      at_least_one: true,
      stop_after_first: true,
    },
    [a],
    ['', `${a}\n${a}`],
  ],
  [
    'thoughts, then calls',
    { type: 'sequence', elements: [think, triggered] },
    ['<think>hm</think>', `<think>hm</think>ok ${a}`],
    ['hm', '<think>hm</think><call=x'],
  ],
]

describe('what a structural tag allows', () => {
  test.each(cases)('%s', (_name, format, allowed, refused) => {
    expect(allowed.filter((text) => !accepts(format, text))).toEqual([])
    expect(refused.filter((text) => accepts(format, text))).toEqual([])
  })
})

describe('parameters', () => {
  const schema = {
    type: 'object',
    properties: {
      city: { type: 'string' },
      days: { type: 'integer', minimum: 1, maximum: 9 },
      unit: { $ref: '#/$defs/unit' },
      code: { anyOf: [{ type: 'string', pattern: '^[A-Z]+$', maxLength: 3 }, { type: 'null' }] },
      places: { type: 'array', items: { type: 'string' } },
    },
    required: ['city'],
    $defs: { unit: { enum: ['C', 'F', 7] } },
  }
  const qwen = { type: 'qwen_xml_parameter', json_schema: schema }
  const tagged = { type: 'tag', begin: '<function=f>\n', content: qwen, end: '</function>' }
  const glm = { type: 'json_schema', style: 'glm_xml', json_schema: schema }
  const written = (...parts: readonly (readonly [string, string])[]) =>
    parts.map(([name, value]) => `<parameter=${name}>\n${value}\n</parameter>\n`).join('')
  const keyed = (...parts: readonly (readonly [string, string])[]) =>
    parts.map(([name, value]) => `<arg_key>${name}</arg_key>\n<arg_value>${value}</arg_value>\n`).join('')
  const oslo = ['city', 'Oslo'] as const
  const none = { type: 'object', properties: {}, additionalProperties: false }

  test.each<Case>([
    [
      'strings are bare, other values JSON',
      tagged,
      [
        written(oslo),
        written(['city', '']),
        written(['city', '\n"a" < b </para> 日本\n\n']),
        written(oslo, ['days', '3'], ['unit', 'F'], ['code', 'ABC'], ['places', '["a", "b"]']),
        written(oslo, ['unit', '7'], ['code', 'null']),
      ].map((text) => `<function=f>\n${text}</function>`),
      [
        '',
        written(['days', '3']),
        written(oslo, ['days', '"3"']),
        written(oslo, ['days', '10']),
        written(oslo, ['unit', '"F"']),
        written(oslo, ['code', 'ABCD']),
        written(oslo, ['code', 'A</parameter>']),
        written(oslo, ['places', 'a']),
        written(oslo, oslo),
        written(oslo, ['else', 'a']),
        written(['city', 'a</parameter>b']),
      ].map((text) => `<function=f>\n${text}</function>`),
    ],
    [
      'keys and values of GLM',
      glm,
      [
        keyed(oslo, ['days', '3']),
        keyed(oslo, ['days', '3']).replaceAll('\n', ''),
        keyed(['city', ' a </arg_key> ']),
      ],
      ['', keyed(oslo, ['days', 'x']), keyed(['city', 'a</arg_value>']), keyed(oslo, ['else', 'a'])],
    ],
    [
      'names and values that nothing restricts',
      { ...qwen, json_schema: { type: 'object' } },
      ['', written(['a b', 'x'], ['c', '{"d": [1]}'])],
      [written(['', 'x']), written(['a>', 'x']), 'x'],
    ],
    ['no schema at all', { ...qwen, json_schema: true }, ['', written(['a', 'x'])], ['x']],
    ['no parameters', { ...qwen, json_schema: none }, [''], [written(['a', 'x'])]],
    [
      'other names beside declared ones',
      { ...qwen, json_schema: { ...schema, additionalProperties: { type: 'integer' } } },
      [written(oslo, ['else', '5'])],
      [written(oslo, ['else', 'a']), written(oslo, ['days', '10'])],
    ],
    [
      'branches',
      {
        ...qwen,
        json_schema: {
          anyOf: [
            { type: 'object', properties: { a: { const: 'x' } }, required: ['a'] },
            { const: { b: 'y', c: ['z'] } },
            { type: 'string' },
          ],
        },
      },
      [written(['a', 'x']), written(['b', 'y'], ['c', '["z"]'])],
      ['', 'x', written(['a', 'y']), written(['b', 'y'])],
    ],
  ])('%s', (_name, format, allowed, refused) => {
    expect(allowed.filter((text) => !accepts(format, text))).toEqual([])
    expect(refused.filter((text) => accepts(format, text))).toEqual([])
  })

  test('marks that are control tokens', () => {
    const marks = ['<arg_key>', '</arg_key>', '<arg_value>', '</arg_value>']
    const engine = new GrammarEngine(smallVocabulary([], marks).vocabulary)
    const format = { ...glm, control_tokens: marks }
    engine.open(1, JSON.stringify({ type: 'structural_tag', format }), new Int32Array(), 1000)
    for (const token of [256, ...Buffer.from('city'), 257, 258, ...Buffer.from('a </arg_value>'), 259])
      engine.accept(1, token)
    expect([256, 257, 258, 259].map((token) => isAllowed(engine.mask(1), token))).toEqual([
      true,
      false,
      false,
      false,
    ])
  })

  test.each<[JsonSchema, string, readonly string[]]>([
    [schema, 'city', ['string']],
    [schema, 'unit', ['string', 'integer']],
    [schema, 'code', ['string', 'null']],
    [schema, 'places', ['array']],
    [{ ...schema, additionalProperties: { type: 'boolean' } }, 'else', ['boolean']],
    [{ anyOf: [schema, { properties: { city: { type: 'number' } } }] }, 'city', ['string', 'number']],
    [
      { properties: { city: { allOf: [{ type: ['string', 'null'] }, { minLength: 1 }] } } },
      'city',
      ['string', 'null'],
    ],
    [
      { properties: { city: { anyOf: [{ $ref: '#/properties/city' }, { type: 'string' }] } } },
      'city',
      ['string'],
    ],
  ])('types: %j says of %s %j', (of, name, types) => {
    expect(new Set(propertyTypes(of, name))).toEqual(new Set(types))
  })

  test.each<[JsonSchema, string]>([
    [schema, 'else'],
    [true, 'city'],
    [{ properties: { city: { type: 'poem' } } }, 'city'],
    [{ properties: { city: { not: {} } } }, 'city'],
    [{ properties: { city: false } }, 'city'],
    [
      {
        allOf: Array.from({ length: 12 }, () => ({
          anyOf: [{ properties: { city: { type: 'string' } } }, { properties: { city: { minLength: 1 } } }],
        })),
      },
      'city',
    ],
    [{ properties: { city: { $ref: '#/nowhere' } } }, 'city'],
  ])('types: %j tells nothing of %s', (of, name) => {
    expect(propertyTypes(of, name).size).toBe(7)
  })
})

describe('control tokens', () => {
  const { vocabulary, stop } = smallVocabulary([], ['<|call|>', '<|end|>'])
  const [open, end] = [256, 257]
  const engine = new GrammarEngine(vocabulary)
  const tag = {
    type: 'tag',
    begin: { type: 'token', token: '<|call|>' },
    content: { type: 'json_schema', json_schema: arguments_ },
    end: { type: 'token', token: 257 },
  }
  const start = (format: JsonObject) =>
    engine.open(1, JSON.stringify({ type: 'structural_tag', format }), new Int32Array(), 1000)
  const write = (content: string) => {
    for (const byte of Buffer.from(content)) engine.accept(1, byte)
  }

  test('stand where the format names them, and nowhere else', () => {
    start(tag)
    expect(isAllowed(engine.mask(1), open)).toBe(true)
    expect(isAllowed(engine.mask(1), '<'.charCodeAt(0))).toBe(false)
    engine.accept(1, open)
    expect(isAllowed(engine.mask(1), end)).toBe(false)
    write('{"city": "Oslo"}')
    expect(isAllowed(engine.mask(1), end)).toBe(true)
    engine.accept(1, end)
    expect(isAllowed(engine.mask(1), stop)).toBe(true)
  })

  test('begin calls within free text', () => {
    const format = { type: 'token_triggered_tags', trigger_tokens: ['<|call|>'], tags: [tag] }
    start(format)
    write('Let me see. ')
    expect([open, stop].map((token) => isAllowed(engine.mask(1), token))).toEqual([true, true])
    engine.accept(1, open)
    expect([open, stop].map((token) => isAllowed(engine.mask(1), token))).toEqual([false, false])
    write('{"city":"Rome"}')
    engine.accept(1, end)
    write('Done.')
    start({ ...format, at_least_one: true, stop_after_first: true })
    expect([open, stop].map((token) => isAllowed(engine.mask(1), token))).toEqual([true, false])
  })

  test('end a thought whose text is free', () => {
    start({
      type: 'tag',
      begin: '',
      content: { type: 'any_tokens' },
      end: { type: 'token', token: '<|end|>' },
    })
    write('hm <|end|> is how I would spell it')
    expect([end, stop].map((token) => isAllowed(engine.mask(1), token))).toEqual([true, false])
  })

  test.each(['<|none|>', 5, 9999])('%j must be one that the model has', (token) => {
    expect(() => start({ type: 'token', token })).toThrow('has no control token')
  })
})

test.each<[JsonObject, string]>([
  [{ type: 'poem' }, '/format/type'],
  [{ type: 'sequence', elements: [] }, '/format/elements'],
  [{ type: 'sequence', elements: [{ type: 'const_string' }] }, '/format/elements/0/value'],
  [{ type: 'or', elements: 'a' }, '/format/elements'],
  [{ type: 'tag', begin: 'a', content: any }, '/format/end'],
  [{ type: 'tag', begin: 3, content: any, end: 'b' }, '/format/begin'],
  [{ ...triggered, triggers: ['[x'] }, '/format/tags/0/begin'],
  [{ ...triggered, triggers: [''] }, '/format/triggers/0'],
  [{ ...triggered, at_least_one: 1 }, '/format/at_least_one'],
  [{ type: 'repeat', min: 2, max: 1, content: any }, '/format/max'],
  [{ type: 'json_schema', json_schema: 3 }, '/format/json_schema'],
  [{ type: 'json_schema', json_schema: {}, style: 'poem' }, '/format/style'],
  [{ type: 'json_schema', json_schema: { not: {} } }, '/format/json_schema/not'],
  [{ type: 'regex', pattern: 'a(?=b)' }, '/format/pattern'],
  [{ type: 'any_text', excludes: [1] }, '/format/excludes'],
  [{ type: 'token', token: -1 }, '/format/token'],
])('%j is refused at its place', (format, path) => {
  const check = () => checkGrammarSpec({ type: 'structural_tag', format })
  expect(check).toThrow(GrammarError)
  expect(check).toThrow(expect.objectContaining({ path }))
})
