import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GrammarError } from './errors.ts'
import { parseRegex } from './regex.ts'
import { acceptsText } from './schema-strings.ts'
import { TextOracle } from './testing/walks.ts'
import { textsOf } from './text-automaton.ts'

const patterns = [
  '^[a-z]{2,6}$',
  'ab|cd',
  '^ab|cd$',
  'a(b|c)*d',
  '(?:a|b)?c+',
  '(?<name>a)b',
  '^\\d{3}-\\d{4}$',
  '^\\w+\\s\\W$',
  '^[^ab]$',
  '[\\d\\-x]',
  '^[]$|b',
  '^[^]{2}$',
  '.',
  '^.$',
  'a{2}',
  'a{0}b',
  '^a*?b+?$',
  '\\u0061\\x62',
  '^[\\u{1F600}-\\u{1F64F}]$',
  '^\\ud83d\\ude00$',
  '^\\/\\.\\*$',
  '',
  '^$',
  'é|日本',
]

describe('patterns that are regular', () => {
  test.each(patterns)('/%s/ allows what JavaScript allows', (pattern) => {
    const judge = new RegExp(pattern, 'u')
    const condition = textsOf(parseRegex(pattern, 'anywhere', null), null)
    const alphabet = fc.constantFrom(...'abcdx019 -_/.*\n\u2028éD日本😀😁"\\')
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 8 }), (characters) => {
        const text = characters.join('')
        expect(acceptsText([condition], text)).toBe(judge.test(text))
      }),
      { numRuns: 300, seed: 1 },
    )
  })

  test('a whole match needs no anchors', () => {
    const oracle = new TextOracle()
    const spec = { type: 'regex', pattern: 'yes|no{2,3}' } as const
    expect(['yes', 'noo', 'nooo'].map((text) => oracle.accepts(spec, text))).toEqual([true, true, true])
    expect(['', 'ye', 'yes ', 'no', 'noooo'].map((text) => oracle.accepts(spec, text))).not.toContain(true)
  })
})

test.each([
  ['a(?=b)', 'looks ahead or behind'],
  ['(?<!a)b', 'looks ahead or behind'],
  ['(a)\\1', 'refers back'],
  ['\\bword', 'looks ahead or behind'],
  ['\\p{L}', 'Unicode property'],
  ['(?i:a)', 'group "(?i"'],
  ['a^b', 'has "^" inside'],
  ['(a', 'without ")"'],
  ['a)', 'without its partner'],
  ['*a', 'nothing to repeat'],
  ['a**', 'repeats a repetition'],
  ['[b-a]', 'backwards'],
  ['a{3,2}', 'backwards'],
  ['a{99999}', 'more than 65536'],
  ['\\q', 'means nothing'],
  ['[a', 'ends in the middle'],
  [`${'('.repeat(200)}a${')'.repeat(200)}`, 'nests groups deeper'],
])('/%s/ is refused: %s', (pattern, reason) => {
  expect(() => parseRegex(pattern, 'anywhere', '/schema/pattern')).toThrow(GrammarError)
  expect(() => parseRegex(pattern, 'anywhere', '/schema/pattern')).toThrow(reason)
})
