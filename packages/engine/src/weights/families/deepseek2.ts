import { type ExpertConfig, isExpertLayer, type ModelConfig } from '@deos/domain'
import { UnsupportedModelError } from '../errors.ts'
import { type Fields, ranges } from '../fields.ts'
import { yarnAttentionFactor } from '../rope-factors.ts'
import { embeddingAndHead, feedForward, hidden } from './common.ts'
import { deepseekMetadata, deepseekNotes, deepseekTraits, dividedMetadata } from './deepseek2-gguf.ts'
import { expertGroups, firstExpertLayers, noGroups, sharedExpertCounts } from './expert-groups.ts'
import {
  expertCounts,
  expertLayer,
  expertsOf,
  fusedExperts,
  sharedExpert,
  stackOfExperts,
} from './experts.ts'
import type { Family, HuggingFaceClass } from './family.ts'
import { dividedKeysAndValues, latentAttentionTensors } from './latent-attention.ts'

/** DeepSeek-V2, V2-Lite and V3: latent attention, then experts behind some plain layers. */
export const deepseek2: Family = {
  architecture: 'deepseek2',
  title: 'DeepSeek V2/V3',
  classes: [
    deepseekClass('DeepseekV2ForCausalLM', 'deepseek_v2', { scoring: 'softmax', method: 'greedy' }),
    deepseekClass('DeepseekV3ForCausalLM', 'deepseek_v3', { scoring: 'sigmoid', method: 'noaux_tc' }),
  ],
  globals: embeddingAndHead,
  layer: [
    { gguf: 'attn_norm.weight', huggingFace: 'input_layernorm.weight', shape: hidden },
    ...latentAttentionTensors(),
    { gguf: 'ffn_norm.weight', huggingFace: 'post_attention_layernorm.weight', shape: hidden },
    ...feedForward('mlp'),
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
    {
      gguf: 'exp_probs_b.bias',
      huggingFace: 'mlp.gate.e_score_correction_bias',
      shape: (config) => [expertsOf(config).count],
      inLayer: (config, layer) => isExpertLayer(config, layer) && expertsOf(config).scoring === 'sigmoid',
    },
    ...sharedExpert('mlp.shared_experts'),
  ],
  ropeScalings: ['yarn'],
  fullRope: false,
  predictionLayers: true,
  ggufTraits: deepseekTraits,
  older: { tensors: dividedKeysAndValues, metadata: dividedMetadata },
  conversionNotes: deepseekNotes,
  ggufMetadata: deepseekMetadata,
}

/** What `config.json` leaves out in some exports. */
interface RouterDefaults {
  readonly scoring: 'softmax' | 'sigmoid'
  readonly method: keyof typeof groupJudges
}

/** By `topk_method`: how many experts of a group decide whether it is looked at. */
const groupJudges = { greedy: 0, group_limited_greedy: 1, noaux_tc: 2 } as const

function deepseekClass(name: string, modelType: string, router: RouterDefaults): HuggingFaceClass {
  return {
    name,
    modelType,
    slidingWindow: () => null,
    traits: (fields) => huggingFaceTraits(fields, router),
  }
}

function huggingFaceTraits(fields: Fields, router: RouterDefaults): Partial<ModelConfig> {
  if (!fields.boolean('rope_interleave', true)) {
    throw new UnsupportedModelError(
      fields.file,
      'rotates halves of a head (rope_interleave is false)',
      'This engine rotates neighbours in DeepSeek V2/V3.',
    )
  }
  const ropeDim = fields.integer('qk_rope_head_dim', ranges.width)
  const headDim = fields.integer('qk_nope_head_dim', ranges.width) + ropeDim
  const scale = huggingFaceAttentionScale(fields)
  return {
    kvHeads: 1,
    headDim,
    ropeDim,
    attentionScale: (scale * scale) / Math.sqrt(headDim),
    latentAttention: {
      queryRank: fields.has('q_lora_rank') ? fields.integer('q_lora_rank', ranges.width) : null,
      kvRank: fields.integer('kv_lora_rank', ranges.width),
      valueDim: fields.integer('v_head_dim', ranges.width),
    },
    experts: fields.has('n_routed_experts') ? huggingFaceExperts(fields, router) : null,
  }
}

/** What YaRN multiplies queries and keys with in every dimension, not only in the rotated ones. */
function huggingFaceAttentionScale(fields: Fields): number {
  const parameters = fields.nested('rope_parameters') ?? fields.nested('rope_scaling')
  const share = parameters?.number('mscale_all_dim', ranges.mscale, 0) ?? 0
  if (!parameters || share === 0) return 1
  return 1 + share * (yarnAttentionFactor(parameters.number('factor', ranges.factor)) - 1)
}

function huggingFaceExperts(fields: Fields, router: RouterDefaults): ExpertConfig {
  const frequency = fields.integer('moe_layer_freq', ranges.layers, 1)
  if (frequency !== 1) {
    throw new UnsupportedModelError(
      fields.file,
      `has experts in every layer whose number ${frequency} divides`,
      'This engine runs DeepSeek models with experts in all layers from first_k_dense_replace on.',
    )
  }
  const count = fields.integer('n_routed_experts', expertCounts)
  const feedForwardSize = fields.integer('moe_intermediate_size', ranges.width)
  return {
    count,
    used: fields.integer('num_experts_per_tok', { min: 1, max: count }),
    feedForwardSize,
    sharedFeedForwardSize: feedForwardSize * fields.integer('n_shared_experts', sharedExpertCounts, 0),
    scoring: scoringOf(fields, router),
    normalised: fields.boolean('norm_topk_prob', router.scoring === 'sigmoid'),
    weightScale: fields.number('routed_scaling_factor', ranges.positive, 1),
    ...groupsOf(fields, router),
    layers: { first: fields.integer('first_k_dense_replace', firstExpertLayers, 0), every: 1 },
  }
}

function groupsOf(fields: Fields, router: RouterDefaults): Pick<ExpertConfig, keyof typeof noGroups> {
  const method = fields.string('topk_method', router.method)
  if (method === 'greedy') return noGroups
  if (method === 'group_limited_greedy' || method === 'noaux_tc') {
    return expertGroups(fields, { groups: 'n_group', used: 'topk_group' }, groupJudges[method])
  }
  throw fields.error('topk_method', method, Object.keys(groupJudges).join(' or '))
}

function scoringOf(fields: Fields, router: RouterDefaults): 'softmax' | 'sigmoid' {
  const scoring = fields.string('scoring_func', router.scoring)
  if (scoring === 'softmax' || scoring === 'sigmoid') return scoring
  throw fields.error('scoring_func', scoring, 'softmax or sigmoid')
}
