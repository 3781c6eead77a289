import Ajv2020 from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { GrammarError } from './errors.ts'
import { checkGrammarSpec } from './grammar-expression.ts'
import type { GrammarSpec, JsonSchema } from './spec.ts'
import { TextOracle } from './testing/walks.ts'

const oracle = new TextOracle()
const specOf = (schema: JsonSchema, strict = false): GrammarSpec => ({ type: 'json_schema', schema, strict })
const accepts = (schema: JsonSchema, text: string, strict = false) =>
  oracle.accepts(specOf(schema, strict), text)

/** Texts the schema must allow, and texts it must not. */
type Case = readonly [
  name: string,
  schema: JsonSchema,
  allowed: readonly string[],
  refused: readonly string[],
]

const person = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    age: { type: 'integer' },
    tags: { type: 'array', items: { type: 'string' } },
  },
  required: ['name'],
}

const cases: readonly Case[] = [
  [
    'objects in their natural spacings',
    person,
    [
      '{"name": "Ann", "age": 3, "tags": ["a", "b"]}',
      '{"name":"Ann","age":3,"tags":["a","b"]}',
      '{\n  "name": "Ann",\n  "tags": [\n    "a",\n    "b"\n  ]\n}',
      '{ "name": "Ann" }',
      '{\n\t"name": "Ann"\n}',
      '{"name": ""}',
      '{"name": "a", "tags": []}',
    ],
    [
      '{}',
      '{"age": 3}',
      '{"age": 3, "name": "a"}',
      '{"name": "a", "other": 1}',
      '{"name": "a",}',
      '{"name":  "a"}',
      '{\n\n"name": "a"}',
      '{"name" : "a"}',
      ' {"name": "a"}',
      '{"name": "a"} ',
      '{"name": "a"',
    ],
  ],
  [
    'strings with every escape',
    { type: 'string' },
    ['""', '"a\\n\\"\\\\\\/"', '"\\u00e9"', '"\\ud83d\\ude00"', '"日本😀"', '"\\u0000"'],
    ['"a', '"\n"', '"\\x"', '"\\ud83d"', '"\\ude00"', '"\t"', "'a'", '"\\u12"'],
  ],
  [
    'lengths count characters',
    { minLength: 2, maxLength: 3 },
    ['"ab"', '"😀日é"', '"\\n\\u0041"', '"\\ud83d\\ude00a"'],
    ['"a"', '"abcd"', '"\\ud83d\\ude00"', '12'],
  ],
  [
    'patterns with lengths',
    { pattern: '^[a-z]+$', minLength: 2, maxLength: 4 },
    ['"ab"', '"abcd"'],
    ['"a"', '"abcde"', '"AB"'],
  ],
  ['patterns without anchors', { pattern: 'b' }, ['"abc"', '"b"'], ['"ac"']],
  [
    'patterns over what must be escaped',
    { pattern: '^["\\\\\\n]+$' },
    ['"\\"\\\\\\n"'],
    ['"\\u0022"', '"n"', '"""'],
  ],
  [
    'several patterns',
    { allOf: [{ pattern: 'a' }, { pattern: 'b' }], type: 'string' },
    ['"ab"', '"xbya"'],
    ['"a"', '"b"'],
  ],
  ['integers', { type: 'integer' }, ['0', '-7', '123'], ['1.0', '-0', '01', '1e3', '"1"']],
  ['numbers', { type: 'number' }, ['0', '-0.5', '1e5', '1.25E-3'], ['.5', '1.', '+1', 'NaN']],
  ['bounds', { type: 'integer', minimum: -5, exclusiveMaximum: 10 }, ['-5', '9', '0'], ['-6', '10']],
  [
    'bounds of several schemas',
    { minimum: 3, allOf: [{ minimum: 5 }, { maximum: 7 }] },
    ['5', '6.5', '7'],
    ['4', '8', '1e0'],
  ],
  ['bounds as draft 4 wrote them', { type: 'integer', minimum: 3, exclusiveMinimum: true }, ['4'], ['3']],
  ['integer formats', { type: 'integer', format: 'int32' }, ['2147483647', '-2147483648'], ['2147483648']],
  ['multiples', { type: 'integer', multipleOf: 7, minimum: -20 }, ['-14', '0', '7', '21'], ['-21', '8']],
  ['decimal places', { type: 'number', multipleOf: 0.01 }, ['1.25', '3'], ['1.255', '1e1']],
  [
    'enum and const',
    { enum: ['a', 3, null, [1, 'x'], { k: true }] },
    ['"a"', '3', 'null', '[1, "x"]', '{"k":true}'],
    ['"b"', '4', '[1]'],
  ],
  [
    'enum beside a type',
    { type: 'string', enum: ['a', 3, 'toolong'], maxLength: 3 },
    ['"a"'],
    ['3', '"toolong"'],
  ],
  ['enum in two schemas', { enum: [1, 2], allOf: [{ enum: [2, 3] }] }, ['2'], ['1', '3']],
  ['types in a list', { type: ['string', 'null'] }, ['"a"', 'null'], ['1']],
  ['nullable', { type: 'integer', nullable: true }, ['1', 'null'], ['"a"']],
  [
    'arrays with counts',
    { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 2 },
    ['[true]', '[true, false]', '[true,false]'],
    ['[]', '[true,true,true]', '[1]'],
  ],
  [
    'tuples',
    { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }], items: false },
    ['[]', '[1]', '[1, "a"]'],
    ['["a"]', '[1, "a", 2]'],
  ],
  [
    'tuples as draft 7 wrote them',
    { items: [{ type: 'integer' }], additionalItems: { type: 'null' } },
    ['[1, null]'],
    ['[null]'],
  ],
  [
    'unique items where there is one at most',
    { type: 'array', maxItems: 1, uniqueItems: true },
    ['[1]'],
    ['[1, 1]'],
  ],
  [
    'maps',
    { type: 'object', additionalProperties: { type: 'integer' } },
    ['{}', '{"a": 1, "b": 2}'],
    ['{"a": "x"}'],
  ],
  [
    'declared properties beside a map',
    { properties: { ab: { type: 'string' } }, additionalProperties: { type: 'integer' } },
    ['{"ab": "x", "a": 1, "abc": 2}', '{"b": 1}'],
    ['{"ab": 1}', '{"a": 1, "ab": 2}', '{"a": 1, "\\u0061b": 2}'],
  ],
  [
    'names with a pattern',
    { type: 'object', propertyNames: { pattern: '^x' }, additionalProperties: { type: 'null' } },
    ['{"xy": null}'],
    ['{"y": null}'],
  ],
  [
    'counts of properties',
    { properties: { a: {}, b: {}, c: {} }, additionalProperties: false, minProperties: 2, maxProperties: 2 },
    ['{"a":1,"c":2}'],
    ['{"a":1}', '{"a":1,"b":1,"c":1}'],
  ],
  [
    'required properties nobody declares',
    { type: 'object', required: ['a'] },
    ['{"a": [1, {}]}'],
    ['{}', '{"b": 1}'],
  ],
  [
    'anyOf beside properties',
    {
      type: 'object',
      properties: { k: { enum: ['x', 'y'] } },
      required: ['k'],
      anyOf: [
        { properties: { k: { const: 'x' }, v: { type: 'integer' } }, required: ['v'] },
        { properties: { k: { const: 'y' } } },
      ],
    },
    ['{"k": "x", "v": 1}', '{"k": "y"}'],
    ['{"k": "x"}', '{"k": "z"}'],
  ],
  [
    'allOf merges properties',
    {
      allOf: [
        { properties: { a: { type: 'integer' } }, required: ['a'] },
        { properties: { a: { minimum: 3 }, b: { type: 'null' } } },
      ],
    },
    ['{"a": 3, "b": null}', '{"a": 4}'],
    ['{"a": 2}', '{"b": null}'],
  ],
  [
    'oneOf with a distinguishing property',
    {
      oneOf: [
        { type: 'object', properties: { k: { const: 1 } }, required: ['k'] },
        { type: 'object', properties: { k: { const: 2 } }, required: ['k'] },
        { type: 'string' },
      ],
    },
    ['{"k": 1}', '{"k": 2}', '"s"'],
    ['{"k": 3}'],
  ],
  [
    'references with siblings',
    { $ref: '#/$defs/s', maxLength: 2, $defs: { s: { type: 'string', minLength: 1 } } },
    ['"a"', '"ab"'],
    ['""', '"abc"'],
  ],
  ['references by anchor', { $ref: '#s', $defs: { x: { $anchor: 's', type: 'null' } } }, ['null'], ['1']],
  [
    'references with escaped names',
    { $ref: '#/$defs/a~1b%20c', $defs: { 'a/b c': { const: 1 } } },
    ['1'],
    ['2'],
  ],
  [
    'recursion',
    {
      type: 'object',
      properties: { v: { type: 'integer' }, next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } },
      required: ['v', 'next'],
      additionalProperties: false,
    },
    ['{"v": 1, "next": {"v": 2, "next": null}}'],
    ['{"v": 1, "next": {}}', '{"v": 1}'],
  ],
  [
    'a branch that nothing satisfies',
    { anyOf: [false, { type: 'string', minLength: 3, maxLength: 2 }, { type: 'null' }] },
    ['null'],
    ['""', '"abc"'],
  ],
  [
    'an optional property that nothing satisfies',
    { properties: { a: false, b: { type: 'null' } } },
    ['{}', '{"b": null}'],
    ['{"a": 1}'],
  ],
  ['anything', true, ['[1, {"a": null}]', '"x"', 'false', '-1.5e3'], ['', 'x', '[1,]', '{a: 1}']],
  [
    'annotations',
    { type: 'null', title: 't', description: 'd', default: 1, examples: [1], $comment: 'c', 'x-other': {} },
    ['null'],
    ['1'],
  ],
]

describe('what a schema allows', () => {
  test.each(cases)('%s', (_name, schema, allowed, refused) => {
    expect(allowed.filter((text) => !accepts(schema, text))).toEqual([])
    expect(refused.filter((text) => accepts(schema, text))).toEqual([])
    const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(ajvSpelling(schema))
    expect(allowed.filter((text) => !validate(JSON.parse(text)))).toEqual([])
  })

  test('strict closes objects that declare nothing', () => {
    expect(accepts({ type: 'object' }, '{"a": 1}')).toBe(true)
    expect(accepts({ type: 'object' }, '{"a": 1}', true)).toBe(false)
    expect(accepts({ type: 'object' }, '{}', true)).toBe(true)
  })

  test('JSON mode allows any object and nothing else', () => {
    expect(oracle.accepts({ type: 'json' }, '{"a": [1, {"b": null}]}')).toBe(true)
    expect(oracle.accepts({ type: 'json' }, '[1]')).toBe(false)
  })
})

/** Ajv reads drafts before 2020-12 elsewhere; what they spell otherwise is left out. */
function ajvSpelling(schema: JsonSchema): JsonSchema {
  if (typeof schema === 'boolean') return schema
  const { items, additionalItems, exclusiveMinimum, multipleOf, ...rest } = schema
  return {
    ...rest,
    ...(Array.isArray(items) ? {} : items !== undefined && { items }),
    ...(typeof exclusiveMinimum === 'number' && { exclusiveMinimum }),
    // 1.25 is a multiple of 0.01, but not in doubles.
    ...(Number.isInteger(multipleOf) && { multipleOf }),
  }
}

const formats: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  [
    'date',
    ['2024-02-29', '2023-12-31', '0001-01-01'],
    ['2023-02-29', '2023-13-01', '2023-04-31', '23-01-01'],
  ],
  ['time', ['23:59:59Z', '00:00:00.123+02:00'], ['24:00:00Z', '12:00', '12:60:00Z']],
  ['date-time', ['2024-02-29T12:00:00Z'], ['2024-02-29 12:00:00Z', '2024-02-29T12:00:00']],
  ['duration', ['P1Y2M3D', 'PT5M', 'P2W', 'P1DT12H'], ['P', 'PT', '1D', 'P1M1Y']],
  ['email', ['a.b@example.org'], ['a@b', '@example.org', 'a b@example.org']],
  ['hostname', ['example.org', 'a-b'], ['-a', 'a..b', 'a_b']],
  ['ipv4', ['192.168.0.1', '255.255.255.255'], ['256.1.1.1', '1.2.3', '01.2.3.4']],
  ['ipv6', ['::1', '2001:db8::ff', '1:2:3:4:5:6:7:8', '::'], ['1:2:3', ':::', '1::2::3', 'g::']],
  ['uuid', ['123e4567-e89b-12d3-a456-426614174000'], ['123e4567-e89b-12d3-a456-42661417400', 'x']],
  ['uri', ['https://example.org/a%20b?c=d#e', 'ftp://h:21/'], ['example.org', 'http://', 'http://a b']],
  ['json-pointer', ['', '/a/b~1c'], ['a', '/~2']],
  ['byte', ['YQ==', ''], ['Y', 'YQ=']],
]

test.each(formats)('the format %s is enforced', (format, allowed, refused) => {
  const schema = { type: 'string', format }
  expect(allowed.filter((text) => !accepts(schema, JSON.stringify(text)))).toEqual([])
  expect(refused.filter((text) => accepts(schema, JSON.stringify(text)))).toEqual([])
})

const unenforceable: readonly (readonly [JsonSchema, string, string])[] = [
  [{ properties: { a: { not: { type: 'null' } } } }, '/schema/properties/a/not', '"not"'],
  [{ if: {}, else: {} }, '/schema/if', '"if"'],
  [{ contains: { const: 1 } }, '/schema/contains', '"contains"'],
  [{ dependentRequired: { a: ['b'] } }, '/schema/dependentRequired', '"dependentRequired"'],
  [{ patternProperties: { '^a': {} } }, '/schema/patternProperties', '"patternProperties"'],
  [{ items: { type: 'array', uniqueItems: true } }, '/schema/items/uniqueItems', '"uniqueItems"'],
  [{ type: 'object', minProperties: 2 }, '/schema/minProperties', 'minProperties 2'],
  [
    { allOf: [{}], unevaluatedProperties: false, type: 'object' },
    '/schema/unevaluatedProperties',
    'beside "allOf"',
  ],
  [{ format: 'idn-email' }, '/schema/format', '"idn-email"'],
  [{ pattern: '(?=a)' }, '/schema/pattern', 'looks ahead'],
  [{ type: 'number', multipleOf: 0.3 }, '/schema/multipleOf', 'multipleOf 0.3'],
  [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, '/schema/oneOf', 'branches 0 and 1'],
  [{ oneOf: [{ minLength: 3 }, { properties: { a: {} } }] }, '/schema/oneOf', 'branches 0 and 1'],
  [{ $ref: 'https://example.org/x' }, '/schema/$ref', 'outside this schema'],
  [{ $ref: '#/$defs/none' }, '/schema/$ref', 'where nothing is'],
  [{ $dynamicRef: '#a' }, '/schema/$dynamicRef', '"$dynamicRef"'],
  [{ properties: { 'a/b': { type: 'text' } } }, '/schema/properties/a~1b/type', '"text"'],
  [{ properties: { a: 3 } }, '/schema/properties/a', 'is 3'],
  [{ minLength: -1 }, '/schema/minLength', 'minLength at /schema/minLength is -1'],
  [{ anyOf: [] }, '/schema/anyOf', 'has []'],
  [{ type: 'object', propertyNames: { enum: ['a'] } }, '/schema/propertyNames/enum', '"enum"'],
  [{ const: { a: 1 }, required: ['a'] }, '/schema', '"const"'],
]

test.each(unenforceable)('%j is refused at its place', (schema, path, words) => {
  const check = () => checkGrammarSpec(specOf(schema))
  expect(check).toThrow(GrammarError)
  expect(check).toThrow(words)
  expect(check).toThrow(expect.objectContaining({ path, retriable: false }))
})

describe('specifications', () => {
  test.each([
    [null, 'an object'],
    [{}, '/type'],
    [{ type: 'xml' }, '"xml"'],
    [{ type: 'json_schema' }, '/schema'],
    [{ type: 'json_schema', schema: {}, strict: 'yes' }, '/strict'],
    [{ type: 'regex' }, '/pattern'],
    [{ type: 'ebnf', grammar: 3 }, '/grammar'],
    [{ type: 'structural_tag' }, '/format'],
  ])('%j is refused', (spec, words) => {
    expect(() => checkGrammarSpec(spec)).toThrow(GrammarError)
    expect(() => checkGrammarSpec(spec)).toThrow(words)
  })

  test('size and depth are limited', () => {
    expect(() => checkGrammarSpec({ type: 'regex', pattern: 'a'.repeat(300_000) })).toThrow('at most 262144')
    let deep: JsonSchema = { type: 'null' }
    for (let i = 0; i < 40; i += 1) deep = { items: { items: deep } }
    expect(() => checkGrammarSpec(specOf(deep))).toThrow('deeper than 64')
  })

  test('a schema that nothing satisfies is found when it is compiled', () => {
    const impossible = { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }
    expect(() => accepts(impossible, '{}')).toThrow('No text satisfies')
    expect(() => accepts({ type: 'string', const: 3 }, '3')).toThrow('No text satisfies')
    expect(() => accepts({ minimum: 3, maximum: 2 }, '3')).toThrow('No text satisfies')
  })

  test('many alternatives within alternatives are given up', () => {
    const level = (depth: number): JsonSchema =>
      depth === 0
        ? {}
        : {
            allOf: Array.from({ length: 8 }, (_, i) => ({
              anyOf: [
                { minimum: depth * 10 + i },
                { maximum: -depth * 10 - i },
                { minLength: i + 1 },
                level(depth - 1),
              ],
            })),
          }
    expect(() => checkGrammarSpec(specOf(level(3)))).toThrow('combinations')
  })
})
