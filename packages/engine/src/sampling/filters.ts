import { expNonPositive } from './exponential.ts'
import { NOISE_BLOCK } from './noise.ts'
import type { Scratch } from './scan.ts'
import { isBefore, selectPrefix } from './select.ts'

/**
 * Where a filtered distribution ends. Top-k, top-p and min-p each keep a prefix of the tokens in order of likelihood
 * (ties: lower id first), so all of them together come down to the last token kept.
 */
export class Cut {
  logit = -Infinity
  token = Number.POSITIVE_INFINITY

  clear(): void {
    this.logit = -Infinity
    this.token = Number.POSITIVE_INFINITY
  }

  keeps(logit: number, token: number): boolean {
    return logit > this.logit || (logit === this.logit && token <= this.token)
  }

  /** Keeps only what both this cut and the given one keep. */
  narrow(logit: number, token: number): void {
    if (logit > this.logit || (logit === this.logit && token < this.token)) {
      this.logit = logit
      this.token = token
    }
  }
}

export interface FilterParams {
  readonly topK: number
  readonly topP: number
  readonly minP: number
}

/**
 * Applies top-k, then top-p to what is left (renormalised), then min-p.
 *
 * @param maximum - the largest logit
 * @param scratch - its `blockMaxima` belong to `logits`
 */
export function applyFilters(
  cut: Cut,
  logits: Float32Array,
  maximum: number,
  inverseTemperature: number,
  filters: FilterParams,
  scratch: Scratch,
): void {
  cut.clear()
  let count = logits.length
  if (filters.topK > 0 && filters.topK < logits.length) {
    count = selectTop(logits, filters.topK, scratch)
    narrowTo(cut, logits, scratch.candidates[count - 1]!)
  }
  if (filters.topP < 1) {
    const all = count === logits.length
    const kept = all
      ? nucleusOfAll(logits, maximum, inverseTemperature, filters.topP, scratch)
      : nucleusOfCandidates(count, logits, maximum, inverseTemperature, filters.topP, scratch)
    narrowTo(cut, logits, scratch.candidates[kept - 1]!)
  }
  if (filters.minP > 0) {
    cut.narrow(maximum + Math.log(filters.minP) / inverseTemperature, Number.POSITIVE_INFINITY)
  }
}

/**
 * Puts the `k` likeliest tokens at the front of `scratch.candidates`, the least likely of them last.
 *
 * @returns how many there are: `k`, or the vocabulary if it is smaller
 */
export function selectTop(logits: Float32Array, k: number, scratch: Scratch): number {
  const count = collect(logits, scratch, lowerBoundOfTop(k, scratch))
  return selectPrefix(scratch.candidates, count, logits, null, k)
}

/** A logit that at least `k` tokens reach: the k-th largest block maximum. */
function lowerBoundOfTop(k: number, scratch: Scratch): number {
  const { blockMaxima, candidates } = scratch
  if (k > blockMaxima.length) return -Infinity
  for (let block = 0; block < blockMaxima.length; block += 1) candidates[block] = block
  const count = selectPrefix(candidates, blockMaxima.length, blockMaxima, null, k)
  return blockMaxima[candidates[count - 1]!]!
}

/** Fills `candidates` with the tokens whose logit is at least `bound`, in order of id. */
function collect(logits: Float32Array, scratch: Scratch, bound: number): number {
  const { blockMaxima, candidates } = scratch
  let count = 0
  for (let block = 0; block < blockMaxima.length; block += 1) {
    if (blockMaxima[block]! < bound) continue
    const end = Math.min((block + 1) * NOISE_BLOCK, logits.length)
    for (let i = block * NOISE_BLOCK; i < end; i += 1) {
      if (logits[i]! >= bound) {
        candidates[count] = i
        count += 1
      }
    }
  }
  return count
}

function nucleusOfAll(
  logits: Float32Array,
  maximum: number,
  inverseTemperature: number,
  topP: number,
  scratch: Scratch,
): number {
  const { weights, candidates } = scratch
  let total = 0
  for (let i = 0; i < logits.length; i += 1) {
    const weight = expNonPositive((logits[i]! - maximum) * inverseTemperature)
    weights[i] = weight
    total += weight
  }
  // Tokens below an equal share of what the nucleus may leave out cannot be in it, for all of them together are less.
  const share = (total * (1 - topP)) / logits.length
  const bound = maximum + Math.log(share * 0.999) / inverseTemperature
  const count = collect(logits, scratch, Math.min(bound, maximum))
  return selectPrefix(candidates, count, logits, weights, total * topP)
}

function nucleusOfCandidates(
  count: number,
  logits: Float32Array,
  maximum: number,
  inverseTemperature: number,
  topP: number,
  scratch: Scratch,
): number {
  const { weights, candidates } = scratch
  let total = 0
  for (let i = 0; i < count; i += 1) {
    const token = candidates[i]!
    const weight = expNonPositive((logits[token]! - maximum) * inverseTemperature)
    weights[token] = weight
    total += weight
  }
  return selectPrefix(candidates, count, logits, weights, total * topP)
}

function narrowTo(cut: Cut, logits: Float32Array, token: number): void {
  cut.narrow(logits[token]!, token)
}

/** Sorts the first `count` candidates, likeliest first. */
export function sortedCandidates(logits: Float32Array, count: number, scratch: Scratch): Int32Array {
  return scratch.candidates.slice(0, count).sort((a, b) => (isBefore(logits, a, b) ? -1 : 1))
}
