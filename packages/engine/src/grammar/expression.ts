import { allCharacters, type ByteRange, type CodeRanges, rangesOf } from './characters.ts'

/** A named expression; the name is for messages. */
export interface Rule {
  readonly name: string
  readonly body: Expression
}

/** A rule that is called before its body is known. */
export interface OpenRule extends Rule {
  body: Expression
}

/** Edges between numbered states; a text is accepted along a path from `start` to one of `accepting`. */
export interface ExpressionAutomaton {
  readonly kind: 'automaton'
  readonly states: number
  readonly start: number
  readonly edges: readonly { readonly from: number; readonly to: number; readonly over: Expression }[]
  readonly accepting: readonly number[]
}

/** A set of texts; every front end (schema, regex, EBNF, structural tag) ends here. */
export type Expression =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'characters'; readonly ranges: CodeRanges }
  /** One byte, part of a character or not. */
  | { readonly kind: 'byte'; readonly range: ByteRange }
  | { readonly kind: 'sequence'; readonly parts: readonly Expression[] }
  | { readonly kind: 'choice'; readonly options: readonly Expression[] }
  /** `max` is `null` without an upper bound; else at least `min`. */
  | { readonly kind: 'repeat'; readonly of: Expression; readonly min: number; readonly max: number | null }
  | { readonly kind: 'rule'; readonly rule: Rule }
  /** A control token, by its spelling or its id; ordinary tokens are matched by their bytes. */
  | { readonly kind: 'token'; readonly token: string | number }
  | ExpressionAutomaton

export const nothing: Expression = { kind: 'sequence', parts: [] }
/** Matches no text at all, not even the empty one. */
export const impossible: Expression = { kind: 'choice', options: [] }
export const anyCharacter: Expression = { kind: 'characters', ranges: allCharacters }
export const digit: Expression = { kind: 'characters', ranges: rangesOf('0123456789') }

export function text(content: string): Expression {
  return { kind: 'text', text: content }
}

export function characters(ranges: CodeRanges): Expression {
  return { kind: 'characters', ranges }
}

export function oneOf(content: string): Expression {
  return { kind: 'characters', ranges: rangesOf(content) }
}

export function sequence(...parts: readonly Expression[]): Expression {
  return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts }
}

export function choice(...options: readonly Expression[]): Expression {
  return options.length === 1 ? options[0]! : { kind: 'choice', options }
}

export function repeat(of: Expression, min: number, max: number | null): Expression {
  return { kind: 'repeat', of, min, max }
}

export function optional(of: Expression): Expression {
  return choice(nothing, of)
}

export function rule(name: string, body: Expression = impossible): OpenRule {
  return { name, body }
}

/** A rule whose body is made when it is needed: what takes long is left to those who compile. */
export function lateRule(name: string, make: () => Expression): Rule {
  let made: Expression | null = null
  return {
    name,
    get body() {
      made ??= make()
      return made
    },
  }
}

export function call(target: Rule): Expression {
  return { kind: 'rule', rule: target }
}
