import {
  allCharacters,
  type CodeRanges,
  complement,
  difference,
  rangesOf,
  single,
  unionOf,
} from './characters.ts'
import { GrammarError } from './errors.ts'
import {
  anyCharacter,
  characters,
  choice,
  type Expression,
  nothing,
  repeat,
  sequence,
  text,
} from './expression.ts'

/** Deepest nesting of groups, and largest bound of a repetition. */
const maxDepth = 100
const maxCount = 65_536

/** `whole`: the text matches from start to end. `anywhere`: some part of it does, as JSON Schema's `pattern` means it. */
type MatchExtent = 'whole' | 'anywhere'

/**
 * JavaScript's regular expressions as far as they are regular: no look-around, no back-references, no `\b`; `^` and `$`
 * at the ends of an alternative only.
 *
 * @param path - where the pattern stands, for messages
 * @throws GrammarError
 */
export function parseRegex(pattern: string, extent: MatchExtent, path: string | null): Expression {
  return new RegexParser(pattern, path).parse(extent)
}

const digits = rangesOf('0123456789')
const wordCharacters = unionOf([...digits, [0x41, 0x5b], [0x61, 0x7b], single('_')])
/** White space and line ends of ECMAScript. */
const spaces = unionOf([
  ...rangesOf('\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff'),
  [0x2000, 0x200b],
])
const notLineEnds = difference(allCharacters, rangesOf('\n\r\u2028\u2029'))
const classEscapes: ReadonlyMap<string, CodeRanges> = new Map([
  ['d', digits],
  ['D', complement(digits)],
  ['w', wordCharacters],
  ['W', complement(wordCharacters)],
  ['s', spaces],
  ['S', complement(spaces)],
])
const controlEscapes: ReadonlyMap<string, number> = new Map([
  ['t', 9],
  ['n', 10],
  ['v', 11],
  ['f', 12],
  ['r', 13],
  ['0', 0],
])

class RegexParser {
  readonly #characters: readonly string[]
  readonly #pattern: string
  readonly #path: string | null
  #at = 0
  #depth = 0

  constructor(pattern: string, path: string | null) {
    this.#pattern = pattern
    this.#path = path
    this.#characters = [...pattern]
  }

  parse(extent: MatchExtent): Expression {
    const options: Expression[] = []
    do options.push(this.#parseAnchored(extent))
    while (this.#take('|'))
    if (this.#at < this.#characters.length) throw this.#refuse(`has "${this.#peek()}" without its partner`)
    return choice(...options)
  }

  /** One alternative of the whole pattern, where `^` and `$` may stand. */
  #parseAnchored(extent: MatchExtent): Expression {
    let startsHere = extent === 'whole'
    while (this.#take('^')) startsHere = true
    const body = this.#parseSequence(true)
    let endsHere = extent === 'whole'
    while (this.#take('$')) endsHere = true
    if (!this.#atEndOfAlternative()) throw this.#refuse('has "$" before the end of an alternative')
    const rest = repeat(anyCharacter, 0, null)
    return sequence(...(startsHere ? [] : [rest]), body, ...(endsHere ? [] : [rest]))
  }

  #parseChoice(): Expression {
    if (this.#depth >= maxDepth) throw this.#refuse(`nests groups deeper than ${maxDepth}`)
    this.#depth += 1
    const options: Expression[] = []
    do options.push(this.#parseSequence(false))
    while (this.#take('|'))
    this.#depth -= 1
    return choice(...options)
  }

  #parseSequence(mayAnchor: boolean): Expression {
    const parts: Expression[] = []
    while (!this.#atEndOfAlternative() && !(mayAnchor && this.#peek() === '$')) {
      const atom = this.#parseAtom()
      parts.push(this.#parseQuantifiers(atom))
    }
    return sequence(...parts)
  }

  #atEndOfAlternative(): boolean {
    const next = this.#peek()
    return next === undefined || next === '|' || next === ')'
  }

  #parseAtom(): Expression {
    const character = this.#next()
    switch (character) {
      case '.':
        return characters(notLineEnds)
      case '[':
        return characters(this.#parseClass())
      case '(':
        return this.#parseGroup()
      case '\\':
        return this.#parseEscape()
      case '^':
      case '$':
        throw this.#refuse(`has "${character}" inside`)
      case '*':
      case '+':
      case '?':
        throw this.#refuse(`has "${character}" with nothing to repeat`)
      default:
        return text(character)
    }
  }

  #parseGroup(): Expression {
    if (this.#take('?')) {
      if (this.#peek() === '<' && !['=', '!'].includes(this.#characters[this.#at + 1] ?? '')) {
        while (this.#next() !== '>');
      } else if (!this.#take(':')) {
        const kind = this.#peek()
        throw this.#refuse(
          kind === '=' || kind === '!' || kind === '<'
            ? 'looks ahead or behind'
            : `has a group "(?${kind ?? ''}"`,
        )
      }
    }
    const inner = this.#parseChoice()
    if (!this.#take(')')) throw this.#refuse('has "(" without ")"')
    return inner
  }

  #parseEscape(): Expression {
    const ranges = this.#parseEscapedRanges()
    const [range] = ranges
    const isSingle = ranges.length === 1 && range![1] === range![0] + 1
    return isSingle ? text(String.fromCodePoint(range![0])) : characters(ranges)
  }

  #parseEscapedRanges(): CodeRanges {
    const character = this.#next()
    const ranges = classEscapes.get(character)
    if (ranges) return ranges
    const control = controlEscapes.get(character)
    if (control !== undefined) return [[control, control + 1]]
    if (/[1-9k]/.test(character)) throw this.#refuse('refers back to a group')
    if (/[bB]/.test(character)) throw this.#refuse(`has "\\${character}", which looks ahead or behind`)
    if (/[pP]/.test(character))
      throw this.#refuse(`has "\\${character}"; classes by Unicode property are not known here`)
    const code = this.#parseCodeEscape(character)
    if (code >= 0xd800 && code < 0xe000) throw this.#refuse('has half of a surrogate pair')
    return [[code, code + 1]]
  }

  #parseCodeEscape(character: string): number {
    switch (character) {
      case 'x':
        return this.#parseHex(2)
      case 'c': {
        const letter = this.#next()
        if (!/[A-Za-z]/.test(letter)) throw this.#refuse('has "\\c" without a letter')
        return letter.charCodeAt(0) % 32
      }
      case 'u': {
        if (this.#take('{')) {
          let code = 0
          while (!this.#take('}')) code = code * 16 + this.#parseHex(1)
          if (code > 0x10ffff) throw this.#refuse('names a character beyond U+10FFFF')
          return code
        }
        const high = this.#parseHex(4)
        const isPair = high >= 0xd800 && high < 0xdc00 && this.#peek() === '\\'
        if (!isPair || this.#characters[this.#at + 1] !== 'u') return high
        this.#at += 2
        return 0x10000 + (high - 0xd800) * 0x400 + (this.#parseHex(4) - 0xdc00)
      }
      default:
        if (/[A-Za-z]/.test(character)) throw this.#refuse(`has "\\${character}", which means nothing`)
        return character.codePointAt(0)!
    }
  }

  #parseHex(count: number): number {
    let code = 0
    for (let i = 0; i < count; i += 1) {
      const value = Number.parseInt(this.#next(), 16)
      if (Number.isNaN(value))
        throw this.#refuse('has an escape with a character that is no hexadecimal digit')
      code = code * 16 + value
    }
    return code
  }

  #parseClass(): CodeRanges {
    const isNegated = this.#take('^')
    const ranges: (readonly [number, number])[] = []
    while (!this.#take(']')) {
      const from = this.#parseClassMember()
      if (this.#peek() === '-' && this.#characters[this.#at + 1] !== ']') {
        this.#at += 1
        const to = this.#parseClassMember()
        if (!isSingleCode(from) || !isSingleCode(to)) throw this.#refuse('has a range between classes')
        if (to[0]![0] < from[0]![0]) throw this.#refuse('has a range that runs backwards')
        ranges.push([from[0]![0], to[0]![1]])
      } else ranges.push(...from)
    }
    const joined = unionOf(ranges)
    return isNegated ? complement(joined) : joined
  }

  #parseClassMember(): CodeRanges {
    const character = this.#next()
    if (character !== '\\') return [single(character)]
    if (this.#take('b')) return [[8, 9]]
    return this.#parseEscapedRanges()
  }

  #parseQuantifiers(atom: Expression): Expression {
    const bounds = this.#parseQuantifier()
    if (!bounds) return atom
    // Lazy or greedy: the texts are the same.
    this.#take('?')
    if (this.#peek() === '+' || this.#peek() === '*') throw this.#refuse('repeats a repetition')
    const [min, max] = bounds
    if (max === 0) return nothing
    return repeat(atom, min, max)
  }

  #parseQuantifier(): readonly [number, number | null] | null {
    if (this.#take('*')) return [0, null]
    if (this.#take('+')) return [1, null]
    if (this.#take('?')) return [0, 1]
    if (this.#peek() !== '{') return null
    const match = /^\{(\d+)(,(\d*))?\}/.exec(this.#characters.slice(this.#at, this.#at + 24).join(''))
    if (!match) return null
    this.#at += match[0].length
    const min = Number(match[1])
    const max = match[2] === undefined ? min : match[3] === '' ? null : Number(match[3])
    if (Math.max(min, max ?? 0) > maxCount) throw this.#refuse(`repeats more than ${maxCount} times`)
    if (max !== null && max < min) throw this.#refuse('has a repetition whose bounds run backwards')
    return [min, max]
  }

  #peek(): string | undefined {
    return this.#characters[this.#at]
  }

  #next(): string {
    const character = this.#characters[this.#at]
    if (character === undefined) throw this.#refuse('ends in the middle')
    this.#at += 1
    return character
  }

  #take(character: string): boolean {
    if (this.#characters[this.#at] !== character) return false
    this.#at += 1
    return true
  }

  #refuse(reason: string): GrammarError {
    const shown = this.#pattern.length > 80 ? `${this.#pattern.slice(0, 80)}…` : this.#pattern
    return new GrammarError(
      `The pattern /${shown}/ ${reason} (at character ${this.#at}).`,
      'Write it with classes, groups, alternatives and repetitions alone.',
      this.#path,
    )
  }
}

function isSingleCode(ranges: CodeRanges): boolean {
  return ranges.length === 1 && ranges[0]![1] === ranges[0]![0] + 1
}
