import { buildByteAutomaton, type StandIn } from './byte-automaton.ts'
import { GrammarError } from './errors.ts'
import type { Expression } from './expression.ts'
import { type ParseState, Recognizer, type StackNode } from './recognizer.ts'
import type { TokenTrie } from './token-trie.ts'
import type { GrammarVocabulary } from './vocabulary.ts'

/** How much farther from its end a token may bring a text and still be called cheap. */
const cheapGrowth = 8
/** Tokens of a shortest text whose masks are found ahead. */
const warmTokens = 64

/** The tokens that may follow a state. */
export interface StateMask {
  /** Bit `i & 31` of word `i >> 5` stands for token `i`; stop tokens are not among them. */
  readonly words: Uint32Array
  /** After every token but those in `costly` the text ends within this many symbols. */
  readonly cheapDistance: number
  /** Pairs of a token and the distance behind it. */
  readonly costly: Int32Array
}

/** The tokens that may follow some positions as long as their rules do not end. */
interface InnerMask {
  readonly words: Uint32Array
  readonly cheapDistance: number
  /** Tokens behind which the end is farther. */
  readonly costly: readonly number[]
  /** Nodes of the token tree behind which the rules may end and a token goes on. */
  readonly exits: readonly number[]
}

/** A vocabulary made ready for masks; shared by all grammars. */
export interface TokenSet {
  readonly vocabulary: GrammarVocabulary
  readonly trie: TokenTrie
}

/**
 * A compiled grammar over one vocabulary: which tokens lead from a state to which, and how a text is completed in few
 * tokens. Masks are kept with their states.
 */
export class TokenMasks {
  readonly start: ParseState
  readonly words: number
  readonly #recognizer: Recognizer
  readonly #set: TokenSet
  /** Symbol classes of the grammar's control tokens, by id. */
  readonly #tokenClasses: ReadonlyMap<number, number>
  readonly #standIns: ReadonlyMap<number, StandIn>
  readonly #masks = new Map<ParseState, StateMask>()
  /** By the numbers of the positions. */
  readonly #innerMasks = new Map<string, InnerMask>()
  readonly #closings = new Map<ParseState, Int32Array | null>()
  readonly #path: ParseState[] = []
  readonly #maxCachedMasks: number

  /**
   * @param cacheBytes - for kept masks
   * @throws GrammarError
   */
  constructor(expression: Expression, set: TokenSet, cacheBytes: number) {
    this.#set = set
    this.words = Math.ceil(set.vocabulary.size / 32)
    this.#maxCachedMasks = Math.max(1, Math.floor(cacheBytes / (this.words * 8)))
    const automaton = buildByteAutomaton(expression, (token) => findControlToken(set.vocabulary, token))
    this.#standIns = automaton.standIns
    const { tokenOfByte } = set.trie
    this.#recognizer = new Recognizer(automaton, (first, end) => {
      for (let byte = first; byte < end; byte += 1) if (tokenOfByte[byte]! >= 0) return true
      return false
    })
    this.start = this.#recognizer.start
    const { byteClasses } = this.#recognizer
    this.#tokenClasses = new Map(automaton.tokens.map((id, number) => [id, byteClasses + number]))
  }

  /** Finds the masks along a shortest text, among them those of its strings, before an answer waits for them. */
  warm(): void {
    let state: ParseState | null = this.start
    for (const token of this.closing(state)?.subarray(0, warmTokens) ?? []) {
      if (state) this.mask(state)
      state = state && this.advance(state, token)
    }
  }

  /** @returns `null` if the token does not fit */
  advance(state: ParseState, token: number): ParseState | null {
    const tokenClass = this.#tokenClasses.get(token)
    if (tokenClass !== undefined) return this.#recognizer.step(state, tokenClass)
    const { bytes, offsets, special, size } = this.#set.vocabulary
    if (token >= size || special[token] || offsets[token] === offsets[token + 1]) return null
    let at: ParseState | null = state
    for (let i = offsets[token]!; i < offsets[token + 1]! && at; i += 1) at = this.#stepByte(at, bytes[i]!)
    return at
  }

  /** Tokens that may follow, without regard to a limit. */
  mask(state: ParseState): StateMask {
    const known = this.#masks.get(state)
    if (known) return known
    const mask = this.#findMask(state)
    keep(this.#masks, state, mask, this.#maxCachedMasks)
    return mask
  }

  /**
   * Tokens after which the text can be completed within `budget` further tokens.
   *
   * @param exact - count the tokens of the shortest completion, not its bytes: slower, and lets more pass
   */
  maskWithin(state: ParseState, budget: number, exact: boolean): Uint32Array {
    if (budget < 0) return new Uint32Array(this.words)
    if (!exact) {
      const { words, cheapDistance, costly } = this.mask(state)
      if (cheapDistance <= budget) {
        const within = words.slice()
        for (let i = 0; i < costly.length; i += 2) {
          const token = costly[i]!
          if (costly[i + 1]! > budget) within[token >> 5]! &= ~(1 << (token & 31))
        }
        return within
      }
    }
    const words = new Uint32Array(this.words)
    const judge = (token: number, next: ParseState): void => {
      const fits = next.distance <= budget || (exact && (this.closing(next)?.length ?? budget + 1) <= budget)
      if (fits) words[token >> 5]! |= 1 << (token & 31)
    }
    this.#walk(0, this.#set.trie.byte.length, state, judge)
    this.#visitControls(state, judge)
    return words
  }

  /** A shortest completion in symbols, cut into as few tokens as it can be; `null` if a byte of it is no token. */
  closing(state: ParseState): Int32Array | null {
    const known = this.#closings.get(state)
    if (known !== undefined) return known
    const found = this.#findClosing(state)
    if (this.#closings.size >= 10_000) this.#closings.clear()
    this.#closings.set(state, found)
    return found
  }

  /**
   * A rule reads the same tokens whoever called it, up to its end. So the positions of each stack node are looked at
   * alone first, which gives most of the mask and is kept; then, behind each beginning of a token with which the rule
   * may end, the rest is read by the caller.
   */
  #findMask(state: ParseState): StateMask {
    const words = new Uint32Array(this.words)
    const { depth, skip } = this.#set.trie
    const perhapsCostly = new Set<number>()
    let cheapDistance = state.distance + cheapGrowth
    const allow = (token: number, next: ParseState): void => {
      words[token >> 5]! |= 1 << (token & 31)
      if (next.distance > state.distance + cheapGrowth) perhapsCostly.add(token)
    }
    for (const [node, positions] of groupByNode(state)) {
      const { standIns, room } = this.#standIn(positions)
      const inner = this.#innerMask(standIns)
      for (let word = 0; word < words.length; word += 1) words[word]! |= inner.words[word]!
      for (const token of inner.costly) perhapsCostly.add(token)
      cheapDistance = Math.max(cheapDistance, inner.cheapDistance + node.distance)
      const caller = this.#recognizer.returned(node)
      if (caller)
        for (const exit of inner.exits)
          if (depth[exit]! < room) this.#walk(exit + 1, skip[exit]!, caller, allow)
      this.#judgeLongTokens(state, room, words, allow)
    }
    this.#visitControls(state, allow)
    const costly: number[] = []
    for (const token of perhapsCostly) {
      const distance = this.advance(state, token)?.distance ?? 0
      if (distance > cheapDistance) costly.push(token, distance)
    }
    return { words, cheapDistance, costly: Int32Array.from(costly) }
  }

  /** Positions of uncounted repetitions that read the same tokens of up to `room` bytes. */
  #standIn(positions: readonly number[]): { standIns: readonly number[]; room: number } {
    let room = Number.POSITIVE_INFINITY
    const standIns = positions.map((position) => {
      const known = this.#standIns.get(position)
      if (known) room = Math.min(room, known.room)
      return known?.position ?? position
    })
    // Where many tokens are longer, looking at them one by one would take longer than a walk.
    return room < this.#set.trie.longTokenBytes
      ? { standIns: positions, room: Number.POSITIVE_INFINITY }
      : { standIns, room }
  }

  #innerMask(positions: readonly number[]): InnerMask {
    const key = positions.join(',')
    const known = this.#innerMasks.get(key)
    if (known) return known
    const start = this.#recognizer.alone(positions)
    const words = new Uint32Array(this.words)
    const cheapDistance = start.distance + cheapGrowth
    const costly: number[] = []
    const exits: number[] = []
    const allow = (token: number, next: ParseState): void => {
      words[token >> 5]! |= 1 << (token & 31)
      if (next.distance > cheapDistance) costly.push(token)
    }
    this.#walk(0, this.#set.trie.byte.length, start, allow, exits)
    const mask = { words, cheapDistance, costly, exits }
    keep(this.#innerMasks, key, mask, this.#maxCachedMasks)
    return mask
  }

  /** Decides one by one on the tokens of more than `room` bytes. */
  #judgeLongTokens(
    state: ParseState,
    room: number,
    words: Uint32Array,
    allow: (token: number, next: ParseState) => void,
  ): void {
    const { offsets } = this.#set.vocabulary
    for (const token of this.#set.trie.longTokens) {
      if (offsets[token + 1]! - offsets[token]! <= room) break
      const next = this.advance(state, token)
      if (next) allow(token, next)
      else words[token >> 5]! &= ~(1 << (token & 31))
    }
  }

  #stepByte(state: ParseState, byte: number): ParseState | null {
    return this.#recognizer.step(state, this.#recognizer.classOfByte[byte]!)
  }

  #visitControls(state: ParseState, visit: (token: number, next: ParseState) => void): void {
    for (const id of this.#tokenClasses.keys()) {
      const next = this.advance(state, id)
      if (next) visit(id, next)
    }
  }

  /**
   * Visits the tokens at the nodes from `first` to `end` that may follow, with the state behind each.
   *
   * @param state - the one behind what stands above `first`
   * @param exits - takes the nodes behind which the text may end and a token goes on
   */
  #walk(
    first: number,
    end: number,
    state: ParseState,
    visit: (token: number, next: ParseState) => void,
    exits: number[] | null = null,
  ): void {
    const recognizer = this.#recognizer
    const { byte, depth, token, skip, twins } = this.#set.trie
    const { classOfByte } = recognizer
    const path = this.#path
    if (first < end) path[depth[first]!] = state
    for (let node = first; node < end; ) {
      const level = depth[node]!
      const before = path[level]!
      const moves = before.moves ?? recognizer.moves(before)
      const group = moves.groups[moves.offset + classOfByte[byte[node]!]!]!
      const known = moves.targets[group]
      const next = known === undefined ? recognizer.reach(moves, group) : known
      if (next === null) {
        node = skip[node]!
        continue
      }
      path[level + 1] = next
      const id = token[node]!
      if (id >= 0) {
        visit(id, next)
        const others = twins.size > 0 ? twins.get(id) : undefined
        if (others) for (const other of others) visit(other, next)
      }
      if (exits !== null && next.accepts && skip[node]! > node + 1) exits.push(node)
      node += 1
    }
  }

  #findClosing(state: ParseState): Int32Array | null {
    const tokens: number[] = []
    let run: number[] = []
    let at = state
    while (at.distance > 0) {
      const step = this.#stepCloser(at)
      if (step === null) return null
      if ('token' in step) {
        if (!this.#cut(run, tokens)) return null
        run = []
        tokens.push(step.token)
      } else run.push(step.byte)
      at = step.next
    }
    return this.#cut(run, tokens) ? Int32Array.from(tokens) : null
  }

  #stepCloser(
    state: ParseState,
  ): { byte: number; next: ParseState } | { token: number; next: ParseState } | null {
    const { tokenOfByte } = this.#set.trie
    // Letters and digits first: where any character would do, a readable one is written.
    for (const byte of bytesByPreference) {
      if (tokenOfByte[byte]! < 0) continue
      const next = this.#stepByte(state, byte)
      if (next && next.distance < state.distance) return { byte, next }
    }
    for (const id of this.#tokenClasses.keys()) {
      const next = this.advance(state, id)
      if (next && next.distance < state.distance) return { token: id, next }
    }
    return null
  }

  /** Appends the fewest tokens that write `run`. */
  #cut(run: readonly number[], tokens: number[]): boolean {
    const fewest = new Float64Array(run.length + 1).fill(Number.POSITIVE_INFINITY)
    const chosen = new Int32Array(run.length)
    const lengths = new Int32Array(run.length)
    fewest[run.length] = 0
    const { byte, token, skip } = this.#set.trie
    for (let start = run.length - 1; start >= 0; start -= 1) {
      let node = 0
      let end = byte.length
      for (let i = start; i < run.length; i += 1) {
        while (node < end && byte[node] !== run[i]) node = skip[node]!
        if (node >= end) break
        const id = token[node]!
        if (id >= 0 && fewest[i + 1]! + 1 < fewest[start]!) {
          fewest[start] = fewest[i + 1]! + 1
          chosen[start] = id
          lengths[start] = i + 1 - start
        }
        end = skip[node]!
        node += 1
      }
    }
    if (fewest[0] === Number.POSITIVE_INFINITY) return false
    for (let start = 0; start < run.length; start += lengths[start]!) tokens.push(chosen[start]!)
    return true
  }
}

function groupByNode(state: ParseState): ReadonlyMap<StackNode, readonly number[]> {
  const groups = new Map<StackNode, number[]>()
  for (const [i, position] of state.positions.entries()) {
    const group = groups.get(state.nodes[i]!)
    if (group) group.push(position)
    else groups.set(state.nodes[i]!, [position])
  }
  return groups
}

/** Adds to a cache, of which the oldest entry goes when it is full: a Map keeps the order of insertion. */
function keep<Key, Value>(cache: Map<Key, Value>, key: Key, value: Value, capacity: number): void {
  if (cache.size >= capacity) cache.delete(cache.keys().next().value!)
  cache.set(key, value)
}

function findControlToken(
  { special, bytes, offsets, size }: GrammarVocabulary,
  token: string | number,
): number {
  if (typeof token === 'number') {
    if (special[token]) return token
  } else {
    const wanted = Buffer.from(token)
    for (let id = 0; id < size; id += 1)
      if (special[id] && wanted.equals(bytes.subarray(offsets[id], offsets[id + 1]))) return id
  }
  throw new GrammarError(
    `The model has no control token ${JSON.stringify(token)}.`,
    'Name one of its control tokens, or give the text as an ordinary string.',
  )
}

const bytesByPreference: readonly number[] = [
  ...Buffer.from('"}]0abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ123456789'),
  ...Array.from({ length: 256 }, (_, byte) => byte),
]
