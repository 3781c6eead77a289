import type { Expression, ExpressionAutomaton } from './expression.ts'

/** What follows where one of the marks has just been completed. */
export interface Mark {
  readonly text: string
  /** A state of the automaton built around, or `null` where the free text ends with the mark. */
  readonly follows: Expression | null
}

interface Place {
  readonly children: Map<number, number>
  fallback: number
  /** The mark that ends here or at the longest suffix of what was read. */
  mark: number
}

const utf8 = new TextEncoder()

/**
 * Any bytes in which marks are looked for. After a mark whose `follows` is an expression, that expression follows and free
 * text goes on; a mark without one ends the text. Without such a mark the text may end anywhere.
 *
 * @param excluded - texts that must not occur
 * @param goesOn - whether free text follows the expression of a mark; else the text ends there
 * @see Aho & Corasick 1975, "Efficient string matching", Communications of the ACM 18(6)
 */
export function freeText(
  marks: readonly Mark[],
  excluded: readonly string[],
  goesOn: boolean,
): ExpressionAutomaton {
  const words = [...marks.map(({ text }) => text), ...excluded]
  const places = buildPlaces(words)
  const end = places.length
  const edges: { from: number; to: number; over: Expression }[] = []
  let count = end + 1
  for (const [from, { mark }] of places.entries()) {
    if (mark >= 0) continue
    for (const { first, last, to } of moves(places, from)) {
      const reached = places[to]!.mark
      if (reached >= marks.length) continue
      const over: Expression = { kind: 'byte', range: [first, last + 1] }
      if (reached < 0) {
        edges.push({ from, to, over })
        continue
      }
      const { follows } = marks[reached]!
      if (follows === null) edges.push({ from, to: end, over })
      else {
        edges.push({ from, to: count, over }, { from: count, to: goesOn ? 0 : end, over: follows })
        count += 1
      }
    }
  }
  const endsAnywhere = marks.every(({ follows }) => follows !== null)
  const open = endsAnywhere ? [...places.keys()].filter((place) => places[place]!.mark < 0) : []
  return { kind: 'automaton', states: count, start: 0, edges, accepting: [...open, end] }
}

function buildPlaces(words: readonly string[]): readonly Place[] {
  const places: Place[] = [{ children: new Map(), fallback: 0, mark: -1 }]
  for (const [number, word] of words.entries()) {
    let at = 0
    for (const byte of utf8.encode(word)) {
      let child = places[at]!.children.get(byte)
      if (child === undefined) {
        child = places.push({ children: new Map(), fallback: 0, mark: -1 }) - 1
        places[at]!.children.set(byte, child)
      }
      at = child
    }
    if (places[at]!.mark < 0) places[at]!.mark = number
  }
  const waiting = [0]
  for (const at of waiting) {
    for (const [byte, child] of places[at]!.children) {
      waiting.push(child)
      if (at === 0) continue
      let fallback = places[at]!.fallback
      while (fallback > 0 && !places[fallback]!.children.has(byte)) fallback = places[fallback]!.fallback
      places[child]!.fallback = places[fallback]!.children.get(byte) ?? 0
      if (places[child]!.mark < 0) places[child]!.mark = places[places[child]!.fallback]!.mark
    }
  }
  return places
}

/** Runs of bytes that lead from one place to one other. */
function moves(places: readonly Place[], from: number): { first: number; last: number; to: number }[] {
  const runs: { first: number; last: number; to: number }[] = []
  for (let byte = 0; byte < 256; byte += 1) {
    let at = from
    while (at > 0 && !places[at]!.children.has(byte)) at = places[at]!.fallback
    const to = places[at]!.children.get(byte) ?? 0
    const last = runs.at(-1)
    if (last?.to === to) last.last = byte
    else runs.push({ first: byte, last: byte, to })
  }
  return runs
}
