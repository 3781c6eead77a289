import type { ModelConfig, RopeScaling } from '@deos/domain'

const f32 = Math.fround

/** Tensors that GGUF keeps divisors of rotary frequencies in. */
export const ropeFactorNames = [
  'rope_freqs.weight',
  'rope_factors_long.weight',
  'rope_factors_short.weight',
] as const
type RopeFactorName = (typeof ropeFactorNames)[number]

/** Divisors of the rotary frequencies, `[ropeDim / 2]`, by the tensor's name; empty for models without. */
export function ropeFactors(config: ModelConfig): ReadonlyMap<RopeFactorName, Float32Array> {
  const { ropeScaling } = config
  if (ropeScaling.type === 'llama3')
    return new Map([['rope_freqs.weight', llama3Factors(config, ropeScaling)]])
  if (ropeScaling.type !== 'longrope' || ropeScaling.factors === null) return new Map()
  const { long, short } = ropeScaling.factors
  return new Map([
    ['rope_factors_long.weight', Float32Array.from(long)],
    ['rope_factors_short.weight', Float32Array.from(short)],
  ])
}

/**
 * Divisors of the rotary frequencies for Llama 3's scaling, `[ropeDim / 2]`: 1 for wavelengths shorter than the
 * trained context over `highFreqFactor`, `factor` for those longer than it over `lowFreqFactor`, and between them
 * interpolated. Computed in float32, as the tensor `rope_freqs.weight` that llama.cpp's converter stores.
 *
 * @see Grattafiori et al. 2024, "The Llama 3 Herd of Models", section 3.4.2 (arXiv:2407.21783)
 */
function llama3Factors(
  config: ModelConfig,
  scaling: Extract<RopeScaling, { readonly type: 'llama3' }>,
): Float32Array {
  const { factor, lowFreqFactor, highFreqFactor, originalContext } = scaling
  const longest = f32(originalContext / lowFreqFactor)
  const shortest = f32(originalContext / highFreqFactor)
  return Float32Array.from({ length: config.ropeDim / 2 }, (_, index) => {
    const exponent = f32((2 * index) / config.ropeDim)
    const frequency = f32(1 / f32(config.ropeTheta ** exponent))
    const wavelength = f32((2 * Math.PI) / frequency)
    if (wavelength < shortest) return 1
    if (wavelength >= longest) return factor
    const smooth = f32(
      f32(f32(originalContext / wavelength) - lowFreqFactor) / (highFreqFactor - lowFreqFactor),
    )
    return f32(1 / f32(f32(f32(1 - smooth) / factor) + smooth))
  })
}

/** LongRoPE's default multiplier of cos and sin. @see Ding et al. 2024, section 3.4 (arXiv:2402.13753) */
export const longRopeAttentionFactor = (factor: number, originalContext: number): number =>
  factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContext))

/** YaRN's default multiplier of cos and sin. @see Peng et al. 2023, section 3.4 (arXiv:2309.00071) */
export const yarnAttentionFactor = (factor: number): number => (factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1)

/**
 * The base of the rotary frequencies: `ropeTheta`, or what dynamic NTK scaling makes of it when a model is run with its
 * full context.
 *
 * @see bloc97 2023, "NTK-Aware Scaled RoPE", as in Hugging Face's and vLLM's `dynamic` scaling
 */
export function scaledRopeTheta({ ropeTheta, ropeScaling, ropeDim, contextLength }: ModelConfig): number {
  if (ropeScaling.type !== 'dynamic' || contextLength <= ropeScaling.originalContext) return ropeTheta
  const { factor, originalContext } = ropeScaling
  const growth = (factor * contextLength) / originalContext - (factor - 1)
  return ropeTheta * growth ** (ropeDim / (ropeDim - 2))
}
