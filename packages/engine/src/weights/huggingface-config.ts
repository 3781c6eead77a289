import { basename, dirname } from 'node:path'
import { type ModelConfig, plainTraits, type RopeScaling } from '@deos/domain'
import { UnsupportedModelError } from './errors.ts'
import { type Family, familyOfClass, type HuggingFaceClass } from './families/index.ts'
import { Fields, isRecord, ranges } from './fields.ts'
import { type Float8Block, float8Block, float8Method } from './float8.ts'
import { checkConfig, impliedHeadDim } from './model-config.ts'
import { longRopeAttentionFactor, yarnAttentionFactor } from './rope-factors.ts'

/**
 * Reads the shape of a model from a Hugging Face `config.json`.
 *
 * @param file - path of the `config.json`, for messages and the model's name
 * @param generation - `generation_config.json`, which may name more tokens that end a generation
 * @returns besides, the blocks in which FP8 weights are scaled; `null` for other weights
 * @throws ModelFileError if a field is missing, of the wrong type or out of range
 * @throws UnsupportedModelError for another architecture or a feature this engine has no code for
 */
export function parseHuggingFaceConfig(
  file: string,
  config: Record<string, unknown>,
  generation: Record<string, unknown> = {},
): { config: ModelConfig; family: Family; modelClass: HuggingFaceClass; float8: Float8Block | null } {
  const { family, modelClass } = familyOfClass(className(fieldsOf(file, config)), file)
  const fields = classFields(file, config, modelClass)
  refuseUnsupported(fields, modelClass)
  const quantization = fields.nested('quantization_config')
  const isFloat8 = quantization?.raw('quant_method') === float8Method
  const hiddenSize = fields.integer('hidden_size', ranges.width)
  const heads = fields.integer('num_attention_heads', ranges.heads)
  const headDim = fields.has('head_dim')
    ? fields.integer('head_dim', ranges.width)
    : impliedHeadDim(file, hiddenSize, heads)
  const vocabSize = fields.integer('vocab_size', ranges.vocab)
  const contextLength = fields.integer('max_position_embeddings', ranges.context)
  const position = rope(fields, family, modelClass, contextLength)
  const plain: ModelConfig = {
    ...plainTraits(headDim),
    architecture: family.architecture,
    name: modelName(fields),
    layers: fields.integer('num_hidden_layers', ranges.layers),
    hiddenSize,
    feedForwardSize: fields.integer('intermediate_size', ranges.width),
    heads,
    kvHeads: fields.integer('num_key_value_heads', ranges.heads, heads),
    headDim,
    vocabSize,
    contextLength: extendedContext(position.ropeScaling, contextLength),
    normEpsilon: fields.number('rms_norm_eps', ranges.epsilon, 1e-6),
    ...position,
    ropeDim: rotatedDims(fields, family, headDim),
    slidingWindow: modelClass.slidingWindow(fields),
    tiedEmbeddings: fields.boolean('tie_word_embeddings', false),
    bosToken: tokenIds(fields, 'bos_token_id', vocabSize)[0] ?? null,
    eosTokens: eosTokens(fields, generation, vocabSize),
  }
  const parsed = { ...plain, ...modelClass.traits?.(fields, plain) }
  const float8 = isFloat8 ? float8Block(quantization) : null
  return { config: checkConfig(parsed, family, file), family, modelClass, float8 }
}

const fieldsOf = (file: string, config: Record<string, unknown>): Fields =>
  new Fields(file, (key) => (Object.hasOwn(config, key) ? config[key] : null))

/** Settings of the model of text first, then those of the whole, then the class's defaults. */
function classFields(file: string, config: Record<string, unknown>, modelClass: HuggingFaceClass): Fields {
  const { text, defaults } = modelClass
  const inner = text === undefined ? {} : config[text.key]
  if (!isRecord(inner)) throw fieldsOf(file, config).error(text!.key, inner, 'an object')
  return fieldsOf(file, { ...defaults, ...config, ...inner })
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

function refuseUnsupported(fields: Fields, modelClass: HuggingFaceClass): void {
  const { activations = ['silu'], biases = [], quantizations = [] } = modelClass
  const refuse = (reason: string, hint: string) => {
    throw new UnsupportedModelError(fields.file, reason, hint)
  }
  const key = fields.has('hidden_activation') ? 'hidden_activation' : 'hidden_act'
  const activation = fields.string(key, activations[0])
  if (!activations.includes(activation)) {
    refuse(`uses the activation "${activation}"`, `This engine runs ${activations.join(', ')} here.`)
  }
  const quantization = fields.nested('quantization_config')
  const method = quantization?.string('quant_method', 'an unnamed method')
  if (method !== undefined && method !== float8Method && !quantizations.includes(method)) {
    refuse(`holds weights quantised by "${method}"`, 'Use the unquantised model or a GGUF file.')
  }
  for (const key of ['attention_bias', 'mlp_bias', 'lm_head_bias']) {
    if (!biases.includes(key) && fields.boolean(key, false))
      refuse(`sets ${key}`, 'This engine has no code for such biases.')
  }
}

function rope(
  fields: Fields,
  family: Family,
  modelClass: HuggingFaceClass,
  contextLength: number,
): Pick<ModelConfig, 'ropeTheta' | 'ropeScaling'> {
  const parameters = ropeParameters(fields)
  const ropeTheta = parameters?.has('rope_theta')
    ? parameters.number('rope_theta', ranges.theta)
    : fields.number('rope_theta', ranges.theta, 10_000)
  const ropeScaling = parameters ? scaling(fields, parameters, contextLength) : { type: 'none' as const }
  if (!modelClass.truncatesYarn && parameters?.boolean('truncate', true) === false) {
    throw new UnsupportedModelError(
      fields.file,
      'uses YaRN without truncation',
      'This engine truncates its ramp.',
    )
  }
  const free = ropeScaling.type === 'none' || ropeScaling.type === 'dynamic'
  if (!free && !family.ropeScalings.includes(ropeScaling.type)) {
    throw new UnsupportedModelError(
      fields.file,
      `scales positions by "${ropeScaling.type}", which ${modelClass.name} does not`,
      `Possible here: ${family.ropeScalings.join(', ')}.`,
    )
  }
  return { ropeTheta, ropeScaling }
}

/** Newer files give each kind of layers its own; what windowed layers have besides their base is not scaled. */
function ropeParameters(fields: Fields): Fields | null {
  const given = fields.nested('rope_parameters')
  return given?.nested('full_attention') ?? given ?? fields.nested('rope_scaling')
}

function rotatedDims(fields: Fields, family: Family, headDim: number): number {
  const parameters = ropeParameters(fields)
  const from = parameters?.has('partial_rotary_factor') ? parameters : fields
  const part = from.number('partial_rotary_factor', ranges.positive, 1)
  if (part !== 1 && family.fullRope) {
    throw new UnsupportedModelError(
      fields.file,
      'rotates only part of each head',
      `This engine rotates all of it in ${family.title}.`,
    )
  }
  return Math.floor(headDim * part)
}

/** For dynamic NTK scaling, models tell the positions of their training; vLLM runs `factor` times as many. */
const extendedContext = (scaling: RopeScaling, contextLength: number): number =>
  scaling.type === 'dynamic'
    ? Math.max(contextLength, Math.floor(scaling.originalContext * scaling.factor))
    : contextLength

function scaling(model: Fields, fields: Fields, contextLength: number): RopeScaling {
  const type = fields.string(fields.has('rope_type') ? 'rope_type' : 'type', 'default')
  if (type === 'default') return { type: 'none' }
  const original = () => {
    const key = 'original_max_position_embeddings'
    return (fields.has(key) ? fields : model).integer(key, ranges.context, contextLength)
  }
  switch (type) {
    case 'linear':
      return { type, factor: fields.number('factor', ranges.factor) }
    case 'llama3': {
      const lowFreqFactor = fields.number('low_freq_factor', ranges.positive)
      const highFreqFactor = fields.number('high_freq_factor', ranges.positive)
      if (highFreqFactor < lowFreqFactor) {
        throw fields.error('high_freq_factor', highFreqFactor, `at least low_freq_factor, ${lowFreqFactor}`)
      }
      const factor = fields.number('factor', ranges.factor)
      return { type, factor, lowFreqFactor, highFreqFactor, originalContext: original() }
    }
    case 'yarn':
      return yarn(fields, original())
    case 'dynamic':
      return { type, factor: fields.number('factor', ranges.factor), originalContext: original() }
    case 'su':
    case 'longrope':
      return longRope(fields, contextLength, original())
    default:
      throw new UnsupportedModelError(
        fields.file,
        `scales positions by "${type}"`,
        'This engine knows linear, dynamic, llama3, longrope and yarn.',
      )
  }
}

function yarn(fields: Fields, originalContext: number): RopeScaling {
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

function longRope(fields: Fields, contextLength: number, originalContext: number): RopeScaling {
  const factor = contextLength / originalContext
  return {
    type: 'longrope',
    factors: { short: divisors(fields, 'short_factor'), long: divisors(fields, 'long_factor') },
    originalContext,
    attentionFactor: fields.number(
      'attention_factor',
      ranges.positive,
      longRopeAttentionFactor(factor, originalContext),
    ),
  }
}

function divisors(fields: Fields, key: string): readonly number[] {
  const value = fields.raw(key)
  const positive = (each: unknown) => typeof each === 'number' && each > 0 && Number.isFinite(each)
  if (Array.isArray(value) && value.length > 0 && value.every(positive)) return value
  throw fields.error(key, value ?? undefined, 'a list of positive numbers')
}

function impliedAttentionFactor(fields: Fields, factor: number): number {
  const mscale = fields.number('mscale', ranges.mscale, 0)
  const allDim = fields.number('mscale_all_dim', ranges.mscale, 0)
  const growth = yarnAttentionFactor(factor)
  return mscale === 0 || allDim === 0 ? growth : (1 + mscale * (growth - 1)) / (1 + allDim * (growth - 1))
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
