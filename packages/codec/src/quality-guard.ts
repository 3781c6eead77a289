import { CodecInputError } from './errors.ts'

/** The likeliest tokens at one position as the sender's cache gives them, and what is needed to make probabilities. */
export interface ExactProbe {
  readonly tokens: Int32Array
  /** Logits of the tokens, from the largest. */
  readonly logits: Float32Array
  /** Logarithm of the sum of the exponentials of all logits. */
  readonly logSumExp: number
}

export interface GuardLimits {
  /** Divergence in nats, as a mean over the probes; at a single one ten times as much. */
  readonly maxKl: number
  /** A different likeliest token counts only if the exact logits are further apart than this. */
  readonly topMargin: number
}

export const DEFAULT_GUARD: GuardLimits = { maxKl: 0.01, topMargin: 0.5 }

/** How many times the mean one probe may diverge: single positions of sound caches differ that much. */
const MAX_SINGLE = 10

export interface ProbeVerdict {
  readonly kl: number
  readonly topAgrees: boolean
  readonly passes: boolean
}

/** Takes the probe out of a row of logits. */
export function takeProbe(logits: Float32Array, count = 64): ExactProbe {
  const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b)
  const tokens = Int32Array.from(order.slice(0, count))
  return {
    tokens,
    logits: Float32Array.from(tokens, (token) => logits[token]!),
    logSumExp: logSumExp(logits),
  }
}

/**
 * Divergence of what the decoded cache says from what the exact one said, all tokens outside the probe as one.
 * A lower bound of the full divergence.
 *
 * @param logits - of the whole vocabulary, computed over the decoded cache
 * @throws CodecInputError if a token of the probe is not in the vocabulary
 */
export function judgeProbe(exact: ExactProbe, logits: Float32Array, limits = DEFAULT_GUARD): ProbeVerdict {
  checkProbe(exact, logits.length)
  const total = logSumExp(logits)
  let kl = 0
  let exactMass = 0
  let mass = 0
  for (const [index, token] of exact.tokens.entries()) {
    const expected = exact.logits[index]! - exact.logSumExp
    const found = logits[token]! - total
    kl += Math.exp(expected) * (expected - found)
    exactMass += Math.exp(expected)
    mass += Math.exp(found)
  }
  const exactTail = Math.max(0, 1 - exactMass)
  const tail = Math.max(1e-12, 1 - mass)
  if (exactTail > 1e-12) kl += exactTail * Math.log(exactTail / tail)
  const topAgrees = agreesOnTop(exact, logits, limits.topMargin)
  // Not a number where a cache was ruined: that does not pass.
  return { kl, topAgrees, passes: topAgrees && singleProbePasses(kl, limits) }
}

/** Whether one position may diverge so much; not if that is not a number. */
export const singleProbePasses = (kl: number, limits: GuardLimits): boolean => kl <= MAX_SINGLE * limits.maxKl

function agreesOnTop(exact: ExactProbe, logits: Float32Array, margin: number): boolean {
  let best = 0
  for (let token = 1; token < logits.length; token += 1) if (logits[token]! > logits[best]!) best = token
  const rank = exact.tokens.indexOf(best)
  return rank >= 0 && exact.logits[0]! - exact.logits[rank]! <= (rank === 0 ? 0 : margin)
}

function checkProbe({ tokens, logits, logSumExp: total }: ExactProbe, vocabulary: number): void {
  if (tokens.length === 0 || tokens.length !== logits.length || !Number.isFinite(total))
    throw new CodecInputError('A probe has as many logits as tokens, at least one, and a finite sum.')
  for (const token of tokens)
    if (token < 0 || token >= vocabulary)
      throw new CodecInputError(`Token ${token} of the probe is not among ${vocabulary}.`)
}

function logSumExp(logits: Float32Array): number {
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
}

/** Whether a cache passes: every probe does, and their mean divergence is within the limit. */
export function cachePasses(verdicts: readonly ProbeVerdict[], limits = DEFAULT_GUARD): boolean {
  if (verdicts.length === 0) throw new CodecInputError('A cache is judged by at least one probe.')
  const sum = verdicts.reduce((all, { kl }) => all + kl, 0)
  return verdicts.every(({ passes }) => passes) && sum <= limits.maxKl * verdicts.length
}

/** A block that arrived with loss: what it may have done, and what a better copy costs. */
export interface LossyBlock {
  readonly id: string
  /** Sensitivity of its part times its mean squared error. */
  readonly harm: number
  readonly upgradeBytes: number
}

/**
 * What to do after the probes: decode, ask for the worst blocks again at a better level, or for everything without loss.
 *
 * @param round - upgrades already asked for; after `maxRounds` of them only lossless is left
 */
export function decideAfterProbe(
  verdicts: readonly ProbeVerdict[],
  blocks: readonly LossyBlock[],
  round: number,
  maxRounds = 2,
):
  | { readonly action: 'accept' }
  | { readonly action: 'upgrade' | 'lossless'; readonly blocks: readonly string[] } {
  if (cachePasses(verdicts)) return { action: 'accept' }
  const worstFirst = [...blocks].sort(
    (a, b) =>
      b.harm / Math.max(1, b.upgradeBytes) - a.harm / Math.max(1, a.upgradeBytes) || (a.id < b.id ? -1 : 1),
  )
  if (round >= maxRounds) return { action: 'lossless', blocks: worstFirst.map(({ id }) => id) }
  const total = worstFirst.reduce((sum, { harm }) => sum + harm, 0)
  const chosen: string[] = []
  let covered = 0
  for (const block of worstFirst) {
    if (chosen.length > 0 && covered >= total / 2) break
    chosen.push(block.id)
    covered += block.harm
  }
  return { action: 'upgrade', blocks: chosen }
}
