import { quantile } from '../../contract.ts'
import type { CacheLab, ContextCache } from './cache-lab.ts'
import type { Method } from './ladder.ts'
import { divergence, logProbabilities, type Trial } from './quality.ts'

/** Tokens that are generated over the cache with loss before better copies of the prompt are there. */
export const ENHANCED_AFTER = [8, 32] as const

/** What better copies of a prompt's blocks do for the tokens behind them. */
export interface EnhancementPoint {
  /** The level that decoding began with, and the one of the better copies. */
  readonly begun: string
  readonly better: string
  readonly after: number
  /** Of the tokens behind the change against the exact cache, with and without it. */
  readonly meanKl: number
  readonly p99Kl: number
  readonly meanKlWithout: number
  readonly p99KlWithout: number
}

/**
 * Decoding begins over a prompt that came with loss; when some tokens are computed the whole prompt is replaced by a
 * better copy, and the tokens in between keep their K and V, which were computed from the former one.
 */
export async function measureEnhancement(
  lab: CacheLab,
  trials: readonly Trial[],
  begun: readonly Method[],
  better: readonly Method[],
): Promise<readonly EnhancementPoint[]> {
  const sent = new Map(
    [...begun, ...better].map((method) => [method, trials.map(({ cache }) => method.send(cache).cache)]),
  )
  const points: EnhancementPoint[] = []
  for (const start of begun) {
    for (const after of ENHANCED_AFTER) {
      const without = await divergences(lab, trials, after, sent.get(start)!, sent.get(start)!)
      for (const end of better) {
        const kl = await divergences(lab, trials, after, sent.get(start)!, sent.get(end)!)
        points.push({
          ...{ begun: start.name, better: end.name, after },
          ...{ meanKl: mean(kl), p99Kl: quantile(kl, 0.99) },
          ...{ meanKlWithout: mean(without), p99KlWithout: quantile(without, 0.99) },
        })
      }
    }
  }
  return points
}

async function divergences(
  lab: CacheLab,
  trials: readonly Trial[],
  after: number,
  begun: readonly ContextCache[],
  better: readonly ContextCache[],
): Promise<readonly number[]> {
  const { vocabSize } = lab
  const kl: number[] = []
  for (const [index, { tokens, exact }] of trials.entries()) {
    const scored = tokens.subarray(0, -1)
    const now = await lab.scoreReplaced(begun[index]!, better[index]!, scored, after)
    logProbabilities(now, vocabSize)
    for (let row = after; row < scored.length; row += 1) {
      const p = exact.subarray(row * vocabSize, (row + 1) * vocabSize)
      kl.push(divergence(p, now.subarray((row - after) * vocabSize, (row - after + 1) * vocabSize)))
    }
  }
  return kl
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length
