import type { KeyRotation, KvLayerLayout, ModelConfig } from '@deos/domain'
import type { Architecture } from '../architectures/index.ts'
import type { RopeSettings } from '../ggml/graph-builder.ts'
import { attentionShape } from './attention-shape.ts'
import { ropeFrequencies, ropeMagnitude } from './rope-frequencies.ts'

export interface LayerPlace {
  readonly config: ModelConfig
  readonly architecture: Pick<Architecture, 'rotates'>
  readonly layer: number
  readonly rope: RopeSettings
  /** Values of `rope.factors`. */
  readonly factors: Float32Array | null
}

export function kvLayerLayout({ config, architecture, layer, rope, factors }: LayerPlace): KvLayerLayout {
  const { kvHeads, keyDim, valueDim } = attentionShape(config)
  const { latentAttention, slidingWindow } = config
  const rotation: KeyRotation = {
    first: latentAttention?.kvRank ?? 0,
    pairs: rope.layout,
    frequencies: ropeFrequencies(rope, factors),
    magnitude: ropeMagnitude(rope),
  }
  return {
    key: { heads: kvHeads, dim: keyDim },
    value: latentAttention ? null : { heads: kvHeads, dim: valueDim },
    valueDimsInKey: latentAttention ? valueDim : 0,
    rotation: (architecture.rotates?.(config, layer) ?? true) ? rotation : null,
    reach: slidingWindow?.layers[layer] ? { size: slidingWindow.size, kind: slidingWindow.kind } : null,
  }
}
