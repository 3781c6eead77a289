import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ModelConfig, type Random, type RopeScaling, seededRandom } from '@deos/domain'
import { familyOf, familyTensors, huggingFaceLayerPrefix, mayBeAbsent } from '../weights/families/index.ts'
import { type SafetensorsDtype, type WritableTensor, writeSafetensors } from './safetensors-writer.ts'
import { type PreTokenizer, tinyTokenizer, tinyTokenizerConfig } from './tiny-tokenizer.ts'

export type TinyFamily = 'llama' | 'mistral' | 'qwen2' | 'qwen3'

export interface TinyModelOptions {
  /** Folder to write; made if missing. */
  readonly directory: string
  readonly family: TinyFamily
  readonly seed?: number
  readonly dtype?: SafetensorsDtype
  /** More than one writes an index and that many files. */
  readonly shards?: number
  /** Whether to write `tokenizer.json` and `tokenizer_config.json`. Default: true. */
  readonly tokenizer?: boolean
  /** Anything of the shape that should differ from {@link tinyConfig}. */
  readonly config?: Partial<Omit<ModelConfig, 'architecture' | 'ropeDim'>>
}

const classes = {
  llama: { architecture: 'llama', className: 'LlamaForCausalLM', pre: 'llama-bpe' },
  mistral: { architecture: 'llama', className: 'MistralForCausalLM', pre: 'gpt-2' },
  qwen2: { architecture: 'qwen2', className: 'Qwen2ForCausalLM', pre: 'qwen2' },
  qwen3: { architecture: 'qwen3', className: 'Qwen3ForCausalLM', pre: 'qwen2' },
} as const satisfies Record<TinyFamily, { architecture: string; className: string; pre: PreTokenizer }>

/** The shape of a tiny model: 4 layers, hidden size 64, 4 heads and 2 KV heads of 16, vocabulary 320. */
export function tinyConfig(family: TinyFamily, overrides: TinyModelOptions['config'] = {}): ModelConfig {
  const config = {
    architecture: classes[family].architecture,
    name: `tiny-${family}`,
    layers: 4,
    hiddenSize: 64,
    feedForwardSize: 128,
    heads: 4,
    kvHeads: 2,
    // Qwen 3's heads are wider than hidden size over heads.
    headDim: family === 'qwen3' ? 32 : 16,
    vocabSize: 320,
    contextLength: 512,
    normEpsilon: 1e-5,
    ropeTheta: 10_000,
    ropeScaling: { type: 'none' as const },
    slidingWindow: family === 'mistral' ? 16 : null,
    tiedEmbeddings: family === 'qwen2',
    bosToken: 0,
    eosTokens: [1],
    ...overrides,
  }
  return { ...config, ropeDim: config.headDim }
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
    await json('tokenizer.json', tinyTokenizer(classes[family].pre))
    await json('tokenizer_config.json', tinyTokenizerConfig)
  }
  const tensors = randomTensors(config, dtype, seededRandom(seed))
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
  return {
    architectures: [classes[family].className],
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
    sliding_window: config.slidingWindow,
    ...(family.startsWith('qwen')
      ? { use_sliding_window: config.slidingWindow !== null, max_window_layers: 0 }
      : {}),
    tie_word_embeddings: config.tiedEmbeddings,
    bos_token_id: config.bosToken,
    eos_token_id: config.eosTokens.length === 1 ? config.eosTokens[0] : config.eosTokens,
    torch_dtype: { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }[dtype],
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
  }
}

function randomTensors(config: ModelConfig, dtype: SafetensorsDtype, random: Random): WritableTensor[] {
  const family = familyOf(config.architecture, config.name)
  const tensors: WritableTensor[] = []
  for (const [gguf, rule] of familyTensors(family, config)) {
    if (rule.huggingFace === null || mayBeAbsent(rule, config)) continue
    const layer = /^blk\.(\d+)\./.exec(gguf)?.[1]
    const name =
      layer === undefined ? rule.huggingFace : huggingFaceLayerPrefix(Number(layer)) + rule.huggingFace
    const shape = rule.shape(config).toReversed()
    tensors.push({ name, dtype, shape, data: encode(randomValues(name, shape, random), dtype) })
  }
  return tensors
}

/** Matrices keep the size of what passes through them, norms scale by about 1, biases are small. */
function randomValues(name: string, shape: readonly number[], random: Random): Float32Array {
  const count = shape.reduce((product, extent) => product * extent, 1)
  const [mean, deviation] = name.endsWith('norm.weight')
    ? [1, 0.1]
    : [0, shape.length === 1 ? 0.1 : 1 / Math.sqrt(shape.at(-1)!)]
  // Uniform on ±√3 has a standard deviation of 1.
  return Float32Array.from({ length: count }, () => mean + deviation * Math.sqrt(3) * (2 * random.next() - 1))
}

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
