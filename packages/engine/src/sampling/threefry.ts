/** Key schedule constant of the Threefish family. */
const PARITY = 0x1bd11bda

/**
 * Threefry-2x32 with 20 rounds: a keyed bijection of 64-bit counters whose outputs pass as independent uniform words.
 * Stateless, so any draw can be recomputed alone. Writes two unsigned words to `out`.
 *
 * @see Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3 (SC'11)
 */
export function threefry2x32(
  key0: number,
  key1: number,
  counter0: number,
  counter1: number,
  out: Uint32Array,
): void {
  const key2 = PARITY ^ key0 ^ key1
  let a = (counter0 + key0) | 0
  let b = (counter1 + key1) | 0

  a = (a + b) | 0
  b = ((b << 13) | (b >>> 19)) ^ a
  a = (a + b) | 0
  b = ((b << 15) | (b >>> 17)) ^ a
  a = (a + b) | 0
  b = ((b << 26) | (b >>> 6)) ^ a
  a = (a + b) | 0
  b = ((b << 6) | (b >>> 26)) ^ a
  a = (a + key1) | 0
  b = (b + key2 + 1) | 0

  a = (a + b) | 0
  b = ((b << 17) | (b >>> 15)) ^ a
  a = (a + b) | 0
  b = ((b << 29) | (b >>> 3)) ^ a
  a = (a + b) | 0
  b = ((b << 16) | (b >>> 16)) ^ a
  a = (a + b) | 0
  b = ((b << 24) | (b >>> 8)) ^ a
  a = (a + key2) | 0
  b = (b + key0 + 2) | 0

  a = (a + b) | 0
  b = ((b << 13) | (b >>> 19)) ^ a
  a = (a + b) | 0
  b = ((b << 15) | (b >>> 17)) ^ a
  a = (a + b) | 0
  b = ((b << 26) | (b >>> 6)) ^ a
  a = (a + b) | 0
  b = ((b << 6) | (b >>> 26)) ^ a
  a = (a + key0) | 0
  b = (b + key1 + 3) | 0

  a = (a + b) | 0
  b = ((b << 17) | (b >>> 15)) ^ a
  a = (a + b) | 0
  b = ((b << 29) | (b >>> 3)) ^ a
  a = (a + b) | 0
  b = ((b << 16) | (b >>> 16)) ^ a
  a = (a + b) | 0
  b = ((b << 24) | (b >>> 8)) ^ a
  a = (a + key1) | 0
  b = (b + key2 + 4) | 0

  a = (a + b) | 0
  b = ((b << 13) | (b >>> 19)) ^ a
  a = (a + b) | 0
  b = ((b << 15) | (b >>> 17)) ^ a
  a = (a + b) | 0
  b = ((b << 26) | (b >>> 6)) ^ a
  a = (a + b) | 0
  b = ((b << 6) | (b >>> 26)) ^ a
  a = (a + key2) | 0
  b = (b + key0 + 5) | 0

  out[0] = a
  out[1] = b
}
