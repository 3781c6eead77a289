import type { ModelConfig } from '@deos/domain'
import type { Tensor } from '../ggml/graph-builder.ts'
import type { Architecture, LayerContext } from './architecture.ts'
import { preNormLayer } from './blocks.ts'
import { anyFeedForward } from './experts.ts'

/** Queries grow slowly with every so many positions in layers without rotation; constants of Llama 4's reference code. */
const temperature = { step: 8192, growth: 0.1 } as const
/** Neither weights nor GGUF say whether heads are normalised; llama.cpp goes by the number of experts, as of Maverick. */
const expertsWithoutHeadNorm = 128

/**
 * Llama 4: three layers that rotate and look back over a chunk, then one that does neither; experts whose inputs are
 * weighted, beside one for every token.
 *
 * @see Nakanishi 2025, "Scalable-Softmax" (arXiv:2501.19399) for the temperature
 */
export const llama4: Architecture = {
  name: 'llama4',
  ropeLayout: 'interleaved',
  rotates,
  layer: (context, x) =>
    preNormLayer(context, x, {
      normaliseHeads: false,
      place,
      feedForward: (layer, normed) =>
        anyFeedForward(layer, normed, { activation: 'swiglu', weighInput: true }),
    }),
}

function rotates({ slidingWindow }: ModelConfig, layer: number): boolean {
  return slidingWindow?.layers[layer] ?? false
}

function place(context: LayerContext, heads: Tensor, of: 'queries' | 'keys'): Tensor {
  const { builder, config, layer } = context
  if (rotates(config, layer)) {
    const rotated = context.rope(heads)
    if (config.experts?.count === expertsWithoutHeadNorm) return rotated
    return builder.unitNorm(rotated, config.normEpsilon)
  }
  return of === 'keys' ? heads : builder.multiply(heads, positionScale(context))
}

/** `1 + growth · ln(1 + floor((position + 1) / step))`, `[1, 1, tokens]`. */
function positionScale({ builder, positions, tokenCount }: LayerContext): Tensor {
  const { step, growth } = temperature
  const steps = builder.floor(builder.affine(builder.toFloat32(positions), 1 / step, 1 / step))
  const scale = builder.affine(builder.log(builder.affine(steps, 1, 1)), growth, 1)
  return builder.reshape3d(scale, 1, 1, tokenCount)
}
