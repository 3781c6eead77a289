import {
  type ByteAutomaton,
  byteEdge,
  callEdge,
  type Edges,
  silentEdge,
  tokenEdge,
} from './byte-automaton.ts'
import { shortestEnds } from './distances.ts'
import { GrammarError } from './errors.ts'

/** Most ways a text may be read at once. */
const maxItems = 4096
/** States kept for reuse; beyond, all are forgotten at once and made again as they are met. */
const maxStates = 50_000
const groupsAtOnce = 16_384

/** Where reading goes on when a called rule ends; one node for all callers of a rule at one place of the text. */
export interface StackNode {
  readonly id: number
  /** Empty for the root. */
  readonly returns: readonly { readonly back: number; readonly parent: StackNode }[]
  /** Fewest symbols to the end of the text once the called rule has ended. */
  readonly distance: number
  /** The state after the return; `null` until somebody asks. */
  returned: ParseState | null
}

/**
 * All ways in which the text so far can be read. Equal states are one object, whatever text led there, so what is
 * found out about one is found out for good.
 */
export interface ParseState {
  readonly positions: readonly number[]
  readonly nodes: readonly StackNode[]
  /** Whether the text may end here. */
  readonly accepts: boolean
  /** Fewest symbols (bytes, and control tokens as one each) that complete the text. */
  readonly distance: number
  /** Where each symbol class leads; `null` until somebody asks. */
  moves: Moves | null
}

/** Symbol classes that lead to the same place are one group; group 0 leads nowhere. */
export interface Moves {
  /** Group of each symbol class, from `offset` on; many states share one array. */
  readonly groups: Uint16Array
  readonly offset: number
  /** By group; `undefined` where nobody asked yet. */
  readonly targets: (ParseState | null | undefined)[]
  readonly seeds: readonly (readonly Item[])[]
}

/** A node while the calls at one place of the text are collected. */
interface OpenNode {
  /** Below 0, unlike that of a closed node. */
  readonly id: number
  readonly returns: { readonly back: number; readonly parent: StackNode | OpenNode }[]
  closed: StackNode | null
}

export interface Item {
  readonly position: number
  readonly node: StackNode | OpenNode
}

interface ClosedItem {
  readonly position: number
  readonly node: StackNode
}

/**
 * Reads texts of a grammar symbol by symbol, all alternatives side by side, and knows at each place how many symbols
 * the shortest completion takes. Dead ends are left out: every state can be completed.
 *
 * @see Scott & Johnstone 2010, "GLL Parsing", for the shared stacks
 */
export class Recognizer {
  readonly start: ParseState
  /** Class of each byte; bytes of one class lead everywhere to the same states. */
  readonly classOfByte: Uint8Array
  /** Classes of bytes; the control tokens of the grammar follow, one class each, in the automaton's order. */
  readonly byteClasses: number
  readonly #automaton: ByteAutomaton
  readonly #distances: Float64Array
  readonly #isTail: Uint8Array
  readonly #isFinal: Uint8Array
  readonly #root: StackNode = { id: 0, returns: [], distance: 0, returned: null }
  readonly #nodes = new Map<string, StackNode>()
  readonly #states = new Map<string, ParseState>()
  #nodeCount = 1
  #groups = new Uint16Array(0)
  #groupsUsed = 0

  /**
   * @param writable - whether some byte of the half-open range is a token by itself
   * @throws GrammarError if no text satisfies the grammar or a rule is left-recursive
   */
  constructor(automaton: ByteAutomaton, writable: (first: number, end: number) => boolean) {
    this.#automaton = automaton
    this.#distances = shortestEnds(automaton, writable)
    this.#isFinal = new Uint8Array(automaton.edges.heads.length)
    for (const { final } of automaton.rules) this.#isFinal[final] = 1
    this.#isTail = findTails(automaton.edges, this.#isFinal)
    refuseLeftRecursion(automaton, this.#distances)
    const { classOfByte, count } = classifyBytes(automaton.edges)
    this.classOfByte = classOfByte
    this.byteClasses = count
    const start = this.#stateOf([{ position: automaton.rules[0]!.start, node: this.#root }])
    if (!start)
      throw new GrammarError(
        'No text satisfies the grammar.',
        'Look for parts that contradict each other or recurse without an end.',
      )
    this.start = start
  }

  /** @returns `null` if no text goes on with that symbol */
  step(state: ParseState, symbolClass: number): ParseState | null {
    const moves = this.moves(state)
    return this.reach(moves, moves.groups[moves.offset + symbolClass]!)
  }

  /** The state in which the positions have the whole text to themselves: where their rules end, it ends. */
  alone(positions: readonly number[]): ParseState {
    return this.#stateOf(positions.map((position) => ({ position, node: this.#root })))!
  }

  /** The state after the rule has ended that was called into `node`; `null` if that ends the text. */
  returned(node: StackNode): ParseState | null {
    if (node === this.#root) return null
    node.returned ??= this.#stateOf(
      node.returns.map(({ back, parent }) => ({ position: back, node: parent })),
    )
    return node.returned
  }

  moves(state: ParseState): Moves {
    state.moves ??= this.#findMoves(state)
    return state.moves
  }

  reach(moves: Moves, group: number): ParseState | null {
    let target = moves.targets[group]
    if (target === undefined) {
      target = this.#stateOf(moves.seeds[group]!)
      moves.targets[group] = target
    }
    return target
  }

  #findMoves(state: ParseState): Moves {
    const { edges, tokens } = this.#automaton
    const { classOfByte, byteClasses } = this
    const { groups, offset } = this.#allot(byteClasses + tokens.length)
    // Every class starts in the group that leads nowhere; an edge moves its classes to the group that has it too.
    const seeds: (readonly Item[])[] = [[]]
    const add = (position: number, node: StackNode, first: number, last: number): void => {
      let from = -1
      let to = 0
      for (let at = offset + first; at <= offset + last; at += 1) {
        if (groups[at] !== from) {
          from = groups[at]!
          to = groupWith(seeds, from, position, node)
        }
        groups[at] = to
      }
    }
    for (let i = 0; i < state.positions.length; i += 1) {
      const node = state.nodes[i]!
      for (let edge = edges.heads[state.positions[i]!]!; edge >= 0; edge = edges.nexts[edge]!) {
        const position = edges.targets[edge]!
        if (this.#distances[position] === Number.POSITIVE_INFINITY) continue
        const label = edges.labels[edge]!
        const kind = edges.kinds[edge]
        if (kind === byteEdge) add(position, node, classOfByte[label]!, classOfByte[edges.ends[edge]! - 1]!)
        else if (kind === tokenEdge) add(position, node, byteClasses + label, byteClasses + label)
      }
    }
    return { groups, offset, targets: [null], seeds }
  }

  /** Room for groups, all 0: small arrays of their own would cost more than what is in them. */
  #allot(length: number): { groups: Uint16Array; offset: number } {
    if (this.#groupsUsed + length > this.#groups.length) {
      this.#groups = new Uint16Array(Math.max(length, groupsAtOnce))
      this.#groupsUsed = 0
    }
    const offset = this.#groupsUsed
    this.#groupsUsed += length
    return { groups: this.#groups, offset }
  }

  /** The state that begins with `items`, after all silent edges, calls and returns from them. */
  #stateOf(items: readonly Item[]): ParseState | null {
    const { edges, rules } = this.#automaton
    const positions = edges.heads.length
    const seen = new Set<number>()
    const open = new Map<number, OpenNode>()
    const waiting: Item[] = []
    const found: Item[] = []
    let accepts = false
    const add = (position: number, node: StackNode | OpenNode): void => {
      if (this.#distances[position] === Number.POSITIVE_INFINITY) return
      const key = node.id * positions + position
      if (seen.has(key)) return
      seen.add(key)
      waiting.push({ position, node })
    }
    const enter = (rule: number, back: number, node: StackNode | OpenNode): void => {
      const { start } = rules[rule]!
      const inner = this.#distances[start]!
      if (inner === Number.POSITIVE_INFINITY || this.#distances[back] === Number.POSITIVE_INFINITY) return
      // An empty call is stepped over here, so that a rule never has to end where it was called.
      if (inner === 0) add(back, node)
      // What ends with its caller returns to its caller's caller: loops by recursion do not grow the stack.
      if (this.#isTail[back]) {
        add(start, node)
        return
      }
      let callee = open.get(rule)
      if (!callee) {
        callee = { id: -1 - open.size, returns: [], closed: null }
        open.set(rule, callee)
      }
      if (!callee.returns.some((known) => known.back === back && known.parent === node))
        callee.returns.push({ back, parent: node })
      add(start, callee)
    }
    for (const { position, node } of items) add(position, node)
    for (let item = waiting.pop(); item; item = waiting.pop()) {
      const { position, node } = item
      let reads = false
      for (let edge = edges.heads[position]!; edge >= 0; edge = edges.nexts[edge]!) {
        const kind = edges.kinds[edge]
        if (kind === silentEdge) add(edges.targets[edge]!, node)
        else if (kind === callEdge) enter(edges.labels[edge]!, edges.targets[edge]!, node)
        else reads = true
      }
      if (reads) found.push(item)
      if (found.length > maxItems) throw tooAmbiguous()
      if (this.#isFinal[position] && isClosed(node)) {
        if (node === this.#root) accepts = true
        for (const { back, parent } of node.returns) add(back, parent)
      }
    }
    if (found.length === 0 && !accepts) return null
    return this.#intern(found, accepts)
  }

  #intern(found: readonly Item[], accepts: boolean): ParseState {
    const items: ClosedItem[] = []
    for (const { position, node } of found) items.push({ position, node: this.#close(node) })
    if (items.length > 1) items.sort((a, b) => a.position - b.position || a.node.id - b.node.id)
    let key = accepts ? '+' : ''
    let count = 0
    for (const item of items) {
      // Rules called from one place return to the same one.
      if (count > 0 && items[count - 1]!.position === item.position && items[count - 1]!.node === item.node)
        continue
      items[count] = item
      count += 1
      key += `${item.position}:${item.node.id},`
    }
    items.length = count
    const known = this.#states.get(key)
    if (known) return known
    if (this.#states.size >= maxStates) {
      this.#states.clear()
      this.#nodes.clear()
    }
    let distance = accepts ? 0 : Number.POSITIVE_INFINITY
    for (const { position, node } of items)
      distance = Math.min(distance, this.#distances[position]! + node.distance)
    const state: ParseState = {
      positions: items.map(({ position }) => position),
      nodes: items.map(({ node }) => node),
      accepts,
      distance,
      moves: null,
    }
    this.#states.set(key, state)
    return state
  }

  #close(node: StackNode | OpenNode): StackNode {
    if (isClosed(node)) return node
    if (node.closed) return node.closed
    const returns = node.returns.map(({ back, parent }) => ({ back, parent: this.#close(parent) }))
    if (returns.length > 1) returns.sort((a, b) => a.back - b.back || a.parent.id - b.parent.id)
    let key = ''
    for (const { back, parent } of returns) key += `${back}:${parent.id},`
    let closed = this.#nodes.get(key)
    if (!closed) {
      let distance = Number.POSITIVE_INFINITY
      for (const { back, parent } of returns)
        distance = Math.min(distance, this.#distances[back]! + parent.distance)
      closed = { id: this.#nodeCount, returns, distance, returned: null }
      this.#nodeCount += 1
      this.#nodes.set(key, closed)
    }
    node.closed = closed
    return closed
  }
}

function isClosed(node: StackNode | OpenNode): node is StackNode {
  return node.id >= 0
}

/** The group that has the items of `from` and one more; a new one if there is none. */
function groupWith(seeds: (readonly Item[])[], from: number, position: number, node: StackNode): number {
  const before = seeds[from]!
  for (const item of before) if (item.position === position && item.node === node) return from
  for (let group = 1; group < seeds.length; group += 1) {
    const items = seeds[group]!
    const last = items[items.length - 1]!
    if (items.length !== before.length + 1 || last.position !== position || last.node !== node) continue
    let shared = 0
    while (shared < before.length && items[shared] === before[shared]) shared += 1
    if (shared === before.length) return group
  }
  return seeds.push([...before, { position, node }]) - 1
}

function tooAmbiguous(): GrammarError {
  return new GrammarError(
    `A text can be read in more than ${maxItems} ways at once.`,
    'Make alternatives differ earlier, or lower the bounds of repetitions within repetitions.',
  )
}

/** Positions from which a rule can only end. */
function findTails({ heads, nexts, kinds, targets }: Edges, isFinal: Uint8Array): Uint8Array {
  const tails = Uint8Array.from(isFinal)
  for (const position of heads.keys()) {
    let at = position
    // A single silent edge, a few times over.
    for (let steps = 0; steps < 8 && !tails[at]; steps += 1) {
      const edge = heads[at]!
      if (edge < 0 || nexts[edge]! >= 0 || kinds[edge] !== silentEdge) break
      at = targets[edge]!
    }
    if (tails[at]) tails[position] = 1
  }
  return tails
}

/** A left-recursive rule calls itself before it has read anything. */
function refuseLeftRecursion(automaton: ByteAutomaton, distances: Float64Array): void {
  const { rules } = automaton
  const first = rules.map(({ start }) => firstCalls(automaton, distances, start))
  const open = 1
  const done = 2
  const marks = new Uint8Array(rules.length)
  for (const root of rules.keys()) {
    if (marks[root] === done) continue
    const path = [{ rule: root, at: 0 }]
    marks[root] = open
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const callee = first[top.rule]![top.at]
      top.at += 1
      if (callee === undefined) {
        marks[top.rule] = done
        path.pop()
      } else if (marks[callee] === open) {
        throw new GrammarError(
          `The rule "${rules[callee]!.name}" begins with itself.`,
          'Write it as a repetition: item ("," item)* in place of list "," item.',
        )
      } else if (marks[callee] !== done) {
        marks[callee] = open
        path.push({ rule: callee, at: 0 })
      }
    }
  }
}

/** Rules that may be called from `start` before a byte is read. */
function firstCalls({ edges, rules }: ByteAutomaton, distances: Float64Array, start: number): number[] {
  const seen = new Set([start])
  const called = new Set<number>()
  // A set is visited in the order of insertion, also by what is added on the way.
  for (const at of seen)
    for (let edge = edges.heads[at]!; edge >= 0; edge = edges.nexts[edge]!) {
      const kind = edges.kinds[edge]
      if (kind === silentEdge) seen.add(edges.targets[edge]!)
      if (kind !== callEdge) continue
      const rule = edges.labels[edge]!
      called.add(rule)
      if (distances[rules[rule]!.start] === 0) seen.add(edges.targets[edge]!)
    }
  return [...called]
}

/** Bytes that stand on the same side of every bound that the grammar names. */
function classifyBytes({ kinds, labels, ends }: Edges): { classOfByte: Uint8Array; count: number } {
  const isBound = new Uint8Array(257)
  for (const [edge, kind] of kinds.entries()) {
    if (kind !== byteEdge) continue
    isBound[labels[edge]!] = 1
    isBound[ends[edge]!] = 1
  }
  const classOfByte = new Uint8Array(256)
  let last = 0
  for (let byte = 1; byte < 256; byte += 1) {
    if (isBound[byte]) last += 1
    classOfByte[byte] = last
  }
  return { classOfByte, count: last + 1 }
}
