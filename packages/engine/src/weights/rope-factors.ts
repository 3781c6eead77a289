import type { ModelConfig } from '@deos/domain'

const f32 = Math.fround

/**
 * Divisors of the rotary frequencies for Llama 3's scaling, `[ropeDim / 2]`: 1 for wavelengths shorter than the
 * trained context over `highFreqFactor`, `factor` for those longer than it over `lowFreqFactor`, and between them
 * interpolated. Computed in float32, as the tensor `rope_freqs.weight` that llama.cpp's converter stores.
 *
 * @returns `null` if the model is not scaled that way
 * @see Grattafiori et al. 2024, "The Llama 3 Herd of Models", section 3.4.2 (arXiv:2407.21783)
 */
export function ropeFactors(config: ModelConfig): Float32Array | null {
  const scaling = config.ropeScaling
  if (scaling.type !== 'llama3') return null
  const { factor, lowFreqFactor, highFreqFactor, originalContext } = scaling
  const longest = f32(originalContext / lowFreqFactor)
  const shortest = f32(originalContext / highFreqFactor)
  return Float32Array.from({ length: config.ropeDim / 2 }, (_, index) => {
    const exponent = f32((2 * index) / config.ropeDim)
    const frequency = f32(1 / f32(config.ropeTheta ** exponent))
    const wavelength = f32((2 * Math.PI) / frequency)
    if (wavelength < shortest) return 1
    if (wavelength > longest) return factor
    const smooth = f32(
      f32(f32(originalContext / wavelength) - lowFreqFactor) / (highFreqFactor - lowFreqFactor),
    )
    return f32(1 / f32(f32(f32(1 - smooth) / factor) + smooth))
  })
}

/** YaRN's default multiplier of cos and sin. @see Peng et al. 2023, section 3.4 (arXiv:2309.00071) */
export const yarnAttentionFactor = (factor: number): number => (factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1)
