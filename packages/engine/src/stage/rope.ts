import type { ModelConfig } from '@deos/domain'
import type { RopeLayout, RopeSettings, Tensor } from '../ggml/graph-builder.ts'

/** ggml multiplies YaRN's attention factor by this itself (`rope_yarn` in ggml's CPU operators). */
const ggmlYarnFactor = (factor: number): number => 1 + 0.1 * Math.log(factor)

/**
 * Rotary settings as ggml takes them. Llama 3's scaling comes as `factors`, a weight of the model.
 *
 * @see Peng et al. 2023 (arXiv:2309.00071) for YaRN
 */
export function ropeSettings(config: ModelConfig, layout: RopeLayout, factors: Tensor | null): RopeSettings {
  const { ropeScaling: scaling } = config
  const settings: RopeSettings = {
    layout,
    dims: config.ropeDim,
    originalContext: config.contextLength,
    base: config.ropeTheta,
    scale: 1,
    extrapolation: 0,
    attentionFactor: 1,
    betaFast: 32,
    betaSlow: 1,
    factors,
  }
  if (scaling.type === 'linear') return { ...settings, scale: 1 / scaling.factor }
  if (scaling.type === 'yarn') {
    return {
      ...settings,
      originalContext: scaling.originalContext,
      scale: 1 / scaling.factor,
      extrapolation: 1,
      attentionFactor: scaling.attentionFactor / ggmlYarnFactor(scaling.factor),
      betaFast: scaling.betaFast,
      betaSlow: scaling.betaSlow,
    }
  }
  return settings
}
