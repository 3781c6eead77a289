import {
  allCharacters,
  type CodeRanges,
  complement,
  difference,
  intersection,
  single,
  unionOf,
} from './characters.ts'
import { GrammarError } from './errors.ts'
import type { Expression, ExpressionAutomaton } from './expression.ts'

/** Most states of a condition on strings, or of several at once. */
const maxStates = 20_000

/** A condition on texts, read character by character; states are values whose equality `key` decides. */
export interface TextAutomaton<State = unknown> {
  readonly start: State
  key(state: State): string | number
  /** Disjoint ranges; characters in none of them are refused. */
  moves(state: State): readonly { readonly ranges: CodeRanges; readonly to: State }[]
  accepts(state: State): boolean
}

/** Texts of `min` to `max` characters. */
export function lengthBetween(min: number, max: number | null): TextAutomaton<number> {
  const last = max ?? min
  return {
    start: 0,
    key: (length) => length,
    moves: (length) => {
      if (length < last) return [{ ranges: allCharacters, to: length + 1 }]
      return max === null ? [{ ranges: allCharacters, to: length }] : []
    },
    accepts: (length) => length >= min,
  }
}

interface NameNode {
  readonly id: number
  readonly children: Map<string, NameNode>
  isName: boolean
}

/** All texts but the given ones. */
export function noneOf(names: Iterable<string>): TextAutomaton<NameNode | null> {
  let count = 0
  const node = (): NameNode => {
    count += 1
    return { id: count, children: new Map(), isName: false }
  }
  const start = node()
  for (const name of names) {
    let at = start
    for (const character of name) {
      let child = at.children.get(character)
      if (!child) {
        child = node()
        at.children.set(character, child)
      }
      at = child
    }
    at.isName = true
  }
  return {
    start,
    key: (state) => state?.id ?? 0,
    moves: (state) => {
      if (state === null) return [{ ranges: allCharacters, to: null }]
      const known = unionOf([...state.children.keys()].map(single))
      return [
        ...[...state.children].map(([character, to]) => ({ ranges: [single(character)], to })),
        { ranges: complement(known), to: null },
      ]
    },
    accepts: (state) => state === null || !state.isName,
  }
}

/** All texts that do not contain a word. */
export function without(word: string): TextAutomaton<number> {
  const letters = [...word]
  const known = [...new Set(letters)]
  // How much of the word the text ends with.
  const after = (length: number, letter: string): number => {
    const read = [...letters.slice(0, length), letter]
    let next = read.length
    while (next > 0 && letters.slice(0, next).join('') !== read.slice(-next).join('')) next -= 1
    return next
  }
  const others = complement(unionOf(known.map(single)))
  return {
    start: 0,
    key: (length) => length,
    moves: (length) => [
      { ranges: others, to: 0 },
      ...known
        .map((letter) => ({ ranges: [single(letter)], to: after(length, letter) }))
        .filter(({ to }) => to < letters.length),
    ],
    accepts: () => true,
  }
}

/** Texts of one or more of the given characters. */
export function madeOf(ranges: CodeRanges): TextAutomaton<number> {
  return {
    start: 0,
    key: (length) => length,
    moves: () => [{ ranges, to: 1 }],
    accepts: (length) => length > 0,
  }
}

/** Decimal numbers, with or without a sign, that are multiples of `divisor`. */
export function multiplesOf(divisor: number): TextAutomaton<number> {
  const none = -1
  const moves = (remainder: number) =>
    Array.from({ length: 10 }, (_, digit) => ({
      ranges: [single(String(digit))],
      to: ((remainder === none ? 0 : remainder) * 10 + digit) % divisor,
    }))
  return {
    start: none,
    key: (remainder) => remainder,
    moves: (remainder) =>
      remainder === none ? [...moves(remainder), { ranges: [single('-')], to: none }] : moves(remainder),
    accepts: (remainder) => remainder === 0,
  }
}

interface Edges {
  readonly silent: number[]
  readonly moves: { readonly ranges: CodeRanges; readonly to: number }[]
}

/**
 * The texts of an expression without rules, tokens and bytes.
 *
 * @param path - where the expression stands, for messages
 */
export function textsOf(expression: Expression, path: string | null): TextAutomaton<readonly number[]> {
  const places: Edges[] = []
  const place = (): number => {
    if (places.length >= maxStates) throw tooLarge(path)
    places.push({ silent: [], moves: [] })
    return places.length - 1
  }
  const add = (part: Expression, from: number, to: number): void => {
    switch (part.kind) {
      case 'text': {
        let at = from
        for (const character of part.text) {
          const next = place()
          places[at]!.moves.push({ ranges: [single(character)], to: next })
          at = next
        }
        places[at]!.silent.push(to)
        return
      }
      case 'characters':
        places[from]!.moves.push({ ranges: part.ranges, to })
        return
      case 'sequence': {
        let at = from
        for (const inner of part.parts) {
          const next = place()
          add(inner, at, next)
          at = next
        }
        places[at]!.silent.push(to)
        return
      }
      case 'choice':
        for (const option of part.options) add(option, from, to)
        return
      case 'repeat': {
        let at = from
        for (let i = 0; i < (part.max ?? part.min); i += 1) {
          if (i >= part.min) places[at]!.silent.push(to)
          const next = place()
          add(part.of, at, next)
          at = next
        }
        if (part.max === null) {
          const loop = place()
          places[at]!.silent.push(loop)
          add(part.of, loop, loop)
          at = loop
        }
        places[at]!.silent.push(to)
        return
      }
      default:
        throw new Error(`A condition on strings cannot contain a ${part.kind}.`)
    }
  }
  const first = place()
  const last = place()
  add(expression, first, last)

  const closure = (from: Iterable<number>): readonly number[] => {
    const reached = new Set(from)
    for (const at of reached) for (const to of places[at]!.silent) reached.add(to)
    return [...reached].filter((at) => at === last || places[at]!.moves.length > 0).sort((a, b) => a - b)
  }
  return {
    start: closure([first]),
    key: (state) => state.join(','),
    moves: (state) => {
      const all = state.flatMap((at) => places[at]!.moves)
      return splitRanges(all.map(({ ranges }) => ranges)).map((ranges) => ({
        ranges,
        to: closure(all.filter((move) => contains(move.ranges, ranges[0]![0])).map(({ to }) => to)),
      }))
    },
    accepts: (state) => state.includes(last),
  }
}

/**
 * Texts that all conditions allow.
 *
 * @param over - how a character of the given ranges is written
 * @param path - where the conditions stand, for messages
 * @throws GrammarError if that takes too many states
 */
export function allOf(
  conditions: readonly TextAutomaton[],
  over: (ranges: CodeRanges) => Expression,
  path: string | null,
): ExpressionAutomaton {
  const numbers = new Map<string, number>()
  const states: (readonly unknown[])[] = []
  const number = (state: readonly unknown[]): number => {
    const key = state.map((part, i) => conditions[i]!.key(part)).join('|')
    let known = numbers.get(key)
    if (known === undefined) {
      if (states.length >= maxStates) throw tooLarge(path)
      known = states.push(state) - 1
      numbers.set(key, known)
    }
    return known
  }
  number(conditions.map(({ start }) => start))
  const edges: { from: number; to: number; over: Expression }[] = []
  const accepting: number[] = []
  for (let from = 0; from < states.length; from += 1) {
    const state = states[from]!
    if (state.every((part, i) => conditions[i]!.accepts(part))) accepting.push(from)
    let joint: { ranges: CodeRanges; to: readonly unknown[] }[] = [{ ranges: allCharacters, to: [] }]
    for (const [i, condition] of conditions.entries()) {
      const moves = condition.moves(state[i])
      joint = joint.flatMap(({ ranges, to }) =>
        moves
          .map((move) => ({ ranges: intersection(ranges, move.ranges), to: [...to, move.to] }))
          .filter((move) => move.ranges.length > 0),
      )
    }
    const byTarget = new Map<number, CodeRanges>()
    for (const { ranges, to } of joint) {
      const target = number(to)
      byTarget.set(target, unionOf([...(byTarget.get(target) ?? []), ...ranges]))
    }
    for (const [to, ranges] of byTarget) edges.push({ from, to, over: over(ranges) })
  }
  return { kind: 'automaton', states: states.length, start: 0, edges, accepting }
}

/** The coarsest ranges of which each of the given ones is a union. */
function splitRanges(all: readonly CodeRanges[]): readonly CodeRanges[] {
  let parts: CodeRanges[] = []
  for (const ranges of all) {
    const next: CodeRanges[] = []
    let left = ranges
    for (const part of parts) {
      const inside = intersection(part, ranges)
      const outside = difference(part, ranges)
      if (inside.length > 0) next.push(inside)
      if (outside.length > 0) next.push(outside)
      left = difference(left, part)
    }
    if (left.length > 0) next.push(left)
    parts = next
  }
  return parts
}

function contains(ranges: CodeRanges, code: number): boolean {
  return ranges.some(([first, end]) => code >= first && code < end)
}

function tooLarge(path: string | null): GrammarError {
  return new GrammarError(
    `The conditions on a string at ${path || 'the root'} take more than ${maxStates} states together.`,
    'Lower the bounds of its length, or fold them into the pattern.',
    path,
  )
}
