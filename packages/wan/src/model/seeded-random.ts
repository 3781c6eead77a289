import type { Random } from '@deos/domain'

/** A repeatable stream of numbers for each name, independent of every other name's (FNV-1a into mulberry32). */
export function seededRandom(seed: number, name: string): Random {
  let state = (0x811c9dc5 ^ seed) >>> 0
  for (let index = 0; index < name.length; index++) {
    state = Math.imul(state ^ name.charCodeAt(index), 0x01000193) >>> 0
  }
  return {
    next: () => {
      state = (state + 0x6d2b79f5) >>> 0
      let mixed = Math.imul(state ^ (state >>> 15), state | 1)
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
    },
  }
}
