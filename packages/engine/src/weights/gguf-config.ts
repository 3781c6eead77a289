import {
  type ModelConfig,
  plainTraits,
  type RopeScaling,
  type SlidingWindow,
  windowEverywhere,
} from '@deos/domain'
import { ModelFileError, UnsupportedModelError } from './errors.ts'
import { type Family, familyOf } from './families/index.ts'
import { periodicWindows } from './families/sliding-window.ts'
import { Fields, ranges } from './fields.ts'
import { ggufModelName } from './gguf-parts.ts'
import { array, float32, type GgufValue, string, uint32 } from './gguf-values.ts'
import { checkConfig, impliedHeadDim } from './model-config.ts'
import type { TensorInfo } from './model-source.ts'
import { scaledRopeTheta, yarnAttentionFactor } from './rope-factors.ts'

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
  '<end_of_turn>',
  '<|end|>',
  '<|return|>',
  '<|call|>',
])
/** Where these are, `<|end|>` only ends one of several messages (gpt-oss). */
const endOfTurnTexts = ['<|return|>', '<|call|>']
const controlToken = 3
const windowPattern = 'attention.sliding_window_pattern'
const windowTheta = 'rope.freq_base_swa'

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
  const hiddenSize = fields.integer('embedding_length', ranges.width)
  const heads = fields.integer('attention.head_count', ranges.heads)
  const headDim = fields.has('attention.key_length')
    ? fields.integer('attention.key_length', ranges.width)
    : impliedHeadDim(file, hiddenSize, heads)
  const vocabSize = vocabularySize(general, fields)
  const contextLength = fields.integer('context_length', ranges.context)
  const layers = fields.integer('block_count', ranges.layers)
  const plain: ModelConfig = {
    ...plainTraits(headDim),
    architecture,
    name: general.string('general.name', ggufModelName(file)),
    layers,
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
    ropeScaling: ropeScaling(fields, contextLength, tensors),
    slidingWindow: slidingWindow(fields, layers, family),
    tiedEmbeddings: !tensors.has('output.weight'),
    bosToken: specialToken(general, 'bos', vocabSize),
    eosTokens: eosTokens(general, metadata, vocabSize),
  }
  const config = { ...plain, ...family.ggufTraits?.(fields, plain) }
  if (config.experts === null && fields.integer('expert_count', { min: 0, max: 1 << 16 }, 0) > 0) {
    throw new UnsupportedModelError(
      file,
      `is a mixture of experts, which this engine does not run as ${family.title}`,
      'Use a model without experts.',
    )
  }
  refuseOtherValueWidth(fields, config)
  return { config: checkConfig(config, family, file), family }
}

function refuseOtherValueWidth(fields: Fields, { headDim, latentAttention }: ModelConfig): void {
  const valueDim = fields.integer('attention.value_length', ranges.width, headDim)
  if (latentAttention !== null || valueDim === headDim) return
  throw new UnsupportedModelError(
    fields.file,
    `has keys of ${headDim} and values of ${valueDim}`,
    'They must be equal.',
  )
}

function vocabularySize(general: Fields, fields: Fields): number {
  const tokens = general.raw('tokenizer.ggml.tokens')
  if (tokens === null) return fields.integer('vocab_size', ranges.vocab)
  if (Array.isArray(tokens) && tokens.length > 0) return tokens.length
  throw new ModelFileError(general.file, '"tokenizer.ggml.tokens" is not a list of tokens')
}

/** A size of 0 means none, as in llama.cpp. */
function slidingWindow(fields: Fields, layers: number, family: Family): SlidingWindow | null {
  const size = fields.integer('attention.sliding_window', { min: 0, max: ranges.context.max }, 0)
  if (size === 0) return null
  const windowed = windowedLayers(fields, layers, family)
  if (!windowed.includes(true)) return null
  const ropeTheta = fields.has(windowTheta) ? fields.number(windowTheta, ranges.theta) : null
  return { ...windowEverywhere(size, layers), layers: windowed, ropeTheta }
}

/** A pattern says for each layer whether it has the window, or how many layers after another one has not. */
function windowedLayers(fields: Fields, layers: number, { windowPeriod = 0 }: Family): readonly boolean[] {
  const pattern = fields.raw(windowPattern)
  if (!Array.isArray(pattern)) {
    return periodicWindows(layers, fields.integer(windowPattern, { min: 0, max: layers }, windowPeriod))
  }
  if (pattern.length !== layers || !pattern.every((each) => typeof each === 'boolean')) {
    throw fields.error(windowPattern, pattern, `true or false for each of ${layers} layers`)
  }
  return pattern
}

function ropeScaling(
  fields: Fields,
  contextLength: number,
  tensors: ReadonlyMap<string, TensorInfo>,
): RopeScaling {
  const original = () => fields.integer('rope.scaling.original_context_length', ranges.context, contextLength)
  const longRope = ['rope_factors_long.weight', 'rope_factors_short.weight'].filter((name) =>
    tensors.has(name),
  )
  // llama.cpp's converter writes no type for LongRoPE: its tensors tell.
  if (longRope.length === 2) {
    const attentionFactor = fields.number('rope.scaling.attn_factor', ranges.positive, 1)
    return { type: 'longrope', factors: null, originalContext: original(), attentionFactor }
  }
  if (longRope[0] !== undefined) {
    throw new ModelFileError(fields.file, 'is there, but not its pair for texts of the other length', {
      tensor: longRope[0],
    })
  }
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
        originalContext: original(),
        attentionFactor:
          fields.number('rope.scaling.attn_factor', ranges.positive, 1) * yarnAttentionFactor(factor),
        betaFast: fields.number('rope.scaling.yarn_beta_fast', ranges.positive, 32),
        betaSlow: fields.number('rope.scaling.yarn_beta_slow', ranges.positive, 1),
      }
    default:
      throw new UnsupportedModelError(
        fields.file,
        `scales positions by "${type}"`,
        'This engine knows linear and yarn, and the factors in rope_freqs, rope_factors_long and _short.',
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
    const manyMessages = endOfTurnTexts.every((text) => texts.includes(text))
    for (const [token, text] of texts.entries()) {
      if (text === '<|end|>' && manyMessages) continue
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
    [key('rope.freq_base'), float32(scaledRopeTheta(config))],
  ]
  if (config.slidingWindow !== null) {
    const { size, layers, ropeTheta } = config.slidingWindow
    entries.push([key('attention.sliding_window'), uint32(size)])
    if (layers.includes(false)) entries.push([key(windowPattern), windowPatternOf(layers)])
    if (ropeTheta !== null) entries.push([key(windowTheta), float32(ropeTheta)])
  }
  for (const [name, value] of scalingMetadata(config.ropeScaling))
    entries.push([key(`rope.scaling.${name}`), value])
  const own = familyOf(config.architecture, config.name).ggufMetadata?.(config) ?? []
  return [...new Map([...entries, ...own.map(([name, value]): [string, GgufValue] => [key(name), value])])]
}

/** llama.cpp reads a number where a family has its windows at regular distances, and else a list. */
function windowPatternOf(layers: readonly boolean[]): GgufValue {
  const period = layers.indexOf(false) + 1
  const periodic = periodicWindows(layers.length, period)
  return layers.every((has, layer) => has === periodic[layer]) ? uint32(period) : array('bool', layers)
}

/**
 * Factors of Llama 3's scaling and of LongRoPE are tensors, not metadata; what dynamic NTK scaling does is in the base.
 */
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
    case 'longrope':
      return [
        ['original_context_length', uint32(scaling.originalContext)],
        ['attn_factor', float32(scaling.attentionFactor)],
      ]
    default:
      return []
  }
}
