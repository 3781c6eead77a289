/** Stands for minus infinity: loses against every logit, and 0 times it is 0. */
export const MASKED_LOGIT = -3.4028234663852886e38

const BITS = 32

/** Words of a mask over a vocabulary. */
export const maskWords = (vocabSize: number): number => Math.ceil(vocabSize / BITS)

/**
 * Takes every token out whose bit is not set.
 *
 * @param mask - bit `i & 31` of word `i >> 5` allows token `i`; bits beyond the vocabulary mean nothing
 * @returns whether any token is left
 * @throws RangeError if the mask is not made for a vocabulary of this size
 */
export function applyMask(logits: Float32Array, mask: Uint32Array): boolean {
  if (mask.length !== maskWords(logits.length)) {
    throw new RangeError(
      `A mask of ${mask.length} words is not one for ${logits.length} tokens; it has ${maskWords(logits.length)}.`,
    )
  }
  let isAnyLeft = false
  for (let word = 0; word < mask.length; word += 1) {
    const bits = mask[word]!
    const first = word * BITS
    const end = Math.min(first + BITS, logits.length)
    const used = end - first === BITS ? 0xffff_ffff : 2 ** (end - first) - 1
    if ((bits & used) !== 0) isAnyLeft = true
    if ((bits & used) >>> 0 === used) continue
    if ((bits & used) === 0) {
      logits.fill(MASKED_LOGIT, first, end)
      continue
    }
    for (let token = first; token < end; token += 1) {
      if (((bits >>> (token - first)) & 1) === 0) logits[token] = MASKED_LOGIT
    }
  }
  return isAnyLeft
}
