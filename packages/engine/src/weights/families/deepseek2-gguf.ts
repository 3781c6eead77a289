import type { ExpertConfig, ModelConfig } from '@deos/domain'
import { UnsupportedModelError } from '../errors.ts'
import { type Fields, ranges } from '../fields.ts'
import { bool, float32, type GgufValue, uint32 } from '../gguf-values.ts'
import { yarnAttentionFactor } from '../rope-factors.ts'
import { expertGroups, firstExpertLayers, sharedExpertCounts } from './expert-groups.ts'
import { expertMetadata, ggufExpertCounts, ggufExpertSize } from './experts.ts'
import { latent } from './latent-attention.ts'

const mlaKey = 'attention.key_length_mla'

/** With llama.cpp's defaults. */
export function deepseekTraits(fields: Fields, plain: ModelConfig): Partial<ModelConfig> {
  refuseOtherGguf(fields, plain)
  // Until 2025, converters gave the width of a head as it is without compressing.
  const perHead = fields.has(mlaKey) ? '_mla' : ''
  const headDim = fields.integer(`attention.key_length${perHead}`, ranges.width)
  const layers = plain.layers - fields.integer('nextn_predict_layers', { min: 0, max: plain.layers - 1 }, 0)
  const { scale, ropeScaling } = ggufYarn(fields, plain)
  return {
    layers,
    kvHeads: 1,
    headDim,
    ropeScaling,
    attentionScale: (scale * scale) / Math.sqrt(headDim),
    latentAttention: {
      queryRank: fields.integer('attention.q_lora_rank', { min: 0, max: ranges.width.max }, 0) || null,
      kvRank: fields.integer('attention.kv_lora_rank', ranges.width),
      valueDim: fields.integer(`attention.value_length${perHead}`, ranges.width),
    },
    experts: ggufExperts(fields, layers),
  }
}

function refuseOtherGguf(fields: Fields, { ropeScaling }: ModelConfig): void {
  const refuse = (reason: string, hint: string) => {
    throw new UnsupportedModelError(fields.file, reason, hint)
  }
  if (fields.number('attention.temperature_scale', { min: 0, max: 1e6 }, 0) !== 0) {
    refuse(
      'tunes the temperature of attention by position',
      'This engine has no code for that in DeepSeek V2/V3.',
    )
  }
  if (ropeScaling.type !== 'none' && ropeScaling.type !== 'yarn') {
    refuse(`scales positions by "${ropeScaling.type}"`, 'DeepSeek V2/V3 know only yarn.')
  }
}

/** Converters write a tenth of `mscale_all_dim`. */
const logMultiplierUnit = 0.1

/**
 * llama.cpp's reading of YaRN for this architecture: `yarn_log_multiplier` is for what `mscale_all_dim` is in
 * `config.json`, and `mscale` is taken to be the same.
 */
function ggufYarn(
  fields: Fields,
  { ropeScaling }: ModelConfig,
): { scale: number; ropeScaling: ModelConfig['ropeScaling'] } {
  if (ropeScaling.type !== 'yarn') return { scale: 1, ropeScaling }
  const growth = yarnAttentionFactor(ropeScaling.factor)
  const share =
    fields.number('rope.scaling.yarn_log_multiplier', { min: -1e3, max: 1e3 }, 0) / logMultiplierUnit
  if (share === 0) return { scale: ropeScaling.attentionFactor, ropeScaling }
  const attentionFactor = ropeScaling.attentionFactor / growth
  return {
    scale: attentionFactor * (1 + share * (growth - 1)),
    ropeScaling: { ...ropeScaling, attentionFactor },
  }
}

/** Our own key: llama.cpp always judges a group by its two best experts. */
const groupJudgesKey = 'expert_group_judge_count'
const llamaCppGroupJudges = 2

const sigmoidGate = 2
const softmaxGate = 1

function ggufExperts(fields: Fields, layers: number): ExpertConfig | null {
  const first = fields.integer('leading_dense_block_count', firstExpertLayers, 0)
  if (first >= layers) return null
  const counts = ggufExpertCounts(fields)
  if (!counts) throw fields.error('expert_count', fields.raw('expert_count') ?? undefined, 'a number from 1')
  const feedForwardSize = ggufExpertSize(fields)
  const gate = fields.integer('expert_gating_func', { min: 0, max: sigmoidGate }, 0)
  return {
    ...counts,
    feedForwardSize,
    sharedFeedForwardSize: feedForwardSize * fields.integer('expert_shared_count', sharedExpertCounts, 0),
    scoring: gate === sigmoidGate ? 'sigmoid' : 'softmax',
    normalised: fields.boolean('expert_weights_norm', false),
    weightScale: fields.number('expert_weights_scale', { min: 0, max: ranges.positive.max }, 0) || 1,
    ...expertGroups(
      fields,
      { groups: 'expert_group_count', used: 'expert_group_used_count' },
      fields.integer(groupJudgesKey, sharedExpertCounts, llamaCppGroupJudges),
    ),
    layers: { first, every: 1 },
  }
}

/** What tells newer files, in which keys and values have matrices of their own, from older ones. */
export function dividedMetadata(config: ModelConfig): readonly (readonly [string, GgufValue])[] {
  const { kvRank, valueDim } = latent(config)
  return [
    ['attention.head_count_kv', uint32(1)],
    ['attention.key_length', uint32(kvRank + config.ropeDim)],
    ['attention.value_length', uint32(kvRank)],
    [mlaKey, uint32(config.headDim)],
    ['attention.value_length_mla', uint32(valueDim)],
  ]
}

export function deepseekMetadata(config: ModelConfig): readonly (readonly [string, GgufValue])[] {
  const { queryRank, kvRank } = latent(config)
  return [
    ...dividedMetadata(config),
    ['attention.q_lora_rank', uint32(queryRank ?? 0)],
    ['attention.kv_lora_rank', uint32(kvRank)],
    ...yarnMetadata(config),
    ...routerMetadata(config),
  ]
}

/** The inverse of {@link ggufYarn}. */
function yarnMetadata({ ropeScaling, attentionScale, headDim }: ModelConfig): [string, GgufValue][] {
  if (ropeScaling.type !== 'yarn') return []
  const { factor, attentionFactor } = ropeScaling
  const growth = yarnAttentionFactor(factor)
  const scale = Math.sqrt(attentionScale * Math.sqrt(headDim))
  const share = growth === 1 ? 0 : (scale / attentionFactor - 1) / (growth - 1)
  if (Math.abs(share) < 1e-6) return [['rope.scaling.attn_factor', float32(attentionFactor / growth)]]
  return [
    ['rope.scaling.attn_factor', float32(attentionFactor)],
    ['rope.scaling.yarn_log_multiplier', float32(share * logMultiplierUnit)],
  ]
}

function routerMetadata(config: ModelConfig): readonly (readonly [string, GgufValue])[] {
  const { experts, layers, feedForwardSize } = config
  if (experts === null) {
    return [
      ['leading_dense_block_count', uint32(layers)],
      ['expert_feed_forward_length', uint32(feedForwardSize)],
      ['expert_shared_count', uint32(0)],
    ]
  }
  return [
    ['leading_dense_block_count', uint32(experts.layers.first)],
    ...expertMetadata(config),
    ['expert_shared_count', uint32(experts.sharedFeedForwardSize / experts.feedForwardSize)],
    ['expert_gating_func', uint32(experts.scoring === 'sigmoid' ? sigmoidGate : softmaxGate)],
    ['expert_weights_norm', bool(experts.normalised)],
    ['expert_weights_scale', float32(experts.weightScale)],
    ['expert_group_count', uint32(experts.groups)],
    ['expert_group_used_count', uint32(experts.groupsUsed)],
    ...(judgedOtherwise(config) ? [[groupJudgesKey, uint32(experts.groupJudges)] as const] : []),
  ]
}

const judgedOtherwise = ({ experts }: ModelConfig): boolean =>
  experts !== null && experts.groups > 1 && experts.groupJudges !== llamaCppGroupJudges

/** What llama.cpp makes of a file otherwise. */
export const deepseekNotes = (config: ModelConfig): readonly string[] =>
  judgedOtherwise(config)
    ? [
        'llama.cpp looks at the groups with the two best experts, the model at those with the best: it chooses other experts.',
      ]
    : []
