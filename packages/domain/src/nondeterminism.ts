import type { Milliseconds } from './units.ts'

/** Monotonic time since an arbitrary origin. Production reads the machine's clock, a simulation its own. */
export interface Clock {
  now(): Milliseconds
}

/** Uniform numbers in `[0, 1)`. */
export interface Random {
  next(): number
}

/** Unique ids with a readable prefix, e.g. `chatcmpl-…`. */
export interface IdSource {
  next(prefix: string): string
}

/** A small seeded generator (Mulberry32) for simulations and tests; not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0
      let t = state
      t = Math.imul(t ^ (t >>> 15), t | 1)
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296
    },
  }
}
