import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ModelConfig, plainTraits, type Random, type RopeScaling, seededRandom } from '@deos/domain'
import {
  familyOf,
  familyTensors,
  huggingFaceName,
  mayBeAbsent,
  type StoredTensor,
  type TensorRule,
} from '../weights/families/index.ts'
import { type SafetensorsDtype, type WritableTensor, writeSafetensors } from './safetensors-writer.ts'
import { type TinyClass, type TinyFamily, tinyClasses } from './tiny-families.ts'
import { tinyTokenizer, tinyTokenizerConfig } from './tiny-tokenizer.ts'

export { type TinyFamily, tinyFamilies } from './tiny-families.ts'

export interface TinyModelOptions {
  /** Folder to write; made if missing. */
  readonly directory: string
  readonly family: TinyFamily
  readonly seed?: number
  readonly dtype?: SafetensorsDtype
  /** More than one writes an index and that many files. */
  readonly shards?: number
  /** Whether experts are stored in MXFP4 where the family has that (gpt-oss). Default: true. */
  readonly packed?: boolean
  /** Whether to write `tokenizer.json` and `tokenizer_config.json`. Default: true. */
  readonly tokenizer?: boolean
  /** Anything of the shape that should differ from {@link tinyConfig}. */
  readonly config?: Partial<Omit<ModelConfig, 'architecture'>>
}

/** The shape of a tiny model: 4 layers, hidden size 64, 4 heads and 2 KV heads of 16, vocabulary 320. */
export function tinyConfig(family: TinyFamily, overrides: TinyModelOptions['config'] = {}): ModelConfig {
  const layers = overrides.layers ?? 4
  const { architecture, shape }: TinyClass = tinyClasses[family]
  const own = shape?.(layers) ?? {}
  const headDim = overrides.headDim ?? own.headDim ?? 16
  const config = {
    ...plainTraits(headDim),
    architecture,
    name: `tiny-${family}`,
    layers,
    hiddenSize: 64,
    feedForwardSize: 128,
    heads: 4,
    kvHeads: 2,
    headDim,
    vocabSize: 320,
    contextLength: 512,
    normEpsilon: 1e-5,
    ropeTheta: 10_000,
    ropeScaling: { type: 'none' as const },
    tiedEmbeddings: false,
    bosToken: 0,
    eosTokens: [1],
    ...own,
    ...overrides,
  }
  return { ...config, ropeDim: overrides.ropeDim ?? own.ropeDim ?? config.headDim }
}

/**
 * Writes a model with seeded random weights as a Hugging Face folder: `config.json`, safetensors, tokenizer.
 * Weights are scaled so that activations stay near 1 and logits differ clearly.
 *
 * @returns the shape it has
 */
export async function writeTinyModel(options: TinyModelOptions): Promise<ModelConfig> {
  const { directory, family, seed = 1, dtype = 'BF16', shards = 1, tokenizer = true } = options
  const config = tinyConfig(family, options.config)
  await mkdir(directory, { recursive: true })
  const json = (name: string, value: unknown) =>
    writeFile(join(directory, name), `${JSON.stringify(value, null, 2)}\n`)
  await json('config.json', huggingFaceConfig(config, family, dtype))
  if (tokenizer) {
    await json('tokenizer.json', tinyTokenizer(tinyClasses[family].pre))
    await json('tokenizer_config.json', tinyTokenizerConfig)
  }
  const tensors = randomTensors(config, dtype, seededRandom(seed), options.packed ?? true)
  if (shards === 1) {
    await writeSafetensors(join(directory, 'model.safetensors'), tensors)
    return config
  }
  const weightMap: Record<string, string> = {}
  for (let shard = 0; shard < shards; shard += 1) {
    const number = (value: number) => String(value).padStart(5, '0')
    const file = `model-${number(shard + 1)}-of-${number(shards)}.safetensors`
    const own = tensors.filter((_, index) => index % shards === shard)
    for (const { name } of own) weightMap[name] = file
    await writeSafetensors(join(directory, file), own)
  }
  const totalSize = tensors.reduce((sum, { data }) => sum + data.length, 0)
  await json('model.safetensors.index.json', { metadata: { total_size: totalSize }, weight_map: weightMap })
  return config
}

function huggingFaceConfig(config: ModelConfig, family: TinyFamily, dtype: SafetensorsDtype): unknown {
  const scaling = ropeScalingJson(config.ropeScaling)
  const { className, json }: TinyClass = tinyClasses[family]
  return {
    architectures: [className],
    model_type: family,
    hidden_act: 'silu',
    hidden_size: config.hiddenSize,
    intermediate_size: config.feedForwardSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    vocab_size: config.vocabSize,
    max_position_embeddings: config.contextLength,
    rms_norm_eps: config.normEpsilon,
    rope_theta: config.ropeTheta,
    rope_scaling: scaling,
    sliding_window: config.slidingWindow?.size ?? null,
    tie_word_embeddings: config.tiedEmbeddings,
    bos_token_id: config.bosToken,
    eos_token_id: config.eosTokens.length === 1 ? config.eosTokens[0] : config.eosTokens,
    torch_dtype: { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }[dtype],
    ...json?.(config),
  }
}

function ropeScalingJson(scaling: RopeScaling): unknown {
  switch (scaling.type) {
    case 'none':
      return null
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor }
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFreqFactor,
        high_freq_factor: scaling.highFreqFactor,
        original_max_position_embeddings: scaling.originalContext,
      }
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalContext,
        attention_factor: scaling.attentionFactor,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
      }
    case 'dynamic':
      return {
        rope_type: 'dynamic',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalContext,
      }
    case 'longrope':
      return {
        type: 'longrope',
        short_factor: scaling.factors?.short,
        long_factor: scaling.factors?.long,
        attention_factor: scaling.attentionFactor,
      }
  }
}

function randomTensors(
  config: ModelConfig,
  dtype: SafetensorsDtype,
  random: Random,
  packed: boolean,
): WritableTensor[] {
  const family = familyOf(config.architecture, config.name)
  const tensors = new Map<string, WritableTensor>()
  for (const [gguf, rule] of familyTensors(family, config)) {
    if (mayBeAbsent(rule, config)) continue
    for (const stored of storedTensors(rule, config, packed)) {
      const name = huggingFaceName(gguf, stored.name)
      if (tensors.has(name)) continue
      const shape = stored.shape.toReversed()
      const tensor: WritableTensor = stored.packed
        ? { name, dtype: 'U8', shape, data: randomMxfp4(name, config, shape, random) }
        : { name, dtype, shape, data: encode(randomValues(name, shape, random, rule.addend), dtype) }
      tensors.set(name, tensor)
    }
  }
  return [...tensors.values()]
}

function storedTensors(rule: TensorRule, config: ModelConfig, packed: boolean): readonly StoredTensor[] {
  if (rule.huggingFace !== null) return [{ name: rule.huggingFace, shape: rule.shape(config) }]
  const ways = (rule.assemblies ?? []).map((assembly) => assembly.stored(config))
  const wanted = ways.find((way) => way.some((stored) => (stored.packed ?? false) === packed))
  return wanted ?? ways[0] ?? []
}

/** Scales (powers of two, biased by 127) that keep the size of what passes through, or pairs of four-bit numbers. */
function randomMxfp4(
  name: string,
  { hiddenSize }: ModelConfig,
  shape: readonly number[],
  random: Random,
): Uint8Array {
  const count = shape.reduce((product, extent) => product * extent, 1)
  // Numbers of MXFP4 have a standard deviation of about 3.
  const scale = 127 + Math.round(Math.log2(1 / (3 * Math.sqrt(hiddenSize))))
  const value = () =>
    name.endsWith('_scales') ? scale - Math.floor(2 * random.next()) : Math.floor(256 * random.next())
  return Uint8Array.from({ length: count }, value)
}

/**
 * Matrices keep the size of what passes through them, norms scale by about 1, biases are small.
 *
 * @param addend - what a reader adds to every value
 */
function randomValues(name: string, shape: readonly number[], random: Random, addend = 0): Float32Array {
  const count = shape.reduce((product, extent) => product * extent, 1)
  const [mean, deviation] = name.endsWith('norm.weight')
    ? [1 - addend, 0.1]
    : [0, isVector(name, shape) ? 0.1 : routerScale(name) / Math.sqrt(shape.at(-1)!)]
  // Uniform on ±√3 has a standard deviation of 1.
  return Float32Array.from({ length: count }, () => mean + deviation * Math.sqrt(3) * (2 * random.next() - 1))
}

const isVector = (name: string, shape: readonly number[]): boolean =>
  shape.length === 1 || name.endsWith('bias')

/** Routers choose clearly, so that rounding changes no choice. */
const routerScale = (name: string): number => (/(router|_moe\.gate|mlp\.gate)\.weight$/.test(name) ? 3 : 1)

function encode(values: Float32Array, dtype: SafetensorsDtype): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer)
  const bits = new Uint32Array(values.buffer)
  const halves = Uint16Array.from(values, (value, index) =>
    dtype === 'BF16' ? bits[index]! >>> 16 : toHalf(value),
  )
  return new Uint8Array(halves.buffer)
}

/** IEEE binary16, truncated; our values are far from its ends. */
function toHalf(value: number): number {
  const sign = value < 0 ? 0x8000 : 0
  const size = Math.abs(value)
  if (size < 2 ** -14) return sign | Math.floor(size * 2 ** 24)
  const exponent = Math.floor(Math.log2(size))
  return sign | ((exponent + 15) << 10) | Math.floor((size / 2 ** exponent - 1) * 1024)
}
