import { malformed, overLimit } from './wire-error.ts'

const utf8 = new TextEncoder()

/** Checked access to the decoded meta of a control message; every failure names the path of the field. */
export class Fields {
  readonly #record: Readonly<Record<string, unknown>>

  constructor(
    value: unknown,
    private readonly path: string,
  ) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw malformed(path, 'is not a map')
    this.#record = value as Readonly<Record<string, unknown>>
  }

  child(name: string): Fields {
    return new Fields(this.#get(name), this.#path(name))
  }

  /** An integer in `[min, max]`. */
  integer(name: string, min = 0, max = 0xffffffff): number {
    return integerAt(this.#get(name), this.#path(name), min, max)
  }

  /** A finite number in `[min, max]`. */
  number(name: string, min = -Number.MAX_VALUE, max = Number.MAX_VALUE): number {
    return numberAt(this.#get(name), this.#path(name), min, max)
  }

  boolean(name: string): boolean {
    const value = this.#get(name)
    if (typeof value !== 'boolean') throw malformed(this.#path(name), 'is not true or false')
    return value
  }

  text(name: string, maxBytes: number): string {
    const value = this.#get(name)
    if (typeof value !== 'string') throw malformed(this.#path(name), 'is not a string')
    const size = value.length > maxBytes ? value.length : utf8.encode(value).length
    if (size > maxBytes) throw overLimit(this.#path(name), size, maxBytes)
    return value
  }

  /** A text that is not empty. */
  id(name: string, maxBytes: number): string {
    const value = this.text(name, maxBytes)
    if (value === '') throw malformed(this.#path(name), 'is empty')
    return value
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.#get(name)
    const found = allowed.find((candidate) => candidate === value)
    if (found === undefined) throw malformed(this.#path(name), `is not one of ${allowed.join(', ')}`)
    return found
  }

  list<T>(name: string, maxItems: number, read: (item: unknown, path: string) => T): readonly T[] {
    const value = this.#get(name)
    if (!Array.isArray(value)) throw malformed(this.#path(name), 'is not a list')
    if (value.length > maxItems) throw overLimit(`${this.#path(name)}.length`, value.length, maxItems)
    return value.map((item: unknown, index) => read(item, `${this.#path(name)}[${index}]`))
  }

  isNull(name: string): boolean {
    return this.#get(name) === null
  }

  #get(name: string): unknown {
    if (!Object.hasOwn(this.#record, name)) throw malformed(this.#path(name), 'is missing')
    return this.#record[name]
  }

  #path(name: string): string {
    return `${this.path}.${name}`
  }
}

export function integerAt(value: unknown, path: string, min = 0, max = 0xffffffff): number {
  const number = numberAt(value, path, min, max)
  if (!Number.isSafeInteger(number)) throw malformed(path, `is ${number}, not a whole number`)
  return number
}

export function numberAt(value: unknown, path: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw malformed(path, 'is not a finite number')
  if (value < min || value > max) throw malformed(path, `is ${value}, outside ${min} to ${max}`)
  return value
}

/** A list of exactly two items. */
export function pairAt(value: unknown, path: string): readonly [unknown, unknown] {
  if (!Array.isArray(value) || value.length !== 2) throw malformed(path, 'is not a pair')
  return [value[0], value[1]]
}
