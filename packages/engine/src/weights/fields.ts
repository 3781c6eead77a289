import { ModelFileError } from './errors.ts'

interface Range {
  readonly min: number
  readonly max: number
}

/** A JSON object, or any other record of named values that a file gave. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Named values from one file, read with their type and range checked; `null` counts as absent.
 * Messages name the file and the key.
 */
export class Fields {
  constructor(
    readonly file: string,
    private readonly get: (key: string) => unknown,
    /** How the file's own words spell the key, for messages. */
    private readonly spell: (key: string) => string = (key) => key,
  ) {}

  has(key: string): boolean {
    return (this.get(key) ?? null) !== null
  }

  raw(key: string): unknown {
    return this.get(key) ?? null
  }

  integer(key: string, range: Range, fallback?: number): number {
    const value = this.number(key, range, fallback)
    if (Number.isInteger(value)) return value
    throw this.error(key, value, `a whole number from ${range.min} to ${range.max}`)
  }

  number(key: string, range: Range, fallback?: number): number {
    const value = this.value(key, fallback)
    const fits = typeof value === 'number' && value >= range.min && value <= range.max
    if (fits) return value
    throw this.error(key, value, `a number from ${range.min} to ${range.max}`)
  }

  boolean(key: string, fallback?: boolean): boolean {
    const value = this.value(key, fallback)
    if (typeof value === 'boolean') return value
    throw this.error(key, value, 'true or false')
  }

  string(key: string, fallback?: string): string {
    const value = this.value(key, fallback)
    if (typeof value === 'string') return value
    throw this.error(key, value, 'a text')
  }

  /** The fields of a nested object, or `null` if it is absent. */
  nested(key: string): Fields | null {
    const value = this.raw(key)
    if (value === null) return null
    if (!isRecord(value)) throw this.error(key, value, 'an object')
    return new Fields(
      this.file,
      (inner) => (Object.hasOwn(value, inner) ? value[inner] : null),
      (inner) => `${this.spell(key)}.${inner}`,
    )
  }

  /** A complaint about a key, to be thrown. */
  error(key: string, value: unknown, wanted: string): ModelFileError {
    const shown =
      value === undefined ? 'is missing' : `is ${JSON.stringify(value)?.slice(0, 80) ?? typeof value}`
    return new ModelFileError(this.file, `"${this.spell(key)}" ${shown}; it must be ${wanted}`)
  }

  private value(key: string, fallback: unknown): unknown {
    const value = this.get(key) ?? null
    if (value === null) return fallback
    // GGUF allows one value per layer; where they are all the same, that is the model's value.
    if (Array.isArray(value) && value.length > 0 && value.every((each) => each === value[0])) return value[0]
    return value
  }
}

/** Bounds no real model exceeds; they keep products of shapes exact. */
export const ranges = {
  layers: { min: 1, max: 512 },
  width: { min: 1, max: 1 << 20 },
  heads: { min: 1, max: 1 << 12 },
  vocab: { min: 1, max: 1 << 24 },
  context: { min: 1, max: 2 ** 31 },
  epsilon: { min: 1e-12, max: 1e-1 },
  theta: { min: 1, max: 1e12 },
  factor: { min: 1e-3, max: 1e4 },
  positive: { min: 1e-6, max: 1e6 },
  mscale: { min: 0, max: 1e3 },
} as const
