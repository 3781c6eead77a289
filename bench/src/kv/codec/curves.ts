import type { Quality } from './quality.ts'

/** One way to send at one setting. */
export interface CurvePoint extends Quality {
  readonly name: string
  readonly ratio: number
  readonly bytesPerToken: number
  /** Of the cache, encoded and decoded, per second; null for alternatives, which are not made to be fast. */
  readonly megabytesPerSecond: number | null
}

/** Largest ratio among points within limits of divergence and perplexity; null if there is none. */
export function bestWithin(
  points: readonly CurvePoint[],
  meanKl: number,
  perplexityRatio: number,
): CurvePoint | null {
  const within = points.filter((point) => point.meanKl <= meanKl && point.perplexityRatio <= perplexityRatio)
  return within.reduce<CurvePoint | null>(
    (best, point) => (best && best.ratio >= point.ratio ? best : point),
    null,
  )
}

/**
 * How many times smaller our points are than an alternative's at no more divergence, for the alternative that comes
 * closest. Ours are measured points, not lines between them.
 *
 * @returns null if an alternative diverges less than all our points
 */
export function advantage(
  ours: readonly CurvePoint[],
  alternatives: readonly CurvePoint[],
): { readonly ratio: number; readonly against: string } | null {
  let least: { ratio: number; against: string } | null = null
  for (const other of alternatives) {
    const best = bestWithin(ours, other.meanKl, Number.POSITIVE_INFINITY)
    if (best === null) return null
    const ratio = best.ratio / other.ratio
    if (least === null || ratio < least.ratio) least = { ratio, against: other.name }
  }
  return least
}
