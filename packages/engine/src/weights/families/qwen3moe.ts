import type { ModelConfig } from '@deos/domain'
import { UnsupportedModelError } from '../errors.ts'
import { type Fields, ranges } from '../fields.ts'
import { attention, embeddingAndHead, hidden } from './common.ts'
import {
  expertCounts,
  expertLayer,
  expertMetadata,
  fusedExperts,
  ggufExpertSize,
  ggufOwnExpertCounts,
  plainRouting,
  stackOfExperts,
} from './experts.ts'
import type { Family } from './family.ts'
import { headNorms } from './qwen3.ts'
import { optionalWindow } from './sliding-window.ts'

/** Qwen 3 with experts in every layer. */
export const qwen3moe: Family = {
  architecture: 'qwen3moe',
  title: 'Qwen 3 MoE',
  classes: [
    { name: 'Qwen3MoeForCausalLM', modelType: 'qwen3_moe', slidingWindow: optionalWindow, traits: ownTraits },
  ],
  globals: embeddingAndHead,
  layer: [
    ...attention(false),
    ...headNorms,
    { gguf: 'ffn_norm.weight', huggingFace: 'post_attention_layernorm.weight', shape: hidden },
    ...expertLayer({
      router: 'mlp.gate',
      projection: (name) => ({
        huggingFace: null,
        assemblies: [
          stackOfExperts(name, (expert) => `mlp.experts.${expert}.${name}_proj.weight`),
          fusedExperts(name, 'mlp.experts'),
        ],
      }),
    }),
  ],
  ropeScalings: ['linear', 'yarn'],
  fullRope: true,
  ggufTraits: (fields, plain) => {
    const counts = ggufOwnExpertCounts(fields)
    const feedForwardSize = ggufExpertSize(fields, Math.floor(plain.feedForwardSize / counts.used))
    return { experts: { ...plainRouting, ...counts, feedForwardSize } }
  },
  ggufMetadata: expertMetadata,
}

function ownTraits(fields: Fields): Partial<ModelConfig> {
  const plainLayers = fields.raw('mlp_only_layers') ?? []
  const everyLayer = fields.integer('decoder_sparse_step', ranges.layers, 1) === 1
  if (!everyLayer || !Array.isArray(plainLayers) || plainLayers.length > 0) {
    throw new UnsupportedModelError(
      fields.file,
      'has layers without experts (decoder_sparse_step, mlp_only_layers)',
      'This engine runs Qwen 3 MoE with experts in every layer.',
    )
  }
  if (!fields.boolean('norm_topk_prob', false)) {
    throw new UnsupportedModelError(
      fields.file,
      'does not divide the weights of chosen experts by their sum (norm_topk_prob)',
      'This engine runs Qwen 3 MoE where it does.',
    )
  }
  const count = fields.integer('num_experts', expertCounts)
  return {
    experts: {
      ...plainRouting,
      count,
      used: fields.integer('num_experts_per_tok', { min: 1, max: count }),
      feedForwardSize: fields.integer('moe_intermediate_size', ranges.width),
    },
  }
}
