import type { Quality } from './quality.ts'

/** One way to send at one setting. */
export interface CurvePoint extends Quality {
  readonly name: string
  /** Points of one family differ in their step only. */
  readonly family: string
  readonly ratio: number
  readonly bytesPerToken: number
  /** Of the cache in halves; null for alternatives, which are not made to be fast. */
  readonly encodeMegabytesPerSecond: number | null
  readonly decodeMegabytesPerSecond: number | null
}

export interface Limits {
  readonly meanKl: number
  readonly perplexityRatio: number
  /** Share of contexts that the probes may refuse. */
  readonly refused: number
}

/** Largest ratio among points within limits; null if there is none. */
export function bestWithin(points: readonly CurvePoint[], limits: Limits): CurvePoint | null {
  const within = points.filter(
    (point) =>
      point.meanKl <= limits.meanKl &&
      point.perplexityRatio <= limits.perplexityRatio &&
      point.refused <= limits.refused,
  )
  return within.reduce<CurvePoint | null>(
    (best, point) => (best && best.ratio >= point.ratio ? best : point),
    null,
  )
}

/**
 * How many times smaller ours are than an alternative at its divergence, for the alternative that comes closest. Of each
 * family the larger of: a measured point of no more divergence; the line, in logarithms, between the two measured points
 * around it.
 *
 * @returns null if an alternative diverges less than all our points
 */
export function advantage(
  ours: readonly CurvePoint[],
  alternatives: readonly CurvePoint[],
): { readonly ratio: number; readonly against: string } | null {
  let least: { ratio: number; against: string } | null = null
  for (const other of alternatives) {
    const best = ratioAt(ours, other.meanKl)
    if (best === null) return null
    const ratio = best / other.ratio
    if (least === null || ratio < least.ratio) least = { ratio, against: other.name }
  }
  return least
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
