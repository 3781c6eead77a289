import type { ExpertConfig, ModelConfig } from '@deos/domain'
import { plainRouting } from '../weights/families/experts.ts'

/** As V2-Lite: queries are not compressed, experts are not grouped; one plain layer in front. */
export const tinyDeepseekV2 = (): Partial<ModelConfig> => ({
  ...latentHeads(null),
  experts: { ...tinyExperts, normalised: false, sharedFeedForwardSize: 64 },
})

/** As V3: compressed queries, sigmoid scores with a bias, 4 groups of experts of which 2 are looked at. */
export const tinyDeepseekV3 = (): Partial<ModelConfig> => ({
  ...latentHeads(24),
  experts: {
    ...tinyExperts,
    ...{ scoring: 'sigmoid', weightScale: 2.5, groups: 4, groupsUsed: 2, groupJudges: 2 },
    layers: { first: 2, every: 1 },
  },
})

const headDim = 24

const latentHeads = (queryRank: number | null) => ({
  kvHeads: 1,
  headDim,
  ropeDim: 8,
  attentionScale: 1 / Math.sqrt(headDim),
  latentAttention: { queryRank, kvRank: 32, valueDim: 16 },
})

const tinyExperts: ExpertConfig = {
  ...plainRouting,
  count: 16,
  used: 4,
  feedForwardSize: 32,
  sharedFeedForwardSize: 32,
  layers: { first: 1, every: 1 },
}

/** What `config.json` of DeepSeek-V2 and V3 has besides, or in place of what others have. */
export function deepseekJson(config: ModelConfig): Record<string, unknown> {
  const { latentAttention, experts, headDim, ropeDim, heads } = config
  return {
    // As published: each head has keys and values of its own before compression.
    num_key_value_heads: heads,
    head_dim: undefined,
    q_lora_rank: latentAttention!.queryRank,
    kv_lora_rank: latentAttention!.kvRank,
    qk_nope_head_dim: headDim - ropeDim,
    qk_rope_head_dim: ropeDim,
    v_head_dim: latentAttention!.valueDim,
    rope_scaling: yarnJson(config),
    ...(experts === null ? {} : expertsJson(experts)),
  }
}

function yarnJson({ ropeScaling, attentionScale, headDim }: ModelConfig): unknown {
  if (ropeScaling.type !== 'yarn') return null
  const { factor, attentionFactor, originalContext, betaFast, betaSlow } = ropeScaling
  const growth = 0.1 * Math.log(factor)
  const allDim = Math.sqrt(attentionScale * Math.sqrt(headDim))
  return {
    type: 'yarn',
    factor,
    original_max_position_embeddings: originalContext,
    beta_fast: betaFast,
    beta_slow: betaSlow,
    mscale: (attentionFactor * allDim - 1) / growth,
    mscale_all_dim: (allDim - 1) / growth,
  }
}

const expertsJson = (experts: ExpertConfig): Record<string, unknown> => ({
  n_routed_experts: experts.count,
  num_experts_per_tok: experts.used,
  moe_intermediate_size: experts.feedForwardSize,
  n_shared_experts: experts.sharedFeedForwardSize / experts.feedForwardSize,
  scoring_func: experts.scoring,
  topk_method: ['greedy', 'group_limited_greedy', 'noaux_tc'][experts.groups === 1 ? 0 : experts.groupJudges],
  norm_topk_prob: experts.normalised,
  routed_scaling_factor: experts.weightScale,
  n_group: experts.groups,
  topk_group: experts.groupsUsed,
  first_k_dense_replace: experts.layers.first,
  moe_layer_freq: experts.layers.every,
})
