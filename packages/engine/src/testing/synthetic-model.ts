import { type ModelConfig, plainTraits, type Random, seededRandom } from '@deos/domain'
import { quantizeRows } from '../ggml/quantize.ts'
import { type TensorType, tensorBytes, tensorTypes } from '../ggml/tensor-type.ts'
import { familyOf, familyTensors, mayBeAbsent } from '../weights/families/index.ts'
import { configMetadata } from '../weights/gguf-config.ts'
import { string } from '../weights/gguf-values.ts'
import { type PlannedTensor, writeGguf } from '../weights/gguf-writer.ts'
import { targetType, type WeightType } from '../weights/type-policy.ts'

/** Random elements that all matrices are cut from; much larger than any processor's cache line pattern. */
const poolElements = 1 << 20
const sliceBytes = 1 << 18
const deviation = 0.03

type ShapeName = '15m' | '135m' | '350m' | '1b'
type Shape = Pick<
  ModelConfig,
  'layers' | 'hiddenSize' | 'feedForwardSize' | 'heads' | 'kvHeads' | 'headDim' | 'vocabSize'
> &
  Partial<Pick<ModelConfig, 'experts'>>

/** Llama shapes for benches; all but `135m` (SmolLM's) have rows that fill blocks of 256. */
export const syntheticShapes: Readonly<Record<ShapeName, Shape>> = {
  '15m': {
    layers: 6,
    hiddenSize: 256,
    feedForwardSize: 768,
    heads: 4,
    kvHeads: 2,
    headDim: 64,
    vocabSize: 16_384,
  },
  '135m': {
    layers: 30,
    hiddenSize: 576,
    feedForwardSize: 1536,
    heads: 9,
    kvHeads: 3,
    headDim: 64,
    vocabSize: 49_152,
  },
  '350m': {
    layers: 24,
    hiddenSize: 1024,
    feedForwardSize: 2816,
    heads: 16,
    kvHeads: 8,
    headDim: 64,
    vocabSize: 32_000,
  },
  '1b': {
    layers: 22,
    hiddenSize: 2048,
    feedForwardSize: 5632,
    heads: 32,
    kvHeads: 4,
    headDim: 64,
    vocabSize: 32_000,
  },
}

export interface SyntheticModelOptions {
  /** GGUF file to write; an existing one is replaced. */
  readonly path: string
  readonly type: WeightType
  readonly shape: ShapeName | Shape
  /** Default: `llama`. */
  readonly architecture?: string
  readonly tiedEmbeddings?: boolean
  readonly contextLength?: number
  readonly seed?: number
  readonly signal?: AbortSignal
}

/**
 * Writes a GGUF file with random weights at the speed of the disk: matrices are cut from one small pool that is
 * quantised once. It has no tokenizer, computes finite logits, and llama.cpp loads it too.
 *
 * @returns the shape it has
 */
export async function writeSyntheticModel(options: SyntheticModelOptions): Promise<ModelConfig> {
  const { path, type, architecture = 'llama', seed = 1, signal } = options
  const shape = typeof options.shape === 'string' ? syntheticShapes[options.shape] : options.shape
  const config: ModelConfig = {
    ...plainTraits(shape.headDim),
    ...shape,
    architecture,
    name: `synthetic-${architecture}`,
    contextLength: options.contextLength ?? 4096,
    normEpsilon: 1e-5,
    ropeTheta: 10_000,
    ropeDim: shape.headDim,
    ropeScaling: { type: 'none' },
    tiedEmbeddings: options.tiedEmbeddings ?? false,
    bosToken: null,
    eosTokens: [],
  }
  const random = seededRandom(seed)
  const pools = new Map<TensorType, Uint8Array>()
  const tensors: PlannedTensor[] = []
  for (const [name, rule] of familyTensors(familyOf(architecture, path), config)) {
    if (mayBeAbsent(rule, config)) continue
    const tensorShape = rule.shape(config)
    const target = targetType({ name, type: 'F32', shape: tensorShape }, type)
    const data = () =>
      tensorShape.length === 1
        ? vectorData(name, tensorShape[0]!, random)
        : slices(poolOf(pools, target, random), target, tensorBytes(target, tensorShape), random)
    tensors.push({ name, type: target, shape: tensorShape, data })
  }
  const metadata = [...configMetadata(config), ['tokenizer.ggml.model', string('none')] as const]
  await writeGguf({ path, overwrite: true, metadata, tensors, signal })
  return config
}

function vectorData(name: string, count: number, random: Random): Uint8Array[] {
  const value = () => (name.endsWith('.bias') ? deviation * (2 * random.next() - 1) : 1)
  return [new Uint8Array(Float32Array.from({ length: count }, value).buffer)]
}

function poolOf(pools: Map<TensorType, Uint8Array>, type: TensorType, random: Random): Uint8Array {
  const known = pools.get(type)
  if (known) return known
  const values = Float32Array.from(
    { length: poolElements },
    () => deviation * Math.sqrt(3) * (2 * random.next() - 1),
  )
  const pool = quantizeRows(type, values, 256)
  pools.set(type, pool)
  return pool
}

/** Cuts at block bounds anywhere in the pool, so that no two rows of a matrix need be alike. */
function* slices(pool: Uint8Array, type: TensorType, size: number, random: Random): Generator<Uint8Array> {
  const { blockBytes } = tensorTypes[type]
  for (let left = size; left > 0; ) {
    const length = Math.min(left, Math.floor(sliceBytes / blockBytes) * blockBytes)
    const starts = (pool.length - length) / blockBytes
    const start = Math.floor(random.next() * starts) * blockBytes
    yield pool.subarray(start, start + length)
    left -= length
  }
}
