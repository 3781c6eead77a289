/** Where JSON text goes wrong. Offsets count UTF-16 units from 0, lines and columns from 1. */
export interface JsonFault {
  readonly offset: number
  readonly line: number
  readonly column: number
  readonly expected: string
}

const whitespace = /[ \t\n\r]*/y
const escapeSequence = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const literal = /true|false|null/y

/** Reads JSON without building it; keeps its own stack, so depth costs no call stack. */
class JsonScanner {
  #at = 0
  constructor(readonly text: string) {}

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.text)
    if (match) this.#at += match[0].length
    return match !== null
  }

  #take(character: string): boolean {
    if (this.text[this.#at] !== character) return false
    this.#at += 1
    return true
  }

  /** `null` if a string was read, otherwise what was missing. */
  #string(): string | null {
    if (!this.#take('"')) return 'a string in double quotes'
    for (;;) {
      const code = this.text.charCodeAt(this.#at)
      if (code === 0x5c ? !this.#skip(escapeSequence) : !(code >= 0x20) || code === 0x22) break
      if (code !== 0x5c) this.#at += 1
    }
    return this.#take('"') ? null : 'a valid string character or a closing quote'
  }

  #key(): string | null {
    const missing = this.#string()
    if (missing) return missing === 'a string in double quotes' ? 'a property name in double quotes' : missing
    this.#skip(whitespace)
    return this.#take(':') ? null : '":" after the property name'
  }

  /** Reads a scalar, or opens a container and says so. */
  #value(): { readonly missing: string } | 'object' | 'array' | 'scalar' {
    if (this.#take('{')) return 'object'
    if (this.#take('[')) return 'array'
    if (this.text[this.#at] === '"') {
      const missing = this.#string()
      return missing ? { missing } : 'scalar'
    }
    return this.#skip(number) || this.#skip(literal) ? 'scalar' : { missing: 'a value' }
  }

  /** Reads the whole text; the offset stays where it went wrong. */
  scan(): { readonly offset: number; readonly expected: string } | null {
    const open: ('object' | 'array')[] = []
    const fault = (expected: string) => ({ offset: this.#at, expected })
    let fresh = false
    this.#skip(whitespace)
    do {
      const container = open.at(-1)
      this.#skip(whitespace)
      if (container !== undefined) {
        const closing = container === 'object' ? '}' : ']'
        if (this.#take(closing)) {
          open.pop()
          fresh = false
          continue
        }
        if (!fresh && !this.#take(',')) return fault(`"," or "${closing}"`)
        this.#skip(whitespace)
        if (container === 'object') {
          const missing = this.#key()
          if (missing) return fault(missing)
          this.#skip(whitespace)
        }
      }
      const value = this.#value()
      if (typeof value === 'object') return fault(value.missing)
      fresh = value !== 'scalar'
      if (value !== 'scalar') open.push(value)
    } while (open.length > 0)
    this.#skip(whitespace)
    return this.#at === this.text.length ? null : fault('the end of the body')
  }
}

/** The first fault of `text`, or `null` if it is JSON. */
export function findJsonFault(text: string): JsonFault | null {
  const fault = new JsonScanner(text).scan()
  if (!fault) return null
  const before = text.slice(0, fault.offset)
  const line = before.split('\n').length
  const column = fault.offset - (before.lastIndexOf('\n') + 1) + 1
  return { ...fault, line, column }
}
