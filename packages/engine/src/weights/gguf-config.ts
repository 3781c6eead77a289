import { basename } from 'node:path'
import type { ModelConfig, RopeScaling } from '@deos/domain'
import { ModelFileError, UnsupportedModelError } from './errors.ts'
import { type Family, familyOf } from './families/index.ts'
import { Fields, ranges } from './fields.ts'
import { float32, type GgufValue, string, uint32 } from './gguf-values.ts'
import { checkConfig, impliedHeadDim } from './model-config.ts'
import type { TensorInfo } from './model-source.ts'
import { yarnAttentionFactor } from './rope-factors.ts'

/** Where we keep all tokens that end a generation; llama.cpp's own keys hold one each. */
export const eosTokensKey = 'deos.eos_token_ids'

/** Texts by which llama.cpp also recognises tokens that end a generation, for the families here. */
const endOfGenerationTexts = new Set([
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end_of_text|>',
  '<|im_end|>',
  '<|endoftext|>',
  '</s>',
])
const controlToken = 3

/**
 * Reads the shape of a model from GGUF metadata, with llama.cpp's defaults for absent keys.
 *
 * @param metadata - plain values by key
 * @throws ModelFileError naming the key that is missing, of the wrong type or out of range
 * @throws UnsupportedModelError for another architecture or a feature this engine has no code for
 */
export function parseGgufConfig(
  file: string,
  metadata: ReadonlyMap<string, unknown>,
  tensors: ReadonlyMap<string, TensorInfo>,
): { config: ModelConfig; family: Family } {
  const general = new Fields(file, (key) => metadata.get(key))
  const architecture = general.string('general.architecture')
  const family = familyOf(architecture, file)
  const fields = new Fields(
    file,
    (key) => metadata.get(`${architecture}.${key}`),
    (key) => `${architecture}.${key}`,
  )
  refuseUnsupported(general, fields)
  const hiddenSize = fields.integer('embedding_length', ranges.width)
  const heads = fields.integer('attention.head_count', ranges.heads)
  const headDim = fields.has('attention.key_length')
    ? fields.integer('attention.key_length', ranges.width)
    : impliedHeadDim(file, hiddenSize, heads)
  const valueDim = fields.integer('attention.value_length', ranges.width, headDim)
  if (valueDim !== headDim) {
    throw new UnsupportedModelError(
      file,
      `has keys of ${headDim} and values of ${valueDim}`,
      'They must be equal.',
    )
  }
  const vocabSize = vocabularySize(general, fields)
  const contextLength = fields.integer('context_length', ranges.context)
  const config: ModelConfig = {
    architecture,
    name: general.string('general.name', basename(file, '.gguf')),
    layers: fields.integer('block_count', ranges.layers),
    hiddenSize,
    feedForwardSize: fields.integer('feed_forward_length', ranges.width),
    heads,
    kvHeads: fields.integer('attention.head_count_kv', ranges.heads, heads),
    headDim,
    vocabSize,
    contextLength,
    normEpsilon: fields.number('attention.layer_norm_rms_epsilon', ranges.epsilon),
    ropeTheta: fields.number('rope.freq_base', ranges.theta, 10_000),
    ropeDim: fields.integer('rope.dimension_count', ranges.width, headDim),
    ropeScaling: ropeScaling(fields, contextLength),
    slidingWindow: slidingWindow(fields),
    tiedEmbeddings: !tensors.has('output.weight'),
    bosToken: specialToken(general, 'bos', vocabSize),
    eosTokens: eosTokens(general, metadata, vocabSize),
  }
  return { config: checkConfig(config, family, file), family }
}

function refuseUnsupported(general: Fields, fields: Fields): void {
  const { file } = fields
  const shards = general.integer('split.count', { min: 0, max: 1 << 16 }, 0)
  if (shards > 1) {
    throw new UnsupportedModelError(
      file,
      `is one of ${shards} parts of a model`,
      'Merge the parts with llama.cpp\'s "llama-gguf-split --merge".',
    )
  }
  if (fields.integer('expert_count', { min: 0, max: 1 << 16 }, 0) > 0) {
    throw new UnsupportedModelError(file, 'is a mixture of experts', 'Use a dense model.')
  }
}

function vocabularySize(general: Fields, fields: Fields): number {
  const tokens = general.raw('tokenizer.ggml.tokens')
  if (tokens === null) return fields.integer('vocab_size', ranges.vocab)
  if (Array.isArray(tokens) && tokens.length > 0) return tokens.length
  throw new ModelFileError(general.file, '"tokenizer.ggml.tokens" is not a list of tokens')
}

/** 0 means none, as in llama.cpp. */
function slidingWindow(fields: Fields): number | null {
  return fields.integer('attention.sliding_window', { min: 0, max: ranges.context.max }, 0) || null
}

function ropeScaling(fields: Fields, contextLength: number): RopeScaling {
  const type = fields.string('rope.scaling.type', 'linear')
  const given = fields.number('rope.scaling.factor', { min: 0, max: ranges.factor.max }, 0)
  const factor = given || fields.number('rope.scale_linear', { min: 0, max: ranges.factor.max }, 0) || 1
  switch (type) {
    case 'none':
      return { type }
    case 'linear':
      return factor === 1 ? { type: 'none' } : { type, factor }
    case 'yarn':
      return {
        type,
        factor,
        originalContext: fields.integer(
          'rope.scaling.original_context_length',
          ranges.context,
          contextLength,
        ),
        attentionFactor:
          fields.number('rope.scaling.attn_factor', ranges.positive, 1) * yarnAttentionFactor(factor),
        betaFast: fields.number('rope.scaling.yarn_beta_fast', ranges.positive, 32),
        betaSlow: fields.number('rope.scaling.yarn_beta_slow', ranges.positive, 1),
      }
    default:
      throw new UnsupportedModelError(
        fields.file,
        `scales positions by "${type}"`,
        'This engine knows linear and yarn, and the factors in rope_freqs.weight.',
      )
  }
}

function specialToken(general: Fields, name: string, vocabSize: number): number | null {
  const key = `tokenizer.ggml.${name}_token_id`
  return general.has(key) ? general.integer(key, { min: 0, max: vocabSize - 1 }) : null
}

function eosTokens(
  general: Fields,
  metadata: ReadonlyMap<string, unknown>,
  vocabSize: number,
): readonly number[] {
  const found = new Set<number>()
  for (const name of ['eos', 'eot', 'eom']) {
    const token = specialToken(general, name, vocabSize)
    if (token !== null) found.add(token)
  }
  const listed = metadata.get(eosTokensKey)
  if (Array.isArray(listed)) {
    for (const token of listed) {
      if (!Number.isInteger(token) || token < 0 || token >= vocabSize) {
        throw general.error(eosTokensKey, listed, `token ids from 0 to ${vocabSize - 1}`)
      }
      found.add(token)
    }
    return [...found]
  }
  const texts = metadata.get('tokenizer.ggml.tokens')
  const types = metadata.get('tokenizer.ggml.token_type')
  if (Array.isArray(texts) && Array.isArray(types)) {
    for (const [token, text] of texts.entries()) {
      if (types[token] === controlToken && endOfGenerationTexts.has(text)) found.add(token)
    }
  }
  return [...found]
}

/** The metadata llama.cpp needs to build the same model, without the tokenizer. */
export function configMetadata(config: ModelConfig): [string, GgufValue][] {
  const key = (name: string) => `${config.architecture}.${name}`
  const entries: [string, GgufValue][] = [
    ['general.architecture', string(config.architecture)],
    ['general.type', string('model')],
    ['general.name', string(config.name)],
    [key('vocab_size'), uint32(config.vocabSize)],
    [key('context_length'), uint32(config.contextLength)],
    [key('embedding_length'), uint32(config.hiddenSize)],
    [key('block_count'), uint32(config.layers)],
    [key('feed_forward_length'), uint32(config.feedForwardSize)],
    [key('attention.head_count'), uint32(config.heads)],
    [key('attention.head_count_kv'), uint32(config.kvHeads)],
    [key('attention.key_length'), uint32(config.headDim)],
    [key('attention.value_length'), uint32(config.headDim)],
    [key('attention.layer_norm_rms_epsilon'), float32(config.normEpsilon)],
    [key('rope.dimension_count'), uint32(config.ropeDim)],
    [key('rope.freq_base'), float32(config.ropeTheta)],
  ]
  if (config.slidingWindow !== null) {
    entries.push([key('attention.sliding_window'), uint32(config.slidingWindow)])
  }
  for (const [name, value] of scalingMetadata(config.ropeScaling))
    entries.push([key(`rope.scaling.${name}`), value])
  return entries
}

/** Llama 3's scaling has no metadata: its factors are the tensor `rope_freqs.weight`. */
function scalingMetadata(scaling: RopeScaling): [string, GgufValue][] {
  switch (scaling.type) {
    case 'linear':
      return [
        ['type', string('linear')],
        ['factor', float32(scaling.factor)],
      ]
    case 'yarn':
      return [
        ['type', string('yarn')],
        ['factor', float32(scaling.factor)],
        ['original_context_length', uint32(scaling.originalContext)],
        // llama.cpp multiplies this with YaRN's default attention factor.
        ['attn_factor', float32(scaling.attentionFactor / yarnAttentionFactor(scaling.factor))],
        ['yarn_beta_fast', float32(scaling.betaFast)],
        ['yarn_beta_slow', float32(scaling.betaSlow)],
      ]
    default:
      return []
  }
}
