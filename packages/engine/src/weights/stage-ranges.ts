import { stat } from 'node:fs/promises'
import type { LayerRange } from '@deos/domain'
import { rowBytes, tensorTypes } from '../ggml/tensor-type.ts'
import { readGgufHeader } from './gguf-reader.ts'
import type { ModelSource, TensorInfo, TensorPart } from './model-source.ts'
import { readSafetensors } from './safetensors.ts'
import { isStored, planUnits } from './stage-weights.ts'

/** Bytes, half-open: `[first, end)`. */
interface ByteRange {
  readonly first: number
  readonly end: number
}

/** Some bytes of a file: sorted, apart from one another. */
export interface FileRanges {
  readonly file: string
  readonly ranges: readonly ByteRange[]
}

/**
 * Asks for everything that opening a model and its tokenizer reads, in files that have their full size but not yet
 * their bytes: headers of weights, growing while they are read, and all other files whole. The model can be opened
 * afterwards if its fingerprint is known.
 *
 * @param files - paths of all files of the model
 * @param need - resolves when the bytes are there
 * @throws ModelFileError, UnsupportedModelError; what `need` throws
 */
export async function readHeaders(
  files: readonly string[],
  need: (file: string, range: ByteRange) => Promise<void>,
): Promise<void> {
  for (const file of files) {
    const needBytes = (first: number, end: number) => need(file, { first, end })
    if (file.endsWith('.gguf')) await readGgufHeader(file, needBytes)
    else if (file.endsWith('.safetensors')) await readSafetensors(file, needBytes)
    else await needBytes(0, (await stat(file)).size)
  }
}

/**
 * Where in the model's files the tensors of one stage lie: what a machine must have of them beside the headers.
 *
 * @throws RangeError if the layers are not in the model
 */
export function stageRanges(
  source: ModelSource,
  stage: { readonly layers: LayerRange; readonly embedding: boolean; readonly head: boolean },
): readonly FileRanges[] {
  const byFile = new Map<string, ByteRange[]>()
  for (const { tensors } of planUnits({ source, ...stage })) {
    for (const { file, ...range } of tensors.filter(isStored).flatMap(placesOf)) {
      byFile.set(file, [...(byFile.get(file) ?? []), range])
    }
  }
  return [...byFile].map(([file, ranges]) => ({ file, ranges: merged(ranges) }))
}

interface Place extends ByteRange {
  readonly file: string
}

const place = (file: string, first: number, sizeBytes: number): Place => ({
  file,
  first,
  end: first + sizeBytes,
})

function placesOf(tensor: TensorInfo): readonly Place[] {
  if (tensor.parts === undefined) return [place(tensor.file, tensor.offset, tensor.sizeBytes)]
  return tensor.parts.flatMap((part) => placesOfPart(tensor, part))
}

function placesOfPart({ type, shape }: TensorInfo, part: TensorPart): readonly Place[] {
  const columns = shape[0]!
  const { file, offset, rows, rowStrideBytes, elementStrideBytes, scales, float8, transposed } = part
  const strided = (width: number) => place(file, offset, (rows - 1) * rowStrideBytes + width)
  if (transposed !== undefined) {
    return [place(file, offset, columns * rowBytes(transposed.type, transposed.columns))]
  }
  if (scales !== undefined) {
    const { blockSize, blockBytes } = tensorTypes[type]
    const blocks = columns / blockSize
    const scaleBytes = (rows - 1) * scales.rowStrideBytes + blocks
    return [strided(blocks * (blockBytes - 1)), place(scales.file, scales.offset, scaleBytes)]
  }
  const stored = float8 === undefined ? type : 'I8'
  const width =
    elementStrideBytes === null
      ? rowBytes(stored, columns)
      : (columns - 1) * elementStrideBytes + tensorTypes[stored].blockBytes
  if (float8 === undefined) return [strided(width)]
  return [strided(width), place(float8.scales.file, float8.scales.offset, float8.scales.sizeBytes)]
}

/** The same bytes in as few ranges as there can be, in order. */
function merged(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const result: ByteRange[] = []
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const last = result.at(-1)
    if (last === undefined || range.first > last.end) result.push(range)
    else result[result.length - 1] = { first: last.first, end: Math.max(last.end, range.end) }
  }
  return result
}
