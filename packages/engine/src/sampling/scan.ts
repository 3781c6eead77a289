import { NOISE_BLOCK } from './noise.ts'

/** Arrays reused from token to token; one set for each vocabulary size in use. */
export interface Scratch {
  /** Largest logit of each noise block. */
  readonly blockMaxima: Float32Array
  readonly adjusted: Float32Array
  /** Unnormalised probabilities by token. */
  readonly weights: Float64Array
  readonly candidates: Int32Array
}

const scratches = new Map<number, Scratch>()

export function scratchFor(vocabSize: number): Scratch {
  const known = scratches.get(vocabSize)
  if (known) return known
  const scratch: Scratch = {
    blockMaxima: new Float32Array(Math.ceil(vocabSize / NOISE_BLOCK)),
    adjusted: new Float32Array(vocabSize),
    weights: new Float64Array(vocabSize),
    candidates: new Int32Array(vocabSize),
  }
  scratches.set(vocabSize, scratch)
  return scratch
}

/**
 * Largest logit, lowest id on a tie; −1 when a logit is not finite or there is none.
 * A value times 0 is 0 only if it is finite. Two lanes, because the loop waits for its additions: three times faster.
 */
export function argmax(logits: Float32Array): number {
  const pairsEnd = logits.length & ~1
  let best = -Infinity
  let token = -1
  let checkEven = 0
  let checkOdd = 0
  for (let i = 0; i < pairsEnd; i += 2) {
    const even = logits[i]!
    const odd = logits[i + 1]!
    checkEven += even * 0
    checkOdd += odd * 0
    if (even > best) {
      best = even
      token = i
    }
    if (odd > best) {
      best = odd
      token = i + 1
    }
  }
  if (pairsEnd < logits.length) {
    const last = logits[pairsEnd]!
    checkEven += last * 0
    if (last > best) token = pairsEnd
  }
  return checkEven + checkOdd === 0 ? token : -1
}

/** {@link argmax} that also fills the maxima of all blocks. */
export function scanBlocks(logits: Float32Array, blockMaxima: Float32Array): number {
  let bestBlock = -1
  let best = -Infinity
  let checkEven = 0
  let checkOdd = 0
  for (let block = 0; block < blockMaxima.length; block += 1) {
    const first = block * NOISE_BLOCK
    const end = Math.min(first + NOISE_BLOCK, logits.length)
    const pairsEnd = end & ~1
    // The odd one out, if any, starts both lanes.
    let evenMaximum = logits[end - 1]!
    let oddMaximum = evenMaximum
    checkEven += evenMaximum * 0
    for (let i = first; i < pairsEnd; i += 2) {
      const even = logits[i]!
      const odd = logits[i + 1]!
      checkEven += even * 0
      checkOdd += odd * 0
      if (even > evenMaximum) evenMaximum = even
      if (odd > oddMaximum) oddMaximum = odd
    }
    const maximum = Math.max(evenMaximum, oddMaximum)
    blockMaxima[block] = maximum
    if (maximum > best) {
      best = maximum
      bestBlock = block
    }
  }
  if (bestBlock < 0 || checkEven + checkOdd !== 0) return -1
  return logits.indexOf(best, bestBlock * NOISE_BLOCK)
}
