import type { Quality } from './quality.ts'

/** One way to send at one setting. */
export interface CurvePoint extends Quality {
  readonly name: string
  /** Points of one family differ in their step only. */
  readonly family: string
  readonly ratio: number
  readonly bytesPerToken: number
  /** What both sides need beforehand, once for a deployment. */
  readonly toolBytes: number
  /** Contexts whose texts {@link Quality.refusals} are of, in order. */
  readonly contexts: readonly { readonly tokens: number; readonly bytes: number }[]
}

export interface Limits {
  readonly meanKl: number
  readonly perplexityRatio: number
}

/** Best point by a score among points within limits; null if there is none. */
export function bestWithin(
  points: readonly CurvePoint[],
  limits: Limits,
  score = (point: CurvePoint): number => point.ratio,
): CurvePoint | null {
  const within = points.filter(
    (point) => point.meanKl <= limits.meanKl && point.perplexityRatio <= limits.perplexityRatio,
  )
  return within.reduce<CurvePoint | null>(
    (best, point) => (best && score(best) >= score(point) ? best : point),
    null,
  )
}

/** How often a refused cache is asked for again before it is sent without loss, as `decideAfterProbe` does. */
const MAX_ROUNDS = 2

/**
 * Bytes of a token once the guard has what it asks for: each context that the probes refuse is sent again, whole, at the
 * next finer step of the family, and in the end without loss. More than what really travels, since the guard asks for
 * the worst blocks only.
 *
 * @param points - on the same contexts, the family of the chosen one and the lossless point among them
 */
export function guardedBytesPerToken(
  chosen: CurvePoint,
  points: readonly CurvePoint[],
  lossless: CurvePoint,
): number {
  const finer = points
    .filter((point) => point.family === chosen.family && point.ratio < chosen.ratio)
    .sort((a, b) => b.ratio - a.ratio)
    .slice(0, MAX_ROUNDS)
  let [bytes, tokens] = [0, 0]
  for (const [index, context] of chosen.contexts.entries()) {
    tokens += context.tokens
    for (const point of [chosen, ...finer, lossless]) {
      bytes += point.contexts[index]!.bytes
      if (!point.refusals[index]) break
    }
  }
  return bytes / tokens
}

/**
 * How many times smaller ours are than an alternative at its divergence. Of each family the larger of: a measured point
 * of no more divergence; the line, in logarithms, between the two measured points around it.
 *
 * @returns null if the alternative diverges less than all our points
 */
export function advantage(ours: readonly CurvePoint[], alternative: CurvePoint): number | null {
  const best = ratioAt(ours, alternative.meanKl)
  return best === null ? null : best / alternative.ratio
}

function ratioAt(points: readonly CurvePoint[], meanKl: number): number | null {
  let best: number | null = null
  for (const below of points) {
    if (below.meanKl > meanKl) continue
    const above = points
      .filter((point) => point.family === below.family && point.meanKl > meanKl)
      .reduce<CurvePoint | null>((next, point) => (next && next.meanKl <= point.meanKl ? next : point), null)
    const between = above && below.meanKl > 0 ? interpolated(below, above, meanKl) : below.ratio
    best = Math.max(best ?? 0, below.ratio, between)
  }
  return best
}

function interpolated(below: CurvePoint, above: CurvePoint, meanKl: number): number {
  const share = Math.log(meanKl / below.meanKl) / Math.log(above.meanKl / below.meanKl)
  return below.ratio * (above.ratio / below.ratio) ** share
}
