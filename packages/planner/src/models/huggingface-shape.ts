import type { ExpertConfig, LatentAttention, SlidingWindow } from '@deos/domain'
import { Fields } from './fields.ts'
import {
  checkShape,
  layersLikeLlama,
  llamaTraits,
  type ModelShape,
  type ShapeTraits,
  traitsByArchitecture,
} from './model-shape.ts'

/**
 * Reads a model's shape from a Hugging Face `config.json`. Architectures that are not in the table are taken to be like
 * Llama, and the shape says so.
 *
 * @param json - the parsed file
 * @param name - for people; the file seldom knows it
 * @throws ModelDescriptionError naming the key that is missing, of the wrong type or out of range
 */
export function shapeFromHuggingFace(json: unknown, name?: string): ModelShape {
  const outer = record(json)
  const values = { ...outer, ...(isRecord(outer.text_config) ? outer.text_config : {}) }
  const fields = new Fields(values)
  const architecture = fields.text('model_type')
  const hiddenSize = fields.countOf(['hidden_size', 'n_embd', 'd_model'])
  const heads = fields.countOf(['num_attention_heads', 'n_head', 'num_heads'])
  const layers = fields.countOf(['num_hidden_layers', 'n_layer', 'num_layers'])
  const latentAttention = latent(fields)
  const ropeDim = latentAttention === null ? null : fields.count('qk_rope_head_dim')
  const headDim =
    ropeDim === null ? headDimOf(fields, hiddenSize, heads) : ropeDim + fields.count('qk_nope_head_dim')
  const contextLength = fields.countOf(['max_position_embeddings', 'n_positions', 'seq_length'])
  const known = traitsByArchitecture[architecture]
  return checkShape({
    ...llamaTraits(hiddenSize),
    ...known,
    ...saidTraits(fields, architecture, hiddenSize, contextLength),
    architecture,
    name: name ?? fields.text('_name_or_path', architecture),
    layers,
    hiddenSize,
    feedForwardSize: fields.countOf(['intermediate_size', 'ffn_dim', 'n_inner'], 4 * hiddenSize),
    heads,
    kvHeads: latentAttention === null ? fields.count('num_key_value_heads', heads) : heads,
    headDim,
    ropeDim: ropeDim ?? headDim,
    vocabSize: fields.count('vocab_size'),
    contextLength,
    slidingWindow: windowOf(fields, layers, architecture),
    experts: expertsOf(fields, architecture),
    latentAttention,
    tiedEmbeddings: fields.flag('tie_word_embeddings', tiedUnlessSaid.has(architecture)),
    assumptions: known === undefined ? [layersLikeLlama(architecture)] : [],
  })
}

const tiedUnlessSaid = new Set(['opt', 'gpt2', 'gpt_neo', 'gemma', 'gemma2', 'gemma3', 'gemma3_text'])
/** OPT keeps two rows before its first position. */
const optPositionOffset = 2

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function record(json: unknown): Record<string, unknown> {
  if (isRecord(json)) return json
  throw new Fields({}).error('config.json', json, 'an object, the parsed config.json')
}

function headDimOf(fields: Fields, hiddenSize: number, heads: number): number {
  if (fields.has('head_dim')) return fields.count('head_dim')
  if (hiddenSize % heads === 0) return hiddenSize / heads
  throw fields.error('head_dim', null, `it, for ${hiddenSize} is not a multiple of ${heads} heads`)
}

function saidTraits(
  fields: Fields,
  architecture: string,
  hiddenSize: number,
  contextLength: number,
): Partial<ShapeTraits> {
  const biased = fields.has('attention_bias') && fields.flag('attention_bias', false)
  return {
    ...(biased ? { attentionBiases: 'all' as const } : {}),
    ...(fields.has('mlp_bias') ? { feedForwardBiases: fields.flag('mlp_bias', false) } : {}),
    ...(architecture === 'opt' ? optTraits(fields, hiddenSize, contextLength) : {}),
    ...(architecture === 'gpt2' || architecture === 'gpt_neo' ? { learnedPositions: contextLength } : {}),
  }
}

/** The 350M model norms behind its blocks instead of before them, and so has no final norm. */
const optTraits = (fields: Fields, hiddenSize: number, contextLength: number): Partial<ShapeTraits> => ({
  learnedPositions: contextLength + optPositionOffset,
  embeddingSize: fields.count('word_embed_proj_dim', hiddenSize),
  finalNorm: fields.flag('do_layer_norm_before', true),
})

const latent = (fields: Fields): LatentAttention | null =>
  fields.has('kv_lora_rank')
    ? {
        queryRank: fields.has('q_lora_rank') ? fields.count('q_lora_rank') : null,
        kvRank: fields.count('kv_lora_rank'),
        valueDim: fields.count('v_head_dim'),
      }
    : null

function expertsOf(fields: Fields, architecture: string): ExpertConfig | null {
  const names = ['n_routed_experts', 'num_local_experts', 'num_experts'] as const
  const countName = names.find((key) => fields.has(key))
  if (countName === undefined || fields.count(countName, 1, 0) <= 1) return null
  const feedForwardSize = fields.countOf(['moe_intermediate_size', 'intermediate_size'])
  const sharedExperts = fields.count('n_shared_experts', 0, 0)
  return {
    count: fields.count(countName),
    used: fields.countOf(['num_experts_per_tok', 'num_experts_per_token']),
    feedForwardSize,
    sharedFeedForwardSize: fields.count(
      'shared_expert_intermediate_size',
      sharedExperts * feedForwardSize,
      0,
    ),
    scoring: architecture === 'deepseek_v3' ? 'sigmoid' : 'softmax',
    normalised: fields.flag('norm_topk_prob', architecture === 'mixtral'),
    weightScale: 1,
    groups: fields.count('n_group', 1),
    groupsUsed: fields.count('topk_group', 1),
    groupJudges: architecture === 'deepseek_v3' ? 2 : 1,
    layers: {
      first: fields.count('first_k_dense_replace', 0, 0),
      every: fields.countOf(['moe_layer_freq', 'decoder_sparse_step'], 1),
    },
  }
}

/** Which layers have the window is said by `layer_types`, or by rule in older files. */
function windowOf(fields: Fields, layers: number, architecture: string): SlidingWindow | null {
  if (!fields.has('sliding_window') || !fields.flag('use_sliding_window', true)) return null
  const has = windowedLayers(fields, layers, architecture)
  if (!has.includes(true)) return null
  return { size: fields.count('sliding_window'), layers: has, kind: 'sliding', ropeTheta: null }
}

function windowedLayers(fields: Fields, layers: number, architecture: string): readonly boolean[] {
  const types = fields.raw('layer_types')
  if (Array.isArray(types)) {
    if (types.length === layers) return types.map((type) => type === 'sliding_attention')
    throw fields.error('layer_types', `${types.length} entries`, `one for each of ${layers} layers`)
  }
  const all = Array.from({ length: layers }, (_, layer) => layer)
  if (architecture === 'gemma2') return all.map((layer) => layer % 2 === 0)
  if (fields.has('sliding_window_pattern')) {
    const period = fields.count('sliding_window_pattern')
    return all.map((layer) => (layer + 1) % period !== 0)
  }
  const first = fields.count('max_window_layers', 0, 0)
  return all.map((layer) => layer >= (architecture.startsWith('qwen') ? first : 0))
}
