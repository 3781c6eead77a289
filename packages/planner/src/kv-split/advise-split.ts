import { KvSplitError } from './errors.ts'

/** Rates of a prompt that is computed on one ring or on another, per position that the decode ring does not have yet. */
export interface SplitRates {
  /** Of the decode ring, computing the prompt itself beside what else it does. */
  readonly hereMsPerToken: number
  /** Of the prefill ring, its slowest stage. */
  readonly thereMsPerToken: number
  /** Of the prefill ring, until the first position has passed all of its stages, queueing included. */
  readonly thereStartMs: number
  /** What a position takes on the busiest link between the rings, as encoded. */
  readonly bytesPerToken: number
  readonly bytesPerSecond: number
  /** The longest one between a machine of one ring and one of the other. */
  readonly rttMs: number
  /** What is computed at once: its last layer travels after everything is computed. */
  readonly lastPieceBytes: number
  /** Checking, importing and the step for the last tokens on the decode ring. */
  readonly takeOverMs: number
}

export interface SplitAdvice {
  readonly split: boolean
  readonly hereMs: number
  readonly splitMs: number
  /** Prompts of so many positions and more are worth splitting; `null` if none is. */
  readonly breakEvenTokens: number | null
  /** For people. */
  readonly reason: string
}

/** Below this gain the cheaper machines of the prefill ring are left to others. */
export const LEAST_SPLIT_GAIN = 0.1

/**
 * Whether a prompt of `tokens` positions is sooner ready to decode if another ring computes it.
 *
 * The split takes a fixed time and then, per position, what is slower of computing there and sending; co-located serving
 * takes only computing here. So it pays from a certain length on, or never.
 *
 * @param tokens - positions that the decode ring does not have; cached ones cost nothing either way
 * @throws KvSplitError if a rate is negative or not a number
 */
export function adviseSplit(tokens: number, rates: SplitRates): SplitAdvice {
  for (const [name, value] of Object.entries({ tokens, ...rates })) {
    if (!(value >= 0) || (name === 'bytesPerSecond' && value === 0))
      throw new KvSplitError(`${name} is ${value}.`)
  }
  const { hereMsPerToken, thereMsPerToken, thereStartMs, rttMs, takeOverMs } = rates
  const sendMsPerToken = (rates.bytesPerToken / rates.bytesPerSecond) * 1000
  const lastPieceMs = (rates.lastPieceBytes / rates.bytesPerSecond) * 1000
  // The last piece's way, and the promise of the receivers back to whoever decides.
  const fixedMs = thereStartMs + lastPieceMs + rttMs + takeOverMs
  const slope = Math.max(thereMsPerToken, sendMsPerToken)
  const hereMs = tokens * hereMsPerToken
  const splitMs = fixedMs + tokens * slope
  const gain = hereMsPerToken * (1 - LEAST_SPLIT_GAIN) - slope
  const breakEvenTokens = gain > 0 ? Math.max(1, Math.ceil(fixedMs / gain)) : null
  const split = breakEvenTokens !== null && tokens >= breakEvenTokens
  const slower = sendMsPerToken > thereMsPerToken ? 'sending' : 'computing there'
  const perToken = `${slower} takes ${show(slope)} ms for a position, computing here ${show(hereMsPerToken)} ms`
  const reason =
    breakEvenTokens === null
      ? `Computed here: ${perToken}, so that no prompt is long enough.`
      : `${split ? 'Split' : 'Computed here'}: ${perToken}; the ${show(fixedMs)} ms that a hand-over costs pay from ` +
        `${breakEvenTokens} positions on, and this prompt has ${tokens} (${show(splitMs)} ms against ${show(hereMs)} ms).`
  return { split, hereMs, splitMs, breakEvenTokens, reason }
}

const show = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3))
