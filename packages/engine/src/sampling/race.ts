import type { Cut } from './filters.ts'
import { NOISE_BLOCK, type NoiseSource } from './noise.ts'

/**
 * The token with the largest `logit / temperature + Gumbel noise` among those the cut keeps (ties: lower id).
 * Blocks whose best logit and best noise together cannot win are passed over unseen.
 *
 * @param likeliest - the token with the largest logit; its block is tried first, so that most others are passed over
 */
export function raceTokens(
  logits: Float32Array,
  blockMaxima: Float32Array,
  likeliest: number,
  inverseTemperature: number,
  cut: Cut,
  noise: NoiseSource,
  position: number,
): number {
  const firstBlock = Math.floor(likeliest / NOISE_BLOCK)
  let winner = -1
  let best = -Infinity
  for (let turn = -1; turn < blockMaxima.length; turn += 1) {
    const block = turn < 0 ? firstBlock : turn
    if (turn === firstBlock || blockMaxima[block]! < cut.logit) continue
    const noiseBound = noise.openBlock(position, block)
    if (blockMaxima[block]! * inverseTemperature + noiseBound < best) continue
    const end = Math.min((block + 1) * NOISE_BLOCK, logits.length)
    for (let token = block * NOISE_BLOCK; token < end; token += 1) {
      const logit = logits[token]!
      if (!cut.keeps(logit, token) || logit * inverseTemperature + noiseBound < best) continue
      const score = logit * inverseTemperature + noise.gumbel(token)
      if (score > best || (score === best && token < winner)) {
        best = score
        winner = token
      }
    }
  }
  return winner
}
