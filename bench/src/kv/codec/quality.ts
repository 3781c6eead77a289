import { quantile } from '../../contract.ts'
import type { CacheLab, ContextCache } from './cache-lab.ts'

/** A context, what follows it, and how likely the unchanged cache finds everything that could. */
export interface Trial {
  readonly cache: ContextCache
  readonly tokens: Int32Array
  /** `[tokens, vocab]` logarithms of probabilities. */
  readonly exact: Float32Array
  /** Whether the tokens repeat a stretch of the context, so that they can be copied from it. */
  readonly copied: boolean
}

export interface Quality {
  readonly perplexityRatio: number
  readonly meanKl: number
  readonly p99Kl: number
  readonly top1Agreement: number
  /** Repeated tokens that are guessed right, over those the unchanged cache guesses right. */
  readonly copyRecall: number
}

/** Cuts windows out of a text, evenly spread, and prefills their contexts. */
export async function prepareTrials(
  lab: CacheLab,
  text: Int32Array,
  plan: { readonly windows: number; readonly context: number; readonly scored: number },
): Promise<readonly Trial[]> {
  const { windows, context, scored } = plan
  const stride = Math.floor((text.length - context - scored - 1) / Math.max(1, windows - 1))
  if (stride < 1) throw new RangeError(`${text.length} tokens are too few for ${windows} windows.`)
  const trials: Trial[] = []
  for (let index = 0; index < windows; index += 1) {
    const start = index * stride
    const cache = await lab.prefill(text.slice(start, start + context))
    const next = text.slice(start + context, start + context + scored + 1)
    // From a different place of the context each time.
    const from = start + 8 + ((index * 37) % (context - scored - 16))
    for (const [tokens, copied] of [
      [next, false],
      [text.slice(from, from + scored + 1), true],
    ] as const) {
      const exact = logProbabilities(await lab.score(cache, tokens.subarray(0, scored)), lab.vocabSize)
      trials.push({ cache, tokens, exact, copied })
    }
  }
  return trials
}

/** Compares what changed caches say with what the unchanged ones say. */
export async function measureQuality(
  lab: CacheLab,
  trials: readonly Trial[],
  changed: (cache: ContextCache) => ContextCache,
): Promise<Quality> {
  const kl: number[] = []
  const sums = { surprise: 0, agreeing: 0, right: 0, rightExactly: 0 }
  const { vocabSize } = lab
  for (const { cache, tokens, exact, copied } of trials) {
    const scored = tokens.length - 1
    const now = logProbabilities(await lab.score(changed(cache), tokens.subarray(0, scored)), vocabSize)
    for (let row = 0; row < scored; row += 1) {
      const p = exact.subarray(row * vocabSize, (row + 1) * vocabSize)
      const q = now.subarray(row * vocabSize, (row + 1) * vocabSize)
      const target = tokens[row + 1]!
      const best = likeliest(q)
      const exactBest = likeliest(p)
      if (copied) {
        // The first few tokens do not yet say which stretch is repeated.
        if (row < 4) continue
        sums.right += best === target ? 1 : 0
        sums.rightExactly += exactBest === target ? 1 : 0
        continue
      }
      kl.push(divergence(p, q))
      sums.surprise += p[target]! - q[target]!
      sums.agreeing += best === exactBest ? 1 : 0
    }
  }
  return {
    perplexityRatio: Math.exp(sums.surprise / kl.length),
    meanKl: kl.reduce((sum, value) => sum + value, 0) / kl.length,
    p99Kl: quantile(kl, 0.99),
    top1Agreement: sums.agreeing / kl.length,
    copyRecall: sums.right / sums.rightExactly,
  }
}

function divergence(p: Float32Array, q: Float32Array): number {
  let sum = 0
  for (let index = 0; index < p.length; index += 1) sum += Math.exp(p[index]!) * (p[index]! - q[index]!)
  return Math.max(0, sum)
}

function likeliest(values: Float32Array): number {
  let best = 0
  for (let index = 1; index < values.length; index += 1) if (values[index]! > values[best]!) best = index
  return best
}

export function logProbabilities(logits: Float32Array, vocabSize: number): Float32Array {
  for (let start = 0; start < logits.length; start += vocabSize) {
    const row = logits.subarray(start, start + vocabSize)
    const largest = row[likeliest(row)]!
    let sum = 0
    for (const logit of row) sum += Math.exp(logit - largest)
    const total = largest + Math.log(sum)
    for (let index = 0; index < vocabSize; index += 1) row[index] = row[index]! - total
  }
  return logits
}
