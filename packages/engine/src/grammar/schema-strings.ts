import { type CodeRanges, single } from './characters.ts'
import { GrammarError } from './errors.ts'
import {
  call,
  characters,
  type Expression,
  impossible,
  lateRule,
  repeat,
  rule,
  sequence,
  text,
} from './expression.ts'
import { freeFormats, integerFormats, stringFormats } from './formats.ts'
import { freeText } from './free-text.ts'
import { anyString, anyStringCharacter, inString } from './json-text.ts'
import { parseRegex } from './regex.ts'
import { readCounts } from './schema-facts.ts'
import { type SchemaNode, shown } from './schema-reader.ts'
import { type JsonObject, pointer } from './spec.ts'
import { allOf, lengthBetween, type TextAutomaton, textsOf, without } from './text-automaton.ts'

/** Longest string that a bound is kept exactly for; a higher `maxLength` counts as this one. */
const longestString = 16_384

interface StringFacts {
  /** What patterns and formats demand, in characters of the value. */
  readonly patterns: readonly { readonly expression: Expression; readonly path: string }[]
  readonly min: number
  readonly max: number | null
}

export function stringExpression(nodes: readonly SchemaNode[]): Expression {
  const { patterns, min, max } = readStringFacts(nodes)
  const [first] = patterns
  if (max !== null && max < min) return impossible
  if (first && (patterns.length > 1 || min > 0 || max !== null))
    return quotedWhere(() => stringConditions(nodes), first.path)
  if (first) return quoted(spelledInString(first.expression))
  if (min === 0 && max === null) return anyString
  return quoted(repeat(anyStringCharacter, min, max))
}

/** The conditions on a string's value, none if it is free. */
export function stringConditions(nodes: readonly SchemaNode[]): readonly TextAutomaton[] {
  const { patterns, min, max } = readStringFacts(nodes)
  const conditions: TextAutomaton[] = patterns.map(({ expression, path }) => textsOf(expression, path))
  if (min > 0 || max !== null) conditions.push(lengthBetween(min, max))
  return conditions
}

export function acceptsText(conditions: readonly TextAutomaton[], content: string): boolean {
  return conditions.every((condition) => {
    let state = condition.start
    for (const character of content) {
      const code = character.codePointAt(0)!
      const move = condition
        .moves(state)
        .find(({ ranges }) => ranges.some(([first, end]) => code >= first && code < end))
      if (!move) return false
      state = move.to
    }
    return condition.accepts(state)
  })
}

/** A string whose value satisfies all conditions. */
export function quotedWhere(conditions: () => readonly TextAutomaton[], path: string | null): Expression {
  const content = lateRule('string', () => allOf(conditions(), inString, path))
  return quoted(call(content))
}

/** A string as it is, without quotes or escapes. @param excluded - texts that it cannot contain */
export function bareString(nodes: readonly SchemaNode[], excluded: readonly string[]): Expression {
  const { patterns, min, max } = readStringFacts(nodes)
  if (max !== null && max < min) return impossible
  if (patterns.length === 0 && min === 0 && max === null) return freeText([], excluded, true)
  const conditions = () => [...stringConditions(nodes), ...excluded.map(without)]
  return call(lateRule('text', () => allOf(conditions(), characters, patterns[0]?.path ?? null)))
}

function quoted(content: Expression): Expression {
  return call(rule('string', sequence(text('"'), content, text('"'))))
}

function readStringFacts(nodes: readonly SchemaNode[]): StringFacts {
  const { min, max } = readCounts(nodes, 'minLength', 'maxLength')
  if (min > longestString)
    throw new GrammarError(
      `minLength at ${shown(nodes[0]!.path)} is ${min}; at most ${longestString} can be counted.`,
      'Lower it.',
      nodes[0]!.path,
    )
  const patterns: { expression: Expression; path: string }[] = []
  for (const { schema, path } of nodes) {
    const { pattern, format } = schema as JsonObject
    if (pattern !== undefined) {
      const at = pointer(path, 'pattern')
      if (typeof pattern !== 'string')
        throw new GrammarError(
          `pattern at ${shown(at)} is ${JSON.stringify(pattern)}.`,
          'It must be a string.',
          at,
        )
      patterns.push({ expression: parseRegex(pattern, 'anywhere', at), path: at })
    }
    if (format !== undefined) {
      const at = pointer(path, 'format')
      const known = readFormat(format, at)
      if (known !== null) patterns.push({ expression: parseRegex(known, 'whole', at), path: at })
    }
  }
  return { patterns, min, max: max === null ? null : Math.min(max, longestString) }
}

/** @returns the pattern of a string format, `null` if it leaves strings free */
function readFormat(format: unknown, path: string): string | null {
  if (typeof format === 'string') {
    if (freeFormats.has(format) || integerFormats.has(format)) return null
    const pattern = stringFormats.get(format)
    if (pattern !== undefined) return pattern
  }
  throw new GrammarError(
    `The format ${JSON.stringify(format)} at ${shown(path)} cannot be enforced.`,
    `Known are ${[...stringFormats.keys()].join(', ')}; or say it with a pattern.`,
    path,
  )
}

/** An expression over a string's characters as one over how they are written. */
function spelledInString(expression: Expression): Expression {
  switch (expression.kind) {
    case 'text':
      return sequence(...[...expression.text].map((character) => inString([single(character)])))
    case 'characters':
      return inString(expression.ranges as CodeRanges)
    case 'sequence':
      return { kind: 'sequence', parts: expression.parts.map(spelledInString) }
    case 'choice':
      return { kind: 'choice', options: expression.options.map(spelledInString) }
    case 'repeat':
      return { ...expression, of: spelledInString(expression.of) }
    default:
      throw new Error(`A pattern cannot contain a ${expression.kind}.`)
  }
}
