import { type ByteRange, type CodeRanges, utf8Sequences } from './characters.ts'
import { GrammarError } from './errors.ts'
import type { Expression, Rule } from './expression.ts'

/** Most positions a grammar may take; a bounded string takes one for each character it may have. */
const MAX_POSITIONS = 300_000

export const byteEdge = 0
export const callEdge = 1
export const tokenEdge = 2
/** Leads on without a byte. */
export const silentEdge = 3

/**
 * Edges between positions, as lists threaded through arrays: a grammar has thousands, and most positions one or two.
 * `heads[p]` is the first edge of position `p`, `nexts[e]` the one after `e`; −1 ends a list.
 */
export interface Edges {
  readonly heads: readonly number[]
  readonly nexts: readonly number[]
  readonly kinds: readonly number[]
  readonly sources: readonly number[]
  /** First byte, number of the called rule, or place of the token in {@link ByteAutomaton.tokens}. */
  readonly labels: readonly number[]
  /** End of the byte range; 0 for other edges. */
  readonly ends: readonly number[]
  /** For a call, where the calling rule goes on. */
  readonly targets: readonly number[]
}

export interface RuleSpan {
  readonly name: string
  readonly start: number
  readonly final: number
}

/** Rules as byte-level automata that call each other: positions are numbered through all rules, rule 0 is the root. */
export interface ByteAutomaton {
  readonly edges: Edges
  readonly rules: readonly RuleSpan[]
  /** Ids of the control tokens it uses, each once. */
  readonly tokens: readonly number[]
  /**
   * For a position within a counted repetition, the one within an uncounted repetition of the same that reads the same
   * texts as long as they have at most `room` bytes. It is not part of any rule.
   */
  readonly standIns: ReadonlyMap<number, StandIn>
}

export interface StandIn {
  readonly position: number
  readonly room: number
}

/** Finds a control token by its spelling or checks its id. */
export type TokenResolver = (token: string | number) => number

/** @throws GrammarError beyond {@link MAX_POSITIONS} */
export function buildByteAutomaton(root: Expression, resolveToken: TokenResolver): ByteAutomaton {
  return new Builder(resolveToken).build(root)
}

/** Repetitions with fewer optional copies are not worth stand-ins. */
const fewCopies = 16
const utf8 = new TextEncoder()

/** How characters are read byte by byte: places in between are numbered from 0, −1 stands for the start or the end. */
interface CharacterGraph {
  readonly inner: number
  readonly edges: readonly {
    readonly from: number
    readonly to: number
    readonly first: number
    readonly end: number
  }[]
}

/** The characters of a JSON string occur in every grammar, some thousand times in many. */
const knownGraphs = new WeakMap<CodeRanges, CharacterGraph>()

function characterGraph(ranges: CodeRanges): CharacterGraph {
  const known = knownGraphs.get(ranges)
  if (known) return known
  const edges: CharacterGraph['edges'][number][] = []
  // Sequences with equal ends share them; by the text of such an end the place from which it leads on.
  const ends = new Map<string, number>()
  const add = (sequence: readonly ByteRange[], from: number): void => {
    const [[first, end], ...rest] = sequence as [ByteRange, ...ByteRange[]]
    const key = rest.join(';')
    const shared = rest.length === 0 ? -1 : ends.get(key)
    const to = shared ?? ends.size
    edges.push({ from, to, first, end })
    if (shared !== undefined) return
    ends.set(key, to)
    add(rest, to)
  }
  for (const sequence of utf8Sequences(ranges)) add(sequence, -1)
  const graph = { inner: ends.size, edges }
  knownGraphs.set(ranges, graph)
  return graph
}

/** Whether each text takes a byte at least, and no loop or optional copy is inside; unsure counts as no. */
function takesBytes(expression: Expression, depth: number): boolean {
  switch (expression.kind) {
    case 'text':
      return expression.text.length > 0
    case 'characters':
    case 'byte':
      return true
    case 'sequence':
      return expression.parts.length > 0 && expression.parts.every((part) => takesBytes(part, depth))
    case 'choice':
      return expression.options.every((option) => takesBytes(option, depth))
    case 'repeat':
      return expression.min > 0 && expression.min === expression.max && takesBytes(expression.of, depth)
    case 'rule':
      return depth > 0 && takesBytes(expression.rule.body, depth - 1)
    default:
      return false
  }
}

class Builder {
  readonly #heads: number[] = []
  readonly #nexts: number[] = []
  readonly #kinds: number[] = []
  readonly #sources: number[] = []
  readonly #labels: number[] = []
  readonly #ends: number[] = []
  readonly #targets: number[] = []
  readonly #rules: RuleSpan[] = []
  readonly #numbers = new Map<Rule, number>()
  readonly #waiting: { readonly body: Expression; readonly span: RuleSpan }[] = []
  readonly #tokens: number[] = []
  readonly #standIns = new Map<number, StandIn>()
  readonly #resolveToken: TokenResolver

  constructor(resolveToken: TokenResolver) {
    this.#resolveToken = resolveToken
  }

  build(root: Expression): ByteAutomaton {
    this.#declare({ name: 'root', body: root })
    for (let next = this.#waiting.pop(); next; next = this.#waiting.pop())
      this.#add(next.body, next.span.start, next.span.final)
    const edges: Edges = {
      heads: this.#heads,
      nexts: this.#nexts,
      kinds: this.#kinds,
      sources: this.#sources,
      labels: this.#labels,
      ends: this.#ends,
      targets: this.#targets,
    }
    return { edges, rules: this.#rules, tokens: this.#tokens, standIns: this.#standIns }
  }

  #declare(rule: Rule): number {
    let number = this.#numbers.get(rule)
    if (number === undefined) {
      number = this.#rules.length
      const span = { name: rule.name, start: this.#position(), final: this.#position() }
      this.#numbers.set(rule, number)
      this.#rules.push(span)
      this.#waiting.push({ body: rule.body, span })
    }
    return number
  }

  #position(): number {
    if (this.#heads.length >= MAX_POSITIONS)
      throw new GrammarError(
        `The grammar takes more than ${MAX_POSITIONS} positions.`,
        'Lower the bounds of its repetitions: maxLength, maxItems, {m,n}.',
      )
    return this.#heads.push(-1) - 1
  }

  #connect(from: number, to: number, kind: number, label: number, end: number): void {
    const edge = this.#kinds.push(kind) - 1
    this.#nexts.push(this.#heads[from]!)
    this.#heads[from] = edge
    this.#sources.push(from)
    this.#labels.push(label)
    this.#ends.push(end)
    this.#targets.push(to)
  }

  #skip(from: number, to: number): void {
    this.#connect(from, to, silentEdge, 0, 0)
  }

  #add(expression: Expression, from: number, to: number): void {
    switch (expression.kind) {
      case 'text':
        this.#addBytes(utf8.encode(expression.text), from, to)
        return
      case 'characters':
        this.#addCharacters(expression.ranges, from, to)
        return
      case 'byte':
        this.#connect(from, to, byteEdge, expression.range[0], expression.range[1])
        return
      case 'sequence':
        this.#addSequence(expression.parts, from, to)
        return
      case 'choice':
        for (const option of expression.options) this.#add(option, from, to)
        return
      case 'repeat':
        this.#addRepeat(expression.of, expression.min, expression.max, from, to)
        return
      case 'rule':
        this.#connect(from, to, callEdge, this.#declare(expression.rule), 0)
        return
      case 'token':
        this.#addToken(this.#resolveToken(expression.token), from, to)
        return
      case 'automaton': {
        const states = Array.from({ length: expression.states }, () => this.#position())
        this.#skip(from, states[expression.start]!)
        for (const edge of expression.edges) this.#add(edge.over, states[edge.from]!, states[edge.to]!)
        for (const state of expression.accepting) this.#skip(states[state]!, to)
      }
    }
  }

  #addToken(id: number, from: number, to: number): void {
    let token = this.#tokens.indexOf(id)
    if (token < 0) token = this.#tokens.push(id) - 1
    this.#connect(from, to, tokenEdge, token, 0)
  }

  #addBytes(bytes: Uint8Array, from: number, to: number): void {
    if (bytes.length === 0) this.#skip(from, to)
    let at = from
    for (let i = 0; i < bytes.length; i += 1) {
      const next = i === bytes.length - 1 ? to : this.#position()
      this.#connect(at, next, byteEdge, bytes[i]!, bytes[i]! + 1)
      at = next
    }
  }

  #addCharacters(ranges: CodeRanges, from: number, to: number): void {
    const { inner, edges } = characterGraph(ranges)
    const first = this.#heads.length
    for (let i = 0; i < inner; i += 1) this.#position()
    for (const edge of edges) {
      const source = edge.from < 0 ? from : first + edge.from
      this.#connect(source, edge.to < 0 ? to : first + edge.to, byteEdge, edge.first, edge.end)
    }
  }

  #addSequence(parts: readonly Expression[], from: number, to: number): void {
    if (parts.length === 0) this.#skip(from, to)
    let at = from
    for (const [i, part] of parts.entries()) {
      const next = i === parts.length - 1 ? to : this.#position()
      this.#add(part, at, next)
      at = next
    }
  }

  #addRepeat(of: Expression, min: number, max: number | null, from: number, to: number): void {
    let at = from
    for (let i = 0; i < min; i += 1) {
      const next = i === min - 1 && max === min ? to : this.#position()
      this.#add(of, at, next)
      at = next
    }
    if (max === null) {
      // A position of its own, for edges back to `from` would let what stands before it be repeated too.
      const loop = this.#position()
      this.#skip(at, loop)
      this.#add(of, loop, loop)
      this.#skip(loop, to)
      return
    }
    if (max === 0) this.#skip(at, to)
    if (max - min < fewCopies || !takesBytes(of, 3)) {
      for (let i = min; i < max; i += 1) {
        this.#skip(at, to)
        const next = i === max - 1 ? to : this.#position()
        this.#add(of, at, next)
        at = next
      }
    } else if (max > 0) this.#addCopies(of, max - min, at, to)
  }

  /** Up to `count` times `of`, with a loop of `of` beside them whose positions stand in for those of the copies. */
  #addCopies(of: Expression, count: number, from: number, to: number): void {
    this.#declareAll(of)
    const loop = this.#position()
    this.#skip(loop, to)
    const body = this.#heads.length
    this.#add(of, loop, loop)
    const size = this.#heads.length - body
    // A position of its own, for `from` may have other edges.
    let at = this.#position()
    this.#skip(from, at)
    for (let room = count; room > 0; room -= 1) {
      this.#skip(at, to)
      this.#standIns.set(at, { position: loop, room })
      const next = room === 1 ? to : this.#position()
      const copy = this.#heads.length
      this.#add(of, at, next)
      for (let i = 0; i < size; i += 1) this.#standIns.set(copy + i, { position: body + i, room })
      at = next
    }
  }

  /** So that adding the expression again takes the same positions in the same order. */
  #declareAll(expression: Expression): void {
    if (expression.kind === 'rule') this.#declare(expression.rule)
    else if (expression.kind === 'sequence') for (const part of expression.parts) this.#declareAll(part)
    else if (expression.kind === 'choice') for (const option of expression.options) this.#declareAll(option)
  }
}
