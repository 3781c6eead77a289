/**
 * Finds where a JSON value ends, one character after the other. Brackets and strings are followed, nothing else is
 * checked: what a model writes inside is passed on as it is.
 */
export class JsonExtent {
  #depth = 0
  #inString = false
  #escaped = false
  #scalar = false

  /** @returns `inside` when the character belongs to the value, `last` when it ends it, `behind` when it is after it */
  feed(character: string): 'inside' | 'last' | 'behind' {
    if (this.#inString) return this.#feedString(character)
    if (this.#scalar) return /[\s,\]}]/.test(character) ? 'behind' : 'inside'
    if (character === '"') {
      this.#inString = true
    } else if (character === '{' || character === '[') {
      this.#depth += 1
    } else if (character === '}' || character === ']') {
      this.#depth -= 1
      return this.#depth <= 0 ? 'last' : 'inside'
    } else if (this.#depth === 0) {
      this.#scalar = true
    }
    return 'inside'
  }

  #feedString(character: string): 'inside' | 'last' {
    if (this.#escaped) this.#escaped = false
    else if (character === '\\') this.#escaped = true
    else if (character === '"') {
      this.#inString = false
      return this.#depth === 0 ? 'last' : 'inside'
    }
    return 'inside'
  }
}

/** The value of JSON text; `undefined` if it is none. */
export function jsonValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Arguments in place of what a model wrote: nothing is no arguments, and JSON inside a string is that JSON. */
export function argumentsText(written: string): string {
  const value = jsonValue(written)
  if (value === null || written === '') return '{}'
  return typeof value === 'string' ? value || '{}' : written
}
