import { allCharacters, type CodeRanges, difference, intersection, rangesOf } from './characters.ts'
import {
  call,
  characters,
  choice,
  digit,
  type Expression,
  nothing,
  oneOf,
  repeat,
  rule,
  sequence,
  text,
} from './expression.ts'

/**
 * What stands between the marks of JSON. Bounded, for a model that may write one more newline may do so forever:
 * nothing, a space, or a newline with an indent.
 */
const space = rule(
  'space',
  choice(
    nothing,
    text(' '),
    sequence(text('\n'), choice(repeat(text(' '), 0, 24), repeat(text('\t'), 1, 8))),
  ),
)
export const jsonSpace = call(space)
export const jsonColon = choice(text(':'), text(': '))

const controls: CodeRanges = [[0, 0x20]]
/** Characters a string holds as they are. */
const plainCharacters = difference(allCharacters, [...controls, ...rangesOf('"\\')])
const shortEscapes: ReadonlyMap<string, string> = new Map([
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
])

const hex = oneOf('0123456789abcdefABCDEF')
const escapeSequence = rule(
  'escape',
  sequence(
    text('\\'),
    choice(
      oneOf('"\\/bfnrt'),
      // Every code unit that is not half of a surrogate pair, or both halves.
      sequence(text('u'), oneOf('0123456789abcefABCEF'), repeat(hex, 3, 3)),
      sequence(text('u'), oneOf('dD'), oneOf('01234567'), repeat(hex, 2, 2)),
      sequence(
        text('u'),
        oneOf('dD'),
        oneOf('89abAB'),
        repeat(hex, 2, 2),
        text('\\u'),
        oneOf('dD'),
        oneOf('cdefCDEF'),
        repeat(hex, 2, 2),
      ),
    ),
  ),
)
const controlEscape = rule(
  'control',
  sequence(text('\\'), choice(oneOf('bfnrt'), sequence(text('u00'), oneOf('01'), hex))),
)

/** One character of a string in any of its spellings. */
export const anyStringCharacter = choice(characters(plainCharacters), call(escapeSequence))
export const anyString = call(
  rule('string', sequence(text('"'), repeat(anyStringCharacter, 0, null), text('"'))),
)

/** The given characters as they are written inside a string: escaped where they must be, plain elsewhere. */
export function inString(ranges: CodeRanges): Expression {
  if (ranges === allCharacters) return anySpelledCharacter
  const options: Expression[] = []
  const plain = intersection(ranges, plainCharacters)
  if (plain.length > 0) options.push(characters(plain))
  const escaped = intersection(ranges, rangesOf('"\\'))
  for (const [first, end] of escaped)
    for (let code = first; code < end; code += 1) options.push(text(spell(String.fromCharCode(code))))
  const control = intersection(ranges, controls)
  if (control[0]?.[0] === 0 && control[0][1] === 0x20) options.push(call(controlEscape))
  else
    for (const [first, end] of control)
      for (let code = first; code < end; code += 1) options.push(text(spell(String.fromCharCode(code))))
  return choice(...options)
}

const anySpelledCharacter = choice(
  characters(plainCharacters),
  text('\\"'),
  text('\\\\'),
  call(controlEscape),
)

function spell(character: string): string {
  const code = character.charCodeAt(0)
  return shortEscapes.get(character) ?? `\\u${code.toString(16).padStart(4, '0')}`
}

const wholePart = choice(text('0'), sequence(oneOf('123456789'), repeat(digit, 0, 17)))
export const anyInteger = call(
  rule(
    'integer',
    choice(text('0'), sequence(choice(nothing, text('-')), oneOf('123456789'), repeat(digit, 0, 17))),
  ),
)
/** Digits are bounded: a model that repeats itself would otherwise not leave a number. */
export const anyNumber = call(
  rule(
    'number',
    sequence(
      choice(nothing, text('-')),
      wholePart,
      choice(nothing, sequence(text('.'), repeat(digit, 1, 15))),
      choice(nothing, sequence(oneOf('eE'), choice(nothing, oneOf('+-')), repeat(digit, 1, 2))),
    ),
  ),
)
export const anyBoolean = choice(text('true'), text('false'))
export const jsonNull = text('null')

const value = rule('value')
/** Any JSON value. */
export const anyValue = call(value)
const anyArray = call(rule('array', jsonArray(anyValue)))
export const anyObject = call(rule('object', jsonMembers(sequence(anyString, jsonColon, anyValue))))
value.body = choice(anyObject, anyArray, anyString, anyNumber, anyBoolean, jsonNull)

function jsonArray(item: Expression): Expression {
  return delimited('[', item, ']')
}

function jsonMembers(member: Expression): Expression {
  return delimited('{', member, '}')
}

function delimited(open: string, part: Expression, close: string): Expression {
  const further = repeat(sequence(text(','), jsonSpace, part), 0, null)
  return choice(text(open + close), sequence(text(open), jsonSpace, part, further, jsonSpace, text(close)))
}

/** The text of one given value, with the freedom of spacing that all JSON has. */
export function jsonLiteral(content: unknown): Expression {
  if (Array.isArray(content)) return fixed('[', content.map(jsonLiteral), ']')
  if (typeof content === 'object' && content !== null)
    return fixed(
      '{',
      Object.entries(content).map(([key, inner]) =>
        sequence(text(JSON.stringify(key)), jsonColon, jsonLiteral(inner)),
      ),
      '}',
    )
  return text(JSON.stringify(content))
}

function fixed(open: string, parts: readonly Expression[], close: string): Expression {
  if (parts.length === 0) return text(open + close)
  const listed = parts.flatMap((part, i) => (i === 0 ? [part] : [text(','), jsonSpace, part]))
  return sequence(text(open), jsonSpace, ...listed, jsonSpace, text(close))
}
