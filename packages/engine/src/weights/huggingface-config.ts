import { basename, dirname } from 'node:path'
import type { ModelConfig, RopeScaling } from '@deos/domain'
import { UnsupportedModelError } from './errors.ts'
import { type Family, familyOfClass, type HuggingFaceClass } from './families/index.ts'
import { Fields, isRecord, ranges } from './fields.ts'
import { checkConfig, impliedHeadDim } from './model-config.ts'
import { yarnAttentionFactor } from './rope-factors.ts'

/**
 * Reads the shape of a model from a Hugging Face `config.json`.
 *
 * @param file - path of the `config.json`, for messages and the model's name
 * @param generation - `generation_config.json`, which may name more tokens that end a generation
 * @throws ModelFileError if a field is missing, of the wrong type or out of range
 * @throws UnsupportedModelError for another architecture or a feature this engine has no code for
 */
export function parseHuggingFaceConfig(
  file: string,
  config: Record<string, unknown>,
  generation: Record<string, unknown> = {},
): { config: ModelConfig; family: Family } {
  const fields = new Fields(file, (key) => (Object.hasOwn(config, key) ? config[key] : null))
  const { family, modelClass } = familyOfClass(className(fields), file)
  refuseUnsupported(fields)
  const hiddenSize = fields.integer('hidden_size', ranges.width)
  const heads = fields.integer('num_attention_heads', ranges.heads)
  const headDim = fields.has('head_dim')
    ? fields.integer('head_dim', ranges.width)
    : impliedHeadDim(file, hiddenSize, heads)
  const vocabSize = fields.integer('vocab_size', ranges.vocab)
  const contextLength = fields.integer('max_position_embeddings', ranges.context)
  const parsed: ModelConfig = {
    architecture: family.architecture,
    name: modelName(fields),
    layers: fields.integer('num_hidden_layers', ranges.layers),
    hiddenSize,
    feedForwardSize: fields.integer('intermediate_size', ranges.width),
    heads,
    kvHeads: fields.integer('num_key_value_heads', ranges.heads, heads),
    headDim,
    vocabSize,
    contextLength,
    normEpsilon: fields.number('rms_norm_eps', ranges.epsilon, 1e-6),
    ...rope(fields, family, modelClass, contextLength),
    ropeDim: headDim,
    slidingWindow: modelClass.slidingWindow(fields),
    tiedEmbeddings: fields.boolean('tie_word_embeddings', false),
    bosToken: tokenIds(fields, 'bos_token_id', vocabSize)[0] ?? null,
    eosTokens: eosTokens(fields, generation, vocabSize),
  }
  return { config: checkConfig(parsed, family, file), family }
}

function className(fields: Fields): string {
  const architectures = fields.raw('architectures')
  if (architectures === null) return fields.string('model_type')
  if (Array.isArray(architectures) && typeof architectures[0] === 'string') return architectures[0]
  throw fields.error('architectures', architectures, 'a list of class names')
}

function modelName(fields: Fields): string {
  const given = fields.has('_name_or_path') ? basename(fields.string('_name_or_path')) : ''
  return given || basename(dirname(fields.file))
}

function refuseUnsupported(fields: Fields): void {
  const refuse = (reason: string, hint: string) => {
    throw new UnsupportedModelError(fields.file, reason, hint)
  }
  const activation = fields.string('hidden_act', 'silu')
  if (activation !== 'silu') refuse(`uses the activation "${activation}"`, 'This engine runs "silu" here.')
  const quantization = fields.nested('quantization_config')
  if (quantization) {
    refuse(
      `holds weights quantised by "${quantization.string('quant_method', 'an unnamed method')}"`,
      'Use the unquantised model or a GGUF file.',
    )
  }
  for (const key of ['attention_bias', 'mlp_bias']) {
    if (fields.boolean(key, false)) refuse(`sets ${key}`, 'This engine has no code for such biases.')
  }
}

function rope(
  fields: Fields,
  family: Family,
  modelClass: HuggingFaceClass,
  contextLength: number,
): Pick<ModelConfig, 'ropeTheta' | 'ropeScaling'> {
  const parameters = fields.nested('rope_parameters') ?? fields.nested('rope_scaling')
  const ropeTheta =
    parameters?.has('rope_theta') && !fields.has('rope_theta')
      ? parameters.number('rope_theta', ranges.theta)
      : fields.number('rope_theta', ranges.theta, 10_000)
  for (const from of parameters ? [fields, parameters] : [fields]) {
    if (from.number('partial_rotary_factor', ranges.positive, 1) !== 1) {
      throw new UnsupportedModelError(
        fields.file,
        'rotates only part of each head',
        'This engine rotates all of it.',
      )
    }
  }
  const ropeScaling = parameters ? scaling(parameters, contextLength) : { type: 'none' as const }
  if (ropeScaling.type !== 'none' && !family.ropeScalings.includes(ropeScaling.type)) {
    throw new UnsupportedModelError(
      fields.file,
      `scales positions by "${ropeScaling.type}", which ${modelClass.name} does not`,
      `Possible here: ${family.ropeScalings.join(', ')}.`,
    )
  }
  return { ropeTheta, ropeScaling }
}

function scaling(fields: Fields, contextLength: number): RopeScaling {
  const type = fields.string(fields.has('rope_type') ? 'rope_type' : 'type', 'default')
  if (type === 'default') return { type: 'none' }
  const original = () => fields.integer('original_max_position_embeddings', ranges.context, contextLength)
  switch (type) {
    case 'linear':
      return { type, factor: fields.number('factor', ranges.factor) }
    case 'llama3': {
      const lowFreqFactor = fields.number('low_freq_factor', ranges.positive)
      const highFreqFactor = fields.number('high_freq_factor', ranges.positive)
      if (highFreqFactor <= lowFreqFactor) {
        throw fields.error('high_freq_factor', highFreqFactor, `above low_freq_factor, ${lowFreqFactor}`)
      }
      const factor = fields.number('factor', ranges.factor)
      return { type, factor, lowFreqFactor, highFreqFactor, originalContext: original() }
    }
    case 'yarn':
      return yarn(fields, original())
    default:
      throw new UnsupportedModelError(
        fields.file,
        `scales positions by "${type}"`,
        'This engine knows linear, llama3 and yarn.',
      )
  }
}

function yarn(fields: Fields, originalContext: number): RopeScaling {
  if (!fields.boolean('truncate', true)) {
    throw new UnsupportedModelError(
      fields.file,
      'uses YaRN without truncation',
      'This engine truncates its ramp.',
    )
  }
  const factor = fields.number('factor', ranges.factor)
  return {
    type: 'yarn',
    factor,
    originalContext,
    attentionFactor: fields.number(
      'attention_factor',
      ranges.positive,
      impliedAttentionFactor(fields, factor),
    ),
    betaFast: fields.number('beta_fast', ranges.positive, 32),
    betaSlow: fields.number('beta_slow', ranges.positive, 1),
  }
}

function impliedAttentionFactor(fields: Fields, factor: number): number {
  if (!fields.has('mscale') || !fields.has('mscale_all_dim')) return yarnAttentionFactor(factor)
  const scaled = (key: string) => 1 + fields.number(key, ranges.positive) * (yarnAttentionFactor(factor) - 1)
  return scaled('mscale') / scaled('mscale_all_dim')
}

/** One id or a list of them. */
function tokenIds(fields: Fields, key: string, vocabSize: number): readonly number[] {
  const value = fields.raw(key)
  if (value === null) return []
  const ids = Array.isArray(value) ? value : [value]
  const valid = (id: unknown) => typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize
  if (ids.every(valid)) return ids as number[]
  throw fields.error(key, value, `token ids from 0 to ${vocabSize - 1}`)
}

function eosTokens(
  fields: Fields,
  generation: Record<string, unknown>,
  vocabSize: number,
): readonly number[] {
  const more = isRecord(generation) ? generation : {}
  const generationFields = new Fields(
    fields.file.replace(/config\.json$/, 'generation_config.json'),
    (key) => (Object.hasOwn(more, key) ? more[key] : null),
  )
  return [
    ...new Set([
      ...tokenIds(fields, 'eos_token_id', vocabSize),
      ...tokenIds(generationFields, 'eos_token_id', vocabSize),
    ]),
  ]
}
