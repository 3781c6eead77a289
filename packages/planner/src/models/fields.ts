import { ModelDescriptionError } from './errors.ts'

/** Checked reading of a description's keys; absent and `null` are the same. */
export class Fields {
  constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    /** What stands before each key in messages: `llama.`. */
    private readonly prefix = '',
  ) {}

  raw(key: string): unknown {
    return Object.hasOwn(this.values, this.prefix + key) ? this.values[this.prefix + key] : undefined
  }

  has(key: string): boolean {
    const value = this.raw(key)
    return value !== undefined && value !== null
  }

  /** A whole number of at least `least`. */
  count(key: string, fallback?: number, least = 1): number {
    const value = this.has(key) ? this.raw(key) : fallback
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value
    throw this.error(key, value, `a whole number from ${least}`)
  }

  /** The first of several names that is there; models spell the same thing differently. */
  countOf(keys: readonly [string, ...string[]], fallback?: number, least = 1): number {
    return this.count(keys.find((key) => this.has(key)) ?? keys[0], fallback, least)
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.has(key) ? this.raw(key) : fallback
    if (typeof value === 'boolean') return value
    throw this.error(key, value, 'true or false')
  }

  text(key: string, fallback?: string): string {
    const value = this.has(key) ? this.raw(key) : fallback
    if (typeof value === 'string' && value !== '') return value
    throw this.error(key, value, 'a text')
  }

  error(key: string, given: unknown, wanted: string): ModelDescriptionError {
    return new ModelDescriptionError(this.prefix + key, given, wanted)
  }
}
