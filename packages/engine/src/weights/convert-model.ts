import type { ModelConfig } from '@deos/domain'
import { quantizeRows } from '../ggml/quantize.ts'
import { type TensorType, tensorBytes } from '../ggml/tensor-type.ts'
import { UnsupportedModelError } from './errors.ts'
import { familyOf } from './families/index.ts'
import { configMetadata } from './gguf-config.ts'
import { splitKeys } from './gguf-parts.ts'
import { readGgufHeader } from './gguf-reader.ts'
import { type GgufValue, uint32 } from './gguf-values.ts'
import { type PlannedTensor, writeGguf } from './gguf-writer.ts'
import type { ModelSource, TensorInfo } from './model-source.ts'
import { ropeFactorNames, ropeFactors } from './rope-factors.ts'
import { tensorData } from './tensor-data.ts'
import { tokenizerMetadata } from './tokenizer-metadata.ts'
import {
  isWeightType,
  type TypeFallback,
  targetType,
  typeFallback,
  type WeightType,
  weightTypes,
} from './type-policy.ts'

/** llama.cpp's numbers for `general.file_type`. */
const fileTypes: Partial<Record<TensorType, number>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 14,
  Q5_K: 16,
  Q6_K: 18,
  BF16: 32,
}
const quantizationVersion = 2

/** How far a conversion has come, in bytes of the result. */
export interface ConversionProgress {
  readonly tensor: string
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface ConvertModelOptions {
  readonly source: ModelSource
  /** `native` keeps the matrices as they are. */
  readonly type: WeightType | 'native'
  /** Path of the GGUF file to write. */
  readonly output: string
  readonly overwrite?: boolean
  readonly onProgress?: (progress: ConversionProgress) => void
  readonly signal?: AbortSignal
}

export interface ConversionReport {
  readonly output: string
  readonly sizeBytes: number
  readonly tensors: number
  /** Matrices whose rows do not fit the type asked for. */
  readonly fallbacks: readonly TypeFallback[]
  /** What the file cannot express exactly, for people. */
  readonly notes: readonly string[]
}

/**
 * Writes any model as one GGUF file that llama.cpp loads too: canonical names, rotary pairs interleaved where its
 * graph wants that, Llama 3's frequency factors as a tensor, and the tokenizer. Weights pass through in chunks
 * of rows.
 *
 * @throws ModelWriteError if the output exists and `overwrite` is not set, or the disk refuses
 * @throws ModelFileError, UnsupportedModelError for sources that cannot be converted
 * @throws the signal's reason when aborted; nothing is left behind
 */
export async function convertModel(options: ConvertModelOptions): Promise<ConversionReport> {
  const { source, type, output, overwrite = false, onProgress, signal } = options
  if (type !== 'native' && !isWeightType(type)) {
    throw new UnsupportedModelError(
      output,
      `cannot be written as ${String(type)}`,
      `Choose ${weightTypes.join(', ')}.`,
    )
  }
  const { entries, notes } = await sourceMetadata(source)
  const tensors = planTensors(source, type, signal)
  const totalBytes = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor.type, tensor.shape), 0)
  let doneBytes = 0
  const sizeBytes = await writeGguf({
    path: output,
    overwrite,
    metadata: [...entries, ...typeMetadata(source, type)],
    tensors,
    signal,
    onBytes: (written, tensor) => {
      doneBytes += written
      onProgress?.({ tensor: tensor.name, doneBytes, totalBytes })
    },
  })
  const fallbacks = [...source.tensors.values()]
    .map((tensor) => typeFallback(tensor, type))
    .filter((each) => each !== null)
  return { output, sizeBytes, tensors: tensors.length, fallbacks, notes }
}

/** Of one file only: written anew for every other. */
const ownKeys = ['general.file_type', 'general.quantization_version', ...splitKeys]

async function sourceMetadata(
  source: ModelSource,
): Promise<{ entries: [string, GgufValue][]; notes: readonly string[] }> {
  if (source.format === 'gguf') {
    const { metadata } = await readGgufHeader(source.path)
    const entries = [...metadata].filter(([key]) => !ownKeys.includes(key))
    return { entries: [...new Map([...entries, ...newerMetadata(source)])], notes: [] }
  }
  const { config } = source
  const tokenizer = await tokenizerMetadata(source.path, config)
  const own = familyOf(config.architecture, config.name).conversionNotes?.(config) ?? []
  return { entries: [...configMetadata(config), ...tokenizer.entries], notes: [...tokenizer.notes, ...own] }
}

/** What the metadata of an older file must say instead beside the tensors as they are written now. */
function newerMetadata({ config, tensors }: ModelSource): [string, GgufValue][] {
  const { architecture, name } = config
  const isOlder = [...tensors.values()].some(({ parts }) => parts)
  const entries = isOlder ? familyOf(architecture, name).older?.metadata(config) : []
  return (entries ?? []).map(([key, value]) => [`${architecture}.${key}`, value])
}

function typeMetadata(source: ModelSource, type: WeightType | 'native'): [string, GgufValue][] {
  const used = type === 'native' ? source.tensors.get('token_embd.weight')?.type : type
  const fileType = used && fileTypes[used]
  return [
    ...(fileType === undefined ? [] : [['general.file_type', uint32(fileType)] as [string, GgufValue]]),
    ['general.quantization_version', uint32(quantizationVersion)],
  ]
}

/** A stored tensor as it is to be written: its data is read and converted when it is asked for. */
export function planTensor(
  tensor: TensorInfo,
  type: TensorType | 'native',
  signal?: AbortSignal,
): PlannedTensor {
  const target = targetType(tensor, type)
  return {
    name: tensor.name,
    type: target,
    shape: tensor.shape,
    data: () => tensorData(tensor, target, signal),
  }
}

function planTensors(
  source: ModelSource,
  type: WeightType | 'native',
  signal?: AbortSignal,
): PlannedTensor[] {
  const planned = [...source.tensors.values()].map((tensor) => planTensor(tensor, type, signal))
  const stored = ropeFactorNames.some((name) => source.tensors.has(name))
  return stored ? planned : [...ropeFactorTensors(source.config), ...planned]
}

/** Llama 3's scaling and LongRoPE as the tensors that GGUF keeps them in; none for other models. */
export function ropeFactorTensors(config: ModelConfig): readonly PlannedTensor[] {
  return [...ropeFactors(config)].map(([name, factors]) => {
    const data = quantizeRows('F32', factors, factors.length)
    return { name, type: 'F32', shape: [factors.length], data: () => [data] }
  })
}
