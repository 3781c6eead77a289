import { type ExpertConfig, type LatentAttention, windowEverywhere } from '@deos/domain'
import { ModelDescriptionError } from './errors.ts'
import { Fields } from './fields.ts'
import {
  checkShape,
  layersLikeLlama,
  llamaTraits,
  type ModelShape,
  traitsByArchitecture,
} from './model-shape.ts'

/**
 * Reads a model's shape from a GGUF file's metadata.
 *
 * @param metadata - plain values by key; `tokenizer.ggml.tokens` gives the vocabulary if no key does
 * @param tensorNames - to see whether there is an `output.weight`; without them embeddings are taken not to be tied
 * @throws ModelDescriptionError naming the key that is missing, of the wrong type or out of range
 */
export function shapeFromGguf(
  metadata: Readonly<Record<string, unknown>>,
  tensorNames?: ReadonlySet<string>,
): ModelShape {
  const general = new Fields(metadata)
  const architecture = general.text('general.architecture')
  const fields = new Fields(metadata, `${architecture}.`)
  const hiddenSize = fields.count('embedding_length')
  const heads = fields.count('attention.head_count')
  const layers = fields.count('block_count')
  const latentAttention = latent(fields)
  const keyLength = latentAttention === null ? 'attention.key_length' : 'attention.key_length_mla'
  const headDim = fields.countOf(
    [keyLength, 'attention.key_length'],
    hiddenSize % heads === 0 ? hiddenSize / heads : undefined,
  )
  const known = traitsByArchitecture[architecture]
  const contextLength = fields.count('context_length')
  return checkShape({
    ...llamaTraits(hiddenSize),
    ...known,
    learnedPositions: architecture === 'gpt2' ? contextLength : 0,
    architecture,
    name: general.text('general.name', architecture),
    layers,
    hiddenSize,
    feedForwardSize: fields.count('feed_forward_length', 4 * hiddenSize),
    heads,
    kvHeads: latentAttention === null ? fields.count('attention.head_count_kv', heads) : heads,
    headDim,
    ropeDim: fields.count('rope.dimension_count', headDim),
    vocabSize: vocabulary(general, fields),
    contextLength,
    slidingWindow: fields.has('attention.sliding_window')
      ? windowEverywhere(fields.count('attention.sliding_window'), layers)
      : null,
    experts: expertsOf(fields),
    latentAttention,
    tiedEmbeddings: tensorNames !== undefined && !tensorNames.has('output.weight'),
    assumptions: [
      ...(known === undefined ? [layersLikeLlama(architecture)] : []),
      ...(tensorNames === undefined
        ? ['Names of tensors were not given; the head is taken to have its own weights.']
        : []),
    ],
  })
}

function vocabulary(general: Fields, fields: Fields): number {
  if (fields.has('vocab_size')) return fields.count('vocab_size')
  const tokens = general.raw('tokenizer.ggml.tokens')
  if (Array.isArray(tokens) && tokens.length > 0) return tokens.length
  throw new ModelDescriptionError('tokenizer.ggml.tokens', undefined, 'the list of tokens, or vocab_size')
}

function latent(fields: Fields): LatentAttention | null {
  if (!fields.has('attention.kv_lora_rank')) return null
  return {
    queryRank: fields.has('attention.q_lora_rank') ? fields.count('attention.q_lora_rank') : null,
    kvRank: fields.count('attention.kv_lora_rank'),
    valueDim: fields.countOf(['attention.value_length_mla', 'attention.value_length']),
  }
}

function expertsOf(fields: Fields): ExpertConfig | null {
  if (fields.count('expert_count', 0, 0) <= 1) return null
  const feedForwardSize = fields.countOf(['expert_feed_forward_length', 'feed_forward_length'])
  const shared = fields.count('expert_shared_count', 0, 0) * feedForwardSize
  return {
    count: fields.count('expert_count'),
    used: fields.count('expert_used_count'),
    feedForwardSize,
    sharedFeedForwardSize: fields.count('expert_shared_feed_forward_length', shared, 0),
    scoring: 'softmax',
    normalised: true,
    weightScale: 1,
    groups: 1,
    groupsUsed: 1,
    groupJudges: 1,
    layers: { first: fields.count('leading_dense_block_count', 0, 0), every: 1 },
  }
}
