/** A token that is matched in the text itself, before any splitting or merging. Named as in `tokenizer.json`. */
export interface AddedToken {
  readonly id: number
  readonly content: string
  /** Control tokens, matched only where the caller allows it. */
  readonly special: boolean
  /** Matched only where no letter, digit or underscore touches it. */
  readonly singleWord: boolean
  /** Takes the whitespace before it along. */
  readonly leftStrip: boolean
  /** Takes the whitespace behind it along. */
  readonly rightStrip: boolean
  /** Matched in the normalised text rather than the given one. */
  readonly normalized: boolean
}

/** A stretch of text: either one added token or text between them. */
export interface Section {
  readonly text: string
  readonly token: AddedToken | null
}

/** Cuts text at added tokens: the leftmost first, the longest of those that start together. */
export class AddedTokenSplitter {
  readonly #byContent: ReadonlyMap<string, AddedToken>
  readonly #pattern: RegExp | null

  /** @param contentOf - what to look for, which for normalised tokens is their normalised content */
  constructor(tokens: readonly AddedToken[], contentOf: (token: AddedToken) => string) {
    const entries = tokens
      .map((token) => [contentOf(token), token] as const)
      .filter(([content]) => content !== '')
    this.#byContent = new Map(entries)
    const alternatives = [...this.#byContent.keys()].sort((a, b) => b.length - a.length).map(escapePattern)
    this.#pattern = alternatives.length > 0 ? new RegExp(alternatives.join('|'), 'g') : null
  }

  split(text: string): Section[] {
    if (this.#pattern === null) return text === '' ? [] : [{ text, token: null }]
    const sections: Section[] = []
    let end = 0
    this.#pattern.lastIndex = 0
    for (let match = this.#pattern.exec(text); match !== null; match = this.#pattern.exec(text)) {
      const token = this.#byContent.get(match[0])!
      const matchEnd = match.index + match[0].length
      if (token.singleWord && touchesWord(text, match.index, matchEnd)) {
        this.#pattern.lastIndex = match.index + 1
        continue
      }
      const betweenEnd = token.leftStrip ? whitespaceStart(text, end, match.index) : match.index
      sections.push({ text: text.slice(end, betweenEnd), token: null }, { text: match[0], token })
      end = token.rightStrip ? whitespaceEnd(text, matchEnd) : matchEnd
      this.#pattern.lastIndex = end
    }
    sections.push({ text: text.slice(end), token: null })
    return sections.filter((section) => section.text !== '')
  }
}

// Unicode's idea of whitespace, which is not that of `String.trim`; all of it lies in single code units.
const whitespace = /\p{White_Space}/u

/** Where the whitespace that ends at `end` starts, not before `least`. */
function whitespaceStart(text: string, least: number, end: number): number {
  let start = end
  while (start > least && whitespace.test(text.charAt(start - 1))) start -= 1
  return start
}

function whitespaceEnd(text: string, start: number): number {
  let end = start
  while (end < text.length && whitespace.test(text.charAt(end))) end += 1
  return end
}

const word = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u

function touchesWord(text: string, start: number, end: number): boolean {
  const before = start > 0 && word.test(lastCharacter(text.slice(0, start)))
  const after = end < text.length && word.test(String.fromCodePoint(text.codePointAt(end)!))
  return before || after
}

function lastCharacter(text: string): string {
  const pair = text.slice(-2)
  return pair.length === 2 && pair.codePointAt(0)! > 0xffff ? pair : text.slice(-1)
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
