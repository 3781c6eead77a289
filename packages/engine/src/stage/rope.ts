import type { ModelConfig } from '@deos/domain'
import type { RopeLayout, RopeSettings, Tensor } from '../ggml/graph-builder.ts'
import { scaledRopeTheta } from '../weights/rope-factors.ts'

/** ggml multiplies YaRN's attention factor by this itself (`rope_yarn` in ggml's CPU operators). */
const ggmlYarnFactor = (factor: number): number => 1 + 0.1 * Math.log(factor)

interface RopeContext {
  readonly config: ModelConfig
  /** Positions a sequence may come to hold. */
  readonly contextLength?: number
}

/**
 * Rotary settings of each layer as ggml takes them. Windowed layers may have a base of their own.
 *
 * @param weight - finds the factors of Llama 3's scaling and of LongRoPE among the model's weights
 */
export function layerRope(
  context: RopeContext,
  layout: RopeLayout,
  weight: (name: string) => Tensor | null,
): (layer: number) => RopeSettings {
  const { config } = context
  const settings = ropeSettings(config, layout, frequencyFactors(context, weight))
  const { slidingWindow } = config
  if (slidingWindow === null || slidingWindow.ropeTheta === null) return () => settings
  const windowed = { ...unscaled(config, layout), base: slidingWindow.ropeTheta }
  return (layer) => (slidingWindow.layers[layer] ? windowed : settings)
}

/** LongRoPE has factors for texts that are longer than those of the first training, and for others. */
function frequencyFactors(
  { config, contextLength = config.contextLength }: RopeContext,
  weight: (name: string) => Tensor | null,
): Tensor | null {
  const { ropeScaling } = config
  if (ropeScaling.type !== 'longrope') return weight('rope_freqs.weight')
  const long = contextLength > ropeScaling.originalContext
  return weight(long ? 'rope_factors_long.weight' : 'rope_factors_short.weight')
}

const unscaled = (config: ModelConfig, layout: RopeLayout): RopeSettings => ({
  layout,
  dims: config.ropeDim,
  originalContext: config.contextLength,
  base: config.ropeTheta,
  scale: 1,
  extrapolation: 0,
  attentionFactor: 1,
  betaFast: 32,
  betaSlow: 1,
  factors: null,
})

/** @see Peng et al. 2023 (arXiv:2309.00071) for YaRN, Ding et al. 2024 (arXiv:2402.13753) for LongRoPE */
function ropeSettings(config: ModelConfig, layout: RopeLayout, factors: Tensor | null): RopeSettings {
  const { ropeScaling: scaling } = config
  const settings = { ...unscaled(config, layout), base: scaledRopeTheta(config), factors }
  switch (scaling.type) {
    case 'linear':
      return { ...settings, scale: 1 / scaling.factor }
    case 'longrope':
      return { ...settings, attentionFactor: scaling.attentionFactor }
    case 'yarn':
      return {
        ...settings,
        originalContext: scaling.originalContext,
        scale: 1 / scaling.factor,
        extrapolation: 1,
        attentionFactor: scaling.attentionFactor / ggmlYarnFactor(scaling.factor),
        betaFast: scaling.betaFast,
        betaSlow: scaling.betaSlow,
      }
    default:
      return settings
  }
}
