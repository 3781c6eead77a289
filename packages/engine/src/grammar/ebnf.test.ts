import { describe, expect, test } from 'vitest'
import { GrammarError } from './errors.ts'
import { TextOracle } from './testing/walks.ts'

const oracle = new TextOracle()
const accepts = (grammar: string, text: string) => oracle.accepts({ type: 'ebnf', grammar }, text)

const arithmetic = `
# sums and products
root  ::= expr ("=" expr)*
expr  ::= term ([-+*/] term)*
term  ::= num | "(" expr
  ")"
num   ::= [0-9]+
`

describe('texts of a grammar', () => {
  test.each([
    [arithmetic, '1+2*(3-4)=5', true],
    [arithmetic, '((((7))))', true],
    [arithmetic, '((7)', false],
    [arithmetic, '1+', false],
    ['root ::= "a"{2,3} | "b"? "c"', 'aa', true],
    ['root ::= "a"{2,3} | "b"? "c"', 'a', false],
    ['root ::= "a"{2,3} | "b"? "c"', 'c', true],
    ['root ::= "\\"" [^"\\\\\\n]* "\\""', '"say 日本 😀"', true],
    ['root ::= "\\"" [^"\\\\\\n]* "\\""', '"say "', true],
    ['root ::= "\\"" [^"\\\\\\n]* "\\""', '"a\n"', false],
    ['root ::= "\\x41\\u00e9\\U0001F600"', 'Aé😀', true],
    ['root ::= . [a-c\\-] ', '日-', true],
    ['root ::= "" | "x" root', 'xxxx', true],
    ['root ::= a b\na ::= "x"?\nb ::= "y"', 'y', true],
    ['root ::= a{2,} # at least two\na ::= [xy]', 'xyxy', true],
    ['root ::= a{2,}\na ::= [xy]', 'x', false],
    ['root ::= (("a" | "b") "c")+', 'acbc', true],
  ])('%j: %j is %s', (grammar, text, expected) => {
    expect(accepts(grammar, text)).toBe(expected)
  })

  test('an ambiguous grammar costs no more the longer its text is', () => {
    const grammar = 'root ::= s\ns ::= "a" s "b" | "a" s "c" | "a"* [bc]*'
    expect(accepts(grammar, `${'a'.repeat(200)}${'bc'.repeat(50)}`)).toBe(true)
  })
})

test.each([
  ['root ::= root "a" | "a"', 'begins with itself'],
  ['root ::= a\na ::= b "x"\nb ::= "y"? a', 'begins with itself'],
  ['root ::= "a" root', 'No text satisfies'],
  ['item ::= "a"', 'no rule "root"'],
  ['root ::= other', 'uses the rule "other"'],
  ['root ::= "a"\nroot ::= "b"', 'defines the rule "root" twice'],
  ['root ::= "a', 'without an end (line 1, column 10)'],
  ['root ::= ("a"', 'without ")"'],
  ['root ::= "a")', 'name ::='],
  ['root ::= [z-a]', 'backwards'],
  ['root ::= "a"{3,1}', 'backwards'],
  ['root ::= "a" (= "b")', 'looks ahead'],
  ['root ::= "\\ud800"', 'no character'],
  ['root ::= "a"{1,99999}', 'more than 65536'],
  ['root ::= (("a"{1,2000}){1,2000})', 'more than 300000 positions'],
  ['', 'no rule "root"'],
])('%j is refused: %s', (grammar, reason) => {
  expect(() => accepts(grammar, 'a')).toThrow(GrammarError)
  expect(() => accepts(grammar, 'a')).toThrow(reason)
})
