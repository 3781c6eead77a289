import { dequantizeRows } from '../ggml/quantize.ts'
import { tensorTypes } from '../ggml/tensor-type.ts'
import { ModelFileError, UnsupportedModelError } from './errors.ts'
import type { Fields } from './fields.ts'
import type { Float8Matrices, TensorInfo } from './model-source.ts'
import type { SafetensorsTensor } from './safetensors.ts'

/** As `quantization_config` calls it. */
export const float8Method = 'fp8'
const float8Dtype = 'F8_E4M3'

/** Numbers that share a scale: so many rows of a matrix by so many columns. */
export interface Float8Block {
  readonly rows: number
  readonly columns: number
}

/**
 * Reads how FP8 weights are scaled from `quantization_config`.
 *
 * @throws UnsupportedModelError unless every block of a matrix has a scale
 */
export function float8Block(quantization: Fields): Float8Block {
  const refuse = (reason: string) => {
    throw new UnsupportedModelError(
      quantization.file,
      reason,
      'This engine reads FP8 weights in blocks, as DeepSeek-V3 has them; else use the BF16 model or a GGUF file.',
    )
  }
  const format = quantization.string('fmt', 'e4m3')
  if (format !== 'e4m3') refuse(`holds FP8 weights in the format "${format}"`)
  const size = quantization.raw('weight_block_size')
  if (size === null) refuse('holds FP8 weights that are not scaled in blocks (no weight_block_size)')
  const isExtent = (extent: unknown) =>
    Number.isInteger(extent) && Number(extent) >= 1 && Number(extent) <= 1 << 16
  if (!Array.isArray(size) || size.length !== 2 || !size.every(isExtent)) {
    throw quantization.error('weight_block_size', size, 'two whole numbers, rows and columns of a block')
  }
  return { rows: size[0], columns: size[1] }
}

/** Old and new names of the scales of a tensor, which they are multiplied with in spite of their name. */
const scaleNames = (name: string): readonly string[] => [`${name}_scale_inv`, `${name}_scales_inv`]

/**
 * FP8 tensors with their scales, to be read as BF16; others as they are.
 *
 * @param block - `null` if the configuration names none
 * @throws UnsupportedModelError for FP8 without blocks, ModelFileError for scales that are missing or do not fit
 */
export function withFloat8Scales(
  stored: ReadonlyMap<string, SafetensorsTensor>,
  block: Float8Block | null,
): ReadonlyMap<string, TensorInfo> {
  const found = new Map<string, TensorInfo>(stored)
  for (const [name, tensor] of stored) {
    if (tensor.dtype !== float8Dtype) continue
    if (block === null) {
      throw new UnsupportedModelError(
        tensor.file,
        `tensor ${name} is stored as ${float8Dtype}, and config.json does not say how it is scaled`,
        'Use a model stored as F32, F16 or BF16, with a quantization_config for FP8, or a GGUF file.',
      )
    }
    const scaleName = scaleNames(name).find((each) => stored.has(each))
    const scales = scaleName === undefined ? null : stored.get(scaleName)!
    if (!scales) throw new ModelFileError(tensor.file, 'is missing', { tensor: scaleNames(name)[0]! })
    checkScales(tensor, scales, block)
    found.set(name, {
      ...tensor,
      type: 'BF16',
      float8: { offset: tensor.offset, shape: tensor.shape, block, scales },
    })
    found.delete(scaleName!)
  }
  return found
}

function checkScales(tensor: TensorInfo, scales: TensorInfo, block: Float8Block): void {
  const [columns, rows, ...matrices] = tensor.shape as [number, number, ...number[]]
  if (rows === undefined) {
    throw new ModelFileError(tensor.file, `is a vector in ${float8Dtype}`, { tensor: tensor.name })
  }
  const wanted = [Math.ceil(columns / block.columns), Math.ceil(rows / block.rows), ...matrices]
  if (scales.shape.join() !== wanted.join()) {
    const show = (shape: readonly number[]) => `[${shape.toReversed().join(', ')}]`
    throw new ModelFileError(
      scales.file,
      `has the shape ${show(scales.shape)}; blocks of ${block.rows} by ${block.columns} in ${show(tensor.shape)} need ${show(wanted)}`,
      { tensor: scales.name },
    )
  }
  if (!['F32', 'F16', 'BF16'].includes(scales.type)) {
    throw new ModelFileError(scales.file, 'does not hold floating-point numbers', { tensor: scales.name })
  }
}

/**
 * What each byte stands for in FP8 E4M3 as machine learning has it: bias 7, subnormals, no infinities, and NaN only
 * where all bits but the sign are set.
 *
 * @see OCP 8-bit Floating Point Specification (OFP8) 1.0, section 5.1; Micikevicius et al. 2022 (arXiv:2209.05433)
 */
const float8Values = Float32Array.from({ length: 256 }, (_, bits) => {
  const sign = bits & 0x80 ? -1 : 1
  const exponent = (bits >> 3) & 0x0f
  const mantissa = bits & 0x07
  if (exponent === 0x0f && mantissa === 0x07) return Number.NaN
  if (exponent === 0) return (sign * mantissa) / 8 / 2 ** 6
  return sign * (1 + mantissa / 8) * 2 ** (exponent - 7)
})

/** FP8 matrices one behind another in a file, with their scales in memory. */
export class ScaledFloat8 {
  private readonly scales: Float32Array
  private readonly columns: number
  private readonly rows: number

  /** @param scales - bytes of all scales, as they are stored */
  constructor(
    private readonly matrices: Float8Matrices,
    scales: Uint8Array,
  ) {
    const { shape, scales: place } = matrices
    this.columns = shape[0]!
    this.rows = shape[1]!
    this.scales = dequantizeRows(place.type, scales, scales.length / tensorTypes[place.type].blockBytes)
  }

  /**
   * Values of elements at a regular distance, all in one row of a matrix or all in one column.
   *
   * @param bytes - of the elements
   * @param offset - of the first of them in the file
   * @param strideBytes - from each to the next in the file
   */
  decode(bytes: Uint8Array, offset: number, strideBytes: number, values: Float32Array): void {
    const { block, offset: start } = this.matrices
    const line = Math.floor((offset - start) / this.columns)
    const from = { row: line % this.rows, column: (offset - start) % this.columns }
    const step = { row: Math.floor(strideBytes / this.columns), column: strideBytes % this.columns }
    const firstScaleRow = Math.floor(line / this.rows) * Math.ceil(this.rows / block.rows)
    const scaleColumns = Math.ceil(this.columns / block.columns)
    let done = 0
    while (done < bytes.length) {
      const row = from.row + done * step.row
      const column = from.column + done * step.column
      const scaleRow = firstScaleRow + Math.floor(row / block.rows)
      const scale = this.scales[scaleRow * scaleColumns + Math.floor(column / block.columns)]!
      const inBlock = Math.min(
        stepsTo(row, step.row, block.rows),
        stepsTo(column, step.column, block.columns),
      )
      const end = Math.min(bytes.length, done + inBlock)
      for (; done < end; done += 1) values[done] = float8Values[bytes[done]!]! * scale
    }
  }
}

/** Steps that lead from a place into the next block. */
const stepsTo = (place: number, step: number, blockExtent: number): number =>
  step === 0 ? Number.POSITIVE_INFINITY : Math.ceil((blockExtent - (place % blockExtent)) / step)
