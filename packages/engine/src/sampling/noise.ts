import { threefry2x32 } from './threefry.ts'

/** Tokens whose noise is drawn together; a power of two. */
export const NOISE_BLOCK = 64

/** Counters with this bit belong to blocks, all others to tokens. */
const BLOCK_COUNTER = 0x80000000

/**
 * Sampling noise as a pure function of (seed, position, token), so that a resumed session, a draft model and an
 * auditor all see the same. Each token's noise is an independent Exp(1) variable `E`; its Gumbel value is `−log E`,
 * and the token with the largest `logit / temperature − log E` is a sample of the softmax.
 *
 * The noise of a block of 64 consecutive tokens is drawn from its smallest value upwards: the smallest of 64 Exp(1)
 * variables is Exp(1) / 64 at a uniformly random place, and, an exponential having no memory, every other one exceeds
 * it by a fresh Exp(1). All 64 remain exactly independent Exp(1), yet one draw bounds the block, which lets a sampler
 * pass over nearly all of a large vocabulary.
 */
export class NoiseSource {
  readonly #key0: number
  readonly #key1: number
  readonly #words = new Uint32Array(2)
  #position = 0
  #smallest = 0
  #smallestToken = 0

  /** @param seed - an unsigned 64-bit integer in decimal; its low word is the first word of the key */
  constructor(seed: string) {
    const key = parseSeed(seed)
    this.#key0 = Number(key & 0xffffffffn) | 0
    this.#key1 = Number(key >> 32n) | 0
  }

  /** Moves to a block of one position and returns its largest Gumbel value. */
  openBlock(position: number, block: number): number {
    this.#position = position
    const uniform = this.#draw((BLOCK_COUNTER | block) >>> 0)
    this.#smallest = -Math.log(uniform) / NOISE_BLOCK
    this.#smallestToken = block * NOISE_BLOCK + (this.#words[1]! & (NOISE_BLOCK - 1))
    return -Math.log(this.#smallest)
  }

  /** Gumbel value of a token of the open block. */
  gumbel(token: number): number {
    if (token === this.#smallestToken) return -Math.log(this.#smallest)
    return -Math.log(this.#smallest - Math.log(this.#draw(token)))
  }

  /** Uniform in the open interval (0, 1), a multiple of 2^-53: 52 bits of the two words and a half. */
  #draw(counter: number): number {
    threefry2x32(this.#key0, this.#key1, this.#position, counter, this.#words)
    return (this.#words[0]! * 1048576 + (this.#words[1]! >>> 12) + 0.5) * 2 ** -52
  }
}

/** Noise of one token alone, for audits and tests. */
export function gumbelNoise(seed: string, position: number, token: number): number {
  const noise = new NoiseSource(seed)
  noise.openBlock(position, Math.floor(token / NOISE_BLOCK))
  return noise.gumbel(token)
}

function parseSeed(seed: string): bigint {
  if (!/^\d{1,20}$/.test(seed)) {
    throw new RangeError(`Seed "${seed}" is not an unsigned integer in decimal digits.`)
  }
  const key = BigInt(seed)
  if (key >= 1n << 64n) throw new RangeError(`Seed ${seed} does not fit 64 bits.`)
  return key
}
