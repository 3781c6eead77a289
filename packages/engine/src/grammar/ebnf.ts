import { type CodeRanges, complement, single, unionOf } from './characters.ts'
import { GrammarError } from './errors.ts'
import {
  anyCharacter,
  call,
  characters,
  choice,
  type Expression,
  type OpenRule,
  repeat,
  rule,
  sequence,
  text,
} from './expression.ts'

const maxDepth = 100
const maxCount = 65_536

/**
 * A grammar in the dialect of llama.cpp (GBNF), which is also that of XGrammar: `name ::= "text" [a-z] other (…)`, with
 * `|`, `*`, `+`, `?`, `{m,n}`, `.` and comments after `#`. It begins at the rule `root`.
 *
 * @param path - where the grammar stands, for messages
 * @throws GrammarError with line and column
 */
export function parseEbnf(source: string, path: string): Expression {
  return new EbnfParser(source, path).parse()
}

const escapes: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['b', '\b'],
  ['f', '\f'],
  ['v', '\v'],
  ['0', '\0'],
  ['a', '\x07'],
  ['e', '\x1b'],
])
const hexLengths: ReadonlyMap<string, number> = new Map([
  ['x', 2],
  ['u', 4],
  ['U', 8],
])

class EbnfParser {
  readonly #source: string
  readonly #path: string
  readonly #rules = new Map<string, OpenRule>()
  /** Rules met as a name only, with the place. */
  readonly #called = new Map<string, number>()
  readonly #defined = new Set<string>()
  #at = 0
  #depth = 0

  constructor(source: string, path: string) {
    this.#source = source
    this.#path = path
  }

  parse(): Expression {
    this.#skipSpace()
    while (this.#at < this.#source.length) this.#parseRule()
    for (const [name, at] of this.#called)
      if (!this.#defined.has(name))
        throw this.#refuse(`uses the rule "${name}", which it does not define`, at)
    if (!this.#defined.has('root')) throw this.#refuse('has no rule "root"', 0)
    return call(this.#rules.get('root')!)
  }

  #parseRule(): void {
    const at = this.#at
    const name = this.#peekRuleStart()
    if (name === null) throw this.#refuse('has something else where "name ::=" belongs', at)
    if (this.#defined.has(name)) throw this.#refuse(`defines the rule "${name}" twice`, at)
    this.#at = this.#source.indexOf('::=', at) + 3
    this.#skipSpace()
    this.#defined.add(name)
    this.#rule(name).body = this.#parseChoice()
  }

  #rule(name: string): OpenRule {
    let known = this.#rules.get(name)
    if (!known) {
      known = rule(name)
      this.#rules.set(name, known)
    }
    return known
  }

  #parseChoice(): Expression {
    const options = [this.#parseSequence()]
    while (this.#take('|')) options.push(this.#parseSequence())
    return choice(...options)
  }

  #parseSequence(): Expression {
    const parts: Expression[] = []
    while (this.#at < this.#source.length && !'|)'.includes(this.#peek()) && this.#peekRuleStart() === null) {
      const element = this.#parseElement()
      this.#skipSpace()
      parts.push(this.#parseRepetition(element))
    }
    return sequence(...parts)
  }

  #parseElement(): Expression {
    const at = this.#at
    switch (this.#peek()) {
      case '"':
        return this.#parseLiteral()
      case '[':
        return characters(this.#parseClass())
      case '.':
        this.#at += 1
        return anyCharacter
      case '(': {
        this.#at += 1
        if (this.#peek() === '=') throw this.#refuse('looks ahead', at)
        if (this.#depth >= maxDepth) throw this.#refuse(`nests groups deeper than ${maxDepth}`, at)
        this.#depth += 1
        this.#skipSpace()
        const inner = this.#parseChoice()
        this.#depth -= 1
        if (!this.#take(')')) throw this.#refuse('has "(" without ")"', at)
        return inner
      }
    }
    const name = this.#peekName()
    if (name === null) throw this.#refuse(`has "${this.#peek()}" where an element belongs`, at)
    this.#at += name.length
    if (!this.#called.has(name)) this.#called.set(name, at)
    return call(this.#rule(name))
  }

  #parseRepetition(element: Expression): Expression {
    let repeated = element
    for (;;) {
      const at = this.#at
      if (this.#take('*')) repeated = repeat(repeated, 0, null)
      else if (this.#take('+')) repeated = repeat(repeated, 1, null)
      else if (this.#take('?')) repeated = repeat(repeated, 0, 1)
      else if (this.#peek() === '{') {
        const match = /^\{\s*(\d*)\s*(,\s*(\d*))?\s*\}/.exec(this.#source.slice(at, at + 40))
        if (!match || (match[1] === '' && !match[3])) throw this.#refuse('has "{" without counts', at)
        this.#at += match[0].length
        this.#skipSpace()
        const min = Number(match[1])
        const max = match[2] === undefined ? min : match[3] === '' ? null : Number(match[3])
        if (Math.max(min, max ?? 0) > maxCount) throw this.#refuse(`repeats more than ${maxCount} times`, at)
        if (max !== null && max < min) throw this.#refuse('has counts that run backwards', at)
        repeated = repeat(repeated, min, max)
      } else return repeated
    }
  }

  #parseLiteral(): Expression {
    const start = this.#at
    this.#at += 1
    let content = ''
    while (this.#peek() !== '"') content += this.#parseCharacter(start)
    this.#at += 1
    return text(content)
  }

  #parseClass(): CodeRanges {
    const start = this.#at
    this.#at += 1
    const isNegated = this.#peek() === '^'
    if (isNegated) this.#at += 1
    const ranges: (readonly [number, number])[] = []
    while (this.#peek() !== ']') {
      const from = single(this.#parseCharacter(start))
      if (this.#peek() === '-' && this.#source[this.#at + 1] !== ']') {
        this.#at += 1
        const to = single(this.#parseCharacter(start))
        if (to[0] < from[0]) throw this.#refuse('has a range that runs backwards', start)
        ranges.push([from[0], to[1]])
      } else ranges.push(from)
    }
    this.#at += 1
    const joined = unionOf(ranges)
    return isNegated ? complement(joined) : joined
  }

  /** One character of a literal or class that began at `start`. */
  #parseCharacter(start: number): string {
    const code = this.#source.codePointAt(this.#at)
    if (code === undefined || code === 0x0a)
      throw this.#refuse(`has ${this.#source[start]} without an end`, start)
    const character = String.fromCodePoint(code)
    this.#at += character.length
    if (character !== '\\') return character
    const escaped = this.#peek()
    this.#at += 1
    const length = hexLengths.get(escaped)
    if (length !== undefined) {
      const digits = this.#source.slice(this.#at, this.#at + length)
      const value =
        /^[0-9a-fA-F]+$/.test(digits) && digits.length === length ? Number.parseInt(digits, 16) : -1
      if (value < 0 || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        throw this.#refuse(`has "\\${escaped}${digits}", which is no character`, this.#at)
      this.#at += length
      return String.fromCodePoint(value)
    }
    const known = escapes.get(escaped)
    if (known !== undefined) return known
    if (escaped === '' || /[A-Za-z0-9]/.test(escaped))
      throw this.#refuse(`has "\\${escaped}", which means nothing`, this.#at)
    return escaped
  }

  #peek(): string {
    return this.#source[this.#at] ?? ''
  }

  #take(character: string): boolean {
    if (this.#source[this.#at] !== character) return false
    this.#at += 1
    this.#skipSpace()
    return true
  }

  #peekName(): string | null {
    const name = /[A-Za-z_][A-Za-z0-9_.-]*/y
    name.lastIndex = this.#at
    return name.exec(this.#source)?.[0] ?? null
  }

  #peekRuleStart(): string | null {
    const start = /([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*::=/y
    start.lastIndex = this.#at
    return start.exec(this.#source)?.[1] ?? null
  }

  #skipSpace(): void {
    const space = /(?:\s|#[^\n]*)*/y
    space.lastIndex = this.#at
    this.#at += space.exec(this.#source)![0].length
  }

  #refuse(reason: string, at: number): GrammarError {
    const before = this.#source.slice(0, at).split('\n')
    return new GrammarError(
      `The grammar ${reason} (line ${before.length}, column ${before.at(-1)!.length + 1}).`,
      'Write rules as name ::= "text" [a-z] other, with | * + ? {m,n} and groups.',
      this.#path,
    )
  }
}
