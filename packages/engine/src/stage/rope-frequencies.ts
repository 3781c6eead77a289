import type { RopeSettings } from '../ggml/graph-builder.ts'

type YarnSettings = Pick<
  RopeSettings,
  'dims' | 'originalContext' | 'base' | 'scale' | 'extrapolation' | 'betaFast' | 'betaSlow'
>

/** Pairs of fewer turns in the original context than this are stretched less, as ggml's `rope_yarn_corr_dim`. */
function pairOfTurns({ dims, originalContext, base }: YarnSettings, turns: number): number {
  return (dims * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(base))
}

/** Share of a pair that is not stretched. */
function unstretched(settings: YarnSettings, pair: number): number {
  const first = Math.max(0, Math.floor(pairOfTurns(settings, settings.betaFast)))
  const end = Math.min(settings.dims - 1, Math.ceil(pairOfTurns(settings, settings.betaSlow)))
  const along = (pair - first) / Math.max(0.001, end - first)
  return (1 - Math.min(1, Math.max(0, along))) * settings.extrapolation
}

/**
 * Radians by which one position turns each pair, as ggml's rotation computes them; its angles are linear in the
 * position, whatever stretches them.
 *
 * @param factors - divisors per pair, `null` for none
 */
export function ropeFrequencies(settings: YarnSettings, factors: Float32Array | null): readonly number[] {
  const { dims, base, scale, extrapolation } = settings
  // ggml multiplies step by step with this one, rounded.
  const step = Math.fround(base ** (-2 / dims))
  return Array.from({ length: dims / 2 }, (_, pair) => {
    const plain = step ** pair / (factors?.[pair] ?? 1)
    const kept = extrapolation === 0 ? 0 : unstretched(settings, pair)
    return plain * (scale * (1 - kept) + kept)
  })
}

/** What ggml multiplies turned pairs with. */
export function ropeMagnitude({
  attentionFactor,
  extrapolation,
  scale,
}: Pick<RopeSettings, 'attentionFactor' | 'extrapolation' | 'scale'>): number {
  return extrapolation === 0 ? attentionFactor : attentionFactor * (1 + 0.1 * Math.log(1 / scale))
}
