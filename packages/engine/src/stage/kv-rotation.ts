import type { Backend } from '../ggml/backend.ts'
import type { GraphBuilder, Tensor } from '../ggml/graph-builder.ts'
import type { Pointer } from '../ggml/library.ts'
import { tensorTypes } from '../ggml/tensor-type.ts'
import type { AttentionShape } from './attention-shape.ts'
import type { KvType } from './kv-type.ts'

/** Graph nodes that rotating adds to a layer: product, two reshapes and maybe a copy for each of query, key, value and result. */
export const rotationNodes = 16

/** Extents of the rotations of keys and values; null where they stay as they are. */
export interface RotationSizes {
  readonly key: number | null
  readonly value: number | null
}

const SMALLEST = 64

/** The largest power of two from 64 on that divides `dim`. */
function largestBlock(dim: number): number | null {
  if (dim % SMALLEST !== 0) return null
  let size = SMALLEST
  while (dim % (2 * size) === 0) size *= 2
  return size
}

/**
 * What llama.cpp rotates, so that its caches and ours hold the same: only quantised ones, in heads that are multiples
 * of 64. Where values are read out of the keys they are rotated as part of them.
 */
export function rotationSizes(shape: AttentionShape, type: KvType, valuesInKeys: boolean): RotationSizes {
  if (type === 'F16' || type === 'F32') return { key: null, value: null }
  const key = largestBlock(shape.keyDim)
  if (!valuesInKeys) return { key, value: shape.valueDim % SMALLEST === 0 ? SMALLEST : null }
  return key !== null && shape.valueDim % key === 0 ? { key, value: key } : { key: null, value: null }
}

/** The orthonormal matrix of Walsh and Hadamard, its own inverse. */
export function hadamard(size: number): Float32Array {
  const matrix = new Float32Array(size * size)
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column < size; column += 1) {
      matrix[row * size + column] = (isOdd(row & column) ? -1 : 1) / Math.sqrt(size)
    }
  }
  return matrix
}

function isOdd(bits: number): boolean {
  let odd = false
  for (let rest = bits; rest > 0; rest &= rest - 1) odd = !odd
  return odd
}

/**
 * Rotates heads before they are quantised: an outlier is spread over its neighbours, and a block's shared scale then
 * fits all of them. Scores stay as they are because queries turn with the keys; the weighted sums are turned back.
 *
 * @see Ashkboos et al. 2024, "QuaRot" (arXiv:2404.00456)
 */
export class KvRotation {
  private readonly matrices: ReadonlyMap<number, Tensor>
  private readonly context: Pointer
  private readonly buffer: Pointer | null

  constructor(
    private readonly backend: Backend,
    readonly sizes: RotationSizes,
  ) {
    const { ggml } = backend
    const distinct = new Set([sizes.key, sizes.value].filter((size) => size !== null))
    this.context = ggml.init({
      mem_size: ggml.tensorOverhead() * (distinct.size + 1) + 1024,
      mem_buffer: null,
      no_alloc: true,
    })
    this.matrices = new Map(
      [...distinct].map((size) => [
        size,
        { pointer: ggml.newTensor2d(this.context, tensorTypes.F32.id, size, size) },
      ]),
    )
    this.buffer = distinct.size > 0 ? ggml.allocContextTensors(this.context, backend.bufferType) : null
    for (const [size, { pointer }] of this.matrices) {
      const values = hadamard(size)
      ggml.tensorSet(pointer, values, 0, values.byteLength)
    }
  }

  /** Turns queries and keys: `x [dim, heads, tokens]`, a multiple of the rotation's extent in `dim`. */
  turnKeys(builder: GraphBuilder, x: Tensor, columns: number, rows: number): Tensor {
    return this.turn(builder, x, this.sizes.key, columns, rows)
  }

  /** Turns values, which may be some columns of a matrix; turned again they are what they were. */
  turnValues(builder: GraphBuilder, x: Tensor, columns: number, rows: number): Tensor {
    if (this.sizes.value === null) return x
    return this.turn(builder, builder.contiguous2d(x, columns, rows), this.sizes.value, columns, rows)
  }

  close(): void {
    if (this.buffer) this.backend.ggml.bufferFree(this.buffer)
    this.backend.ggml.free(this.context)
  }

  private turn(builder: GraphBuilder, x: Tensor, size: number | null, columns: number, rows: number): Tensor {
    if (size === null) return x
    const blocks = builder.reshape2d(builder.contiguous(x), size, (columns / size) * rows)
    return builder.reshape2d(builder.matmul(this.matrices.get(size)!, blocks), columns, rows)
  }
}
