/** A call written as Python: `get_weather(city="Oslo", days=3)`, also inside `print(…)`, or as `name.call(…)`. */
export interface PythonCall {
  readonly name: string
  /** JSON text. */
  readonly arguments: string
}

const opening = /^(?:print\s*\()?\s*([A-Za-z_][\w.-]*?)(?:\.call)?\s*\(/

/** Reads one call; `null` if the text is anything else. */
export function readPythonCall(text: string): PythonCall | null {
  const trimmed = text.trim()
  const match = opening.exec(trimmed)
  if (match === null) return null
  const reader = new LiteralReader(trimmed, match[0].length)
  const fields = reader.fields()
  if (fields === null) return null
  const rest = trimmed.slice(reader.at).trim()
  if (rest !== (trimmed.startsWith('print') && match[0].startsWith('print') ? ')' : '')) return null
  return { name: match[1]!, arguments: JSON.stringify(Object.fromEntries(fields)) }
}

/** What is no literal makes everything no call. */
class NotLiteral extends Error {}

const constants: Readonly<Record<string, unknown>> = {
  True: true,
  False: false,
  None: null,
  true: true,
  false: false,
  null: null,
}

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0' }

class LiteralReader {
  constructor(
    private readonly text: string,
    public at: number,
  ) {}

  /** `key=value, …)` up to and with the closing bracket. */
  fields(): readonly (readonly [string, unknown])[] | null {
    try {
      return this.#list(')', () => {
        const key = this.#match(/[A-Za-z_]\w*/y)
        this.#expect('=')
        return [key, this.#value(0)] as const
      })
    } catch (error) {
      if (error instanceof NotLiteral) return null
      throw error
    }
  }

  #list<T>(close: string, item: () => T): T[] {
    const items: T[] = []
    for (;;) {
      this.#space()
      if (this.text[this.at] === close) {
        this.at += 1
        return items
      }
      if (items.length > 0) this.#expect(',')
      this.#space()
      if (this.text[this.at] === close) continue
      items.push(item())
    }
  }

  #value(depth: number): unknown {
    this.#space()
    const character = this.text[this.at]
    if (depth > 32) throw new NotLiteral()
    if (character === '"' || character === "'") return this.#string(character)
    if (character === '[' || character === '(') {
      this.at += 1
      return this.#list(character === '[' ? ']' : ')', () => this.#value(depth + 1))
    }
    if (character === '{') {
      this.at += 1
      const entries = this.#list('}', () => {
        const key = this.#value(depth + 1)
        this.#expect(':')
        return [String(key), this.#value(depth + 1)] as const
      })
      return Object.fromEntries(entries)
    }
    const word = this.#match(/[-+]?[\w.]+(?:[eE][-+]?\d+)?/y)
    if (word in constants) return constants[word]
    const number = Number(word)
    if (Number.isNaN(number)) throw new NotLiteral()
    return number
  }

  #string(quote: string): string {
    let value = ''
    for (let at = this.at + 1; at < this.text.length; at += 1) {
      const character = this.text[at]!
      if (character === quote) {
        this.at = at + 1
        return value
      }
      if (character === '\\') {
        at += 1
        const escaped = this.text[at] ?? ''
        value += escapes[escaped] ?? escaped
      } else value += character
    }
    throw new NotLiteral()
  }

  #match(pattern: RegExp): string {
    this.#space()
    pattern.lastIndex = this.at
    const match = pattern.exec(this.text)
    if (match === null) throw new NotLiteral()
    this.at += match[0].length
    return match[0]
  }

  #expect(character: string): void {
    this.#space()
    if (this.text[this.at] !== character) throw new NotLiteral()
    this.at += 1
  }

  #space(): void {
    while (/\s/.test(this.text[this.at] ?? '')) this.at += 1
  }
}
