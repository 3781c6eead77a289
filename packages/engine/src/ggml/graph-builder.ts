import type { Ggml, Pointer } from './library.ts'
import { makeView, reinterpretRows, rowStride } from './tensor-struct.ts'
import { rowBytes, type TensorType, tensorTypes } from './tensor-type.ts'

/** A tensor of a graph under construction. Extents are in elements, fastest dim first; strides in bytes. */
export interface Tensor {
  readonly pointer: Pointer
}

/** How rotary pairs lie in a head: neighbours (Llama in GGUF) or halves (GPT-NeoX and most others). */
export type RopeLayout = 'interleaved' | 'halves'

export interface RopeSettings {
  readonly layout: RopeLayout
  readonly dims: number
  readonly originalContext: number
  readonly base: number
  readonly scale: number
  readonly extrapolation: number
  readonly attentionFactor: number
  readonly betaFast: number
  readonly betaSlow: number
  /** Divisors per pair, `[dims / 2]`, or null. */
  readonly factors: Tensor | null
}

const PRECISION_F32 = 10
const F32_BYTES = 4

export interface AttentionOperands {
  readonly q: Tensor
  readonly k: Tensor
  readonly v: Tensor
  readonly mask: Tensor
  /** Scores, `[heads]`, that take their share of softmax without a value; null for none. */
  readonly sinks: Tensor | null
  readonly scale: number
  /** Scores x become `softcap · tanh(x / softcap)`; 0 leaves them. */
  readonly softcap: number
  /** `headDim * heads`. */
  readonly width: number
}

/** Adds operations to one ggml graph. Shapes must fit: ggml aborts the process where they do not. */
export class GraphBuilder {
  readonly graph: Pointer

  constructor(
    private readonly ggml: Ggml,
    readonly context: Pointer,
    maxNodes: number,
  ) {
    this.graph = ggml.newGraphCustom(context, maxNodes, false)
  }

  input(type: TensorType, columns: number, rows = 1): Tensor {
    const tensor = this.empty(type, columns, rows)
    this.ggml.setInput(tensor.pointer)
    return tensor
  }

  empty(type: TensorType, columns: number, rows = 1): Tensor {
    const id = tensorTypes[type].id
    const pointer =
      rows === 1
        ? this.ggml.newTensor1d(this.context, id, columns)
        : this.ggml.newTensor2d(this.context, id, columns, rows)
    return { pointer }
  }

  /** Keeps the tensor's memory from being reused and makes it part of the graph. */
  output(tensor: Tensor): void {
    this.ggml.setOutput(tensor.pointer)
    this.expand(tensor)
  }

  /** Appends the tensor's operation now; order matters for writes into the KV cache. */
  expand(tensor: Tensor): void {
    this.ggml.buildForwardExpand(this.graph, tensor.pointer)
  }

  add(a: Tensor, b: Tensor): Tensor {
    return { pointer: this.ggml.add(this.context, a.pointer, b.pointer) }
  }

  multiply(a: Tensor, b: Tensor): Tensor {
    return { pointer: this.ggml.mul(this.context, a.pointer, b.pointer) }
  }

  /** `weight [in, out]` × `x [in, n]` → `[out, n]`. */
  matmul(weight: Tensor, x: Tensor): Tensor {
    return { pointer: this.ggml.mulMat(this.context, weight.pointer, x.pointer) }
  }

  /**
   * Products with chosen ones of many matrices: `weights [in, out, experts]` × `x [in, used or 1, n]`, of which
   * `chosen [used, n]` names the experts → `[out, used, n]`.
   */
  expertMatmul(weights: Tensor, x: Tensor, chosen: Tensor): Tensor {
    return { pointer: this.ggml.mulMatId(this.context, weights.pointer, x.pointer, chosen.pointer) }
  }

  /** Adds to `x [out, used, n]` the columns of `biases [out, experts]` that `chosen [used, n]` names. */
  addExpertBias(x: Tensor, biases: Tensor, chosen: Tensor): Tensor {
    return { pointer: this.ggml.addId(this.context, x.pointer, biases.pointer, chosen.pointer) }
  }

  /** Rows of a matrix, or of each matrix of a stack: `[columns, m, n]` at `indices [k, n]` → `[columns, k, n]`. */
  rows(matrix: Tensor, indices: Tensor): Tensor {
    return { pointer: this.ggml.getRows(this.context, matrix.pointer, indices.pointer) }
  }

  /**
   * Copies of rows as they are stored: `matrix [columns, m]` at `indices [n]` → `[columns, n]`, both of the type, whose
   * rows take a multiple of 4 bytes.
   */
  storedRows(
    matrix: Tensor,
    type: TensorType,
    columns: number,
    m: number,
    indices: Tensor,
    n: number,
  ): Tensor {
    const words = rowBytes(type, columns) / F32_BYTES
    const as = (tensor: Tensor, to: TensorType, width: number, rows: number): Tensor => {
      // Any extents inside the tensor do: they are overwritten.
      const view = this.view2d(tensor, 0, 1, 0, 0)
      reinterpretRows(view.pointer, to, width, rows)
      return view
    }
    if (type === 'F32') return this.rows(matrix, indices)
    return as(this.rows(as(matrix, 'F32', words, m), indices), type, columns, n)
  }

  /** Writes the rows of `values` into `matrix` at `indices`, converting to its type. */
  scatterRows(matrix: Tensor, values: Tensor, indices: Tensor): Tensor {
    return {
      pointer: this.ggml.setRows(this.context, matrix.pointer, values.pointer, indices.pointer),
    }
  }

  /** Root-mean-square norm along dim 0, times `weight`. */
  rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
    return this.multiply(this.unitNorm(x, epsilon), weight)
  }

  /** {@link rmsNorm} without a weight. */
  unitNorm(x: Tensor, epsilon: number): Tensor {
    return { pointer: this.ggml.rmsNorm(this.context, x.pointer, epsilon) }
  }

  /** `gelu(gate) * up`, GELU by its tanh approximation. */
  geglu(gate: Tensor, up: Tensor): Tensor {
    return { pointer: this.ggml.gegluSplit(this.context, gate.pointer, up.pointer) }
  }

  /** `silu(gate) * up` of the two halves of dim 0. */
  swigluHalves(gateAndUp: Tensor): Tensor {
    return { pointer: this.ggml.swiglu(this.context, gateAndUp.pointer) }
  }

  /** `silu(gate) * up`. */
  swiglu(gate: Tensor, up: Tensor): Tensor {
    return { pointer: this.ggml.swigluSplit(this.context, gate.pointer, up.pointer) }
  }

  /**
   * `gate · sigmoid(slope · gate) · (up + 1)`, `gate` cut off above `limit` and `up` at both sides: what gpt-oss has
   * in place of SwiGLU.
   */
  clippedSwiglu(gate: Tensor, up: Tensor, slope: number, limit: number): Tensor {
    return { pointer: this.ggml.swigluOai(this.context, gate.pointer, up.pointer, slope, limit) }
  }

  divide(a: Tensor, b: Tensor): Tensor {
    return { pointer: this.ggml.div(this.context, a.pointer, b.pointer) }
  }

  scale(x: Tensor, factor: number): Tensor {
    return { pointer: this.ggml.scale(this.context, x.pointer, factor) }
  }

  /** `cap · tanh(x / cap)`. */
  softcap(x: Tensor, cap: number): Tensor {
    return this.scale({ pointer: this.ggml.tanh(this.context, this.scale(x, 1 / cap).pointer) }, cap)
  }

  /** `x · factor + addend`. */
  affine(x: Tensor, factor: number, addend: number): Tensor {
    return { pointer: this.ggml.scaleBias(this.context, x.pointer, factor, addend) }
  }

  floor(x: Tensor): Tensor {
    return { pointer: this.ggml.floor(this.context, x.pointer) }
  }

  /** Natural logarithm. */
  log(x: Tensor): Tensor {
    return { pointer: this.ggml.log(this.context, x.pointer) }
  }

  toFloat32(x: Tensor): Tensor {
    return { pointer: this.ggml.cast(this.context, x.pointer, tensorTypes.F32.id) }
  }

  sigmoid(x: Tensor): Tensor {
    return { pointer: this.ggml.sigmoid(this.context, x.pointer) }
  }

  /** Along dim 0. */
  softmax(x: Tensor): Tensor {
    return { pointer: this.ggml.softMax(this.context, x.pointer) }
  }

  /** Sums along dim 0, which becomes 1. */
  sums(x: Tensor): Tensor {
    return { pointer: this.ggml.sumRows(this.context, x.pointer) }
  }

  /** Values below `floor` become it. */
  atLeast(x: Tensor, floor: number): Tensor {
    return { pointer: this.ggml.clamp(this.context, x.pointer, floor, Number.POSITIVE_INFINITY) }
  }

  /** Indices along dim 0 of the `count` largest values, largest first, I32. */
  largest(x: Tensor, count: number): Tensor {
    return { pointer: this.ggml.argsortTopK(this.context, x.pointer, count) }
  }

  /** Index of the largest value of each row, I32. */
  largestPlace(matrix: Tensor): Tensor {
    return { pointer: this.ggml.argmax(this.context, matrix.pointer) }
  }

  /** A tensor of the same shape that is `value` throughout. */
  filled(like: Tensor, value: number): Tensor {
    return { pointer: this.ggml.fill(this.context, like.pointer, value) }
  }

  /** Repeats dims until the tensor is `[ne0, ne1, ne2]`. */
  repeat3d(x: Tensor, ne0: number, ne1: number, ne2: number): Tensor {
    return { pointer: this.ggml.repeat4d(this.context, x.pointer, ne0, ne1, ne2, 1) }
  }

  /** One after the other along dim 0. */
  concat(a: Tensor, b: Tensor): Tensor {
    return { pointer: this.ggml.concat(this.context, a.pointer, b.pointer, 0) }
  }

  /** `[a, b, c, …]` seen as `[a, c, b, …]`, without a copy. */
  swapOuter(x: Tensor): Tensor {
    return { pointer: this.ggml.permute(this.context, x.pointer, 0, 2, 1, 3) }
  }

  /** `[a, b, c]` seen as `[b, a, c]`, without a copy. */
  swapInner(x: Tensor): Tensor {
    return { pointer: this.ggml.permute(this.context, x.pointer, 1, 0, 2, 3) }
  }

  /** A copy in which elements lie one after the other. */
  contiguous2d(x: Tensor, columns: number, rows: number): Tensor {
    return { pointer: this.ggml.cont2d(this.context, x.pointer, columns, rows) }
  }

  reshape2d(x: Tensor, columns: number, rows: number): Tensor {
    return { pointer: this.ggml.reshape2d(this.context, x.pointer, columns, rows) }
  }

  reshape3d(x: Tensor, ne0: number, ne1: number, ne2: number): Tensor {
    return { pointer: this.ggml.reshape3d(this.context, x.pointer, ne0, ne1, ne2) }
  }

  reshape4d(x: Tensor, ne0: number, ne1: number, ne2: number, ne3: number): Tensor {
    return { pointer: this.ggml.reshape4d(this.context, x.pointer, ne0, ne1, ne2, ne3) }
  }

  /** The same elements without gaps; a copy only where there are any. */
  contiguous(x: Tensor): Tensor {
    return this.ggml.isContiguous(x.pointer) ? x : { pointer: this.ggml.cont(this.context, x.pointer) }
  }

  /** The same elements without gaps, in memory that nothing else of the graph uses as long as nothing reads the copy. */
  copy(x: Tensor): Tensor {
    return { pointer: this.ggml.cont(this.context, x.pointer) }
  }

  view2d(x: Tensor, columns: number, rows: number, rowStride: number, offset: number): Tensor {
    return { pointer: this.ggml.view2d(this.context, x.pointer, columns, rows, rowStride, offset) }
  }

  /** Each row of a float32 matrix, which may lie apart from the next, cut into `count` vectors: `[dim, count, rows]`. */
  splitRows(x: Tensor, dim: number, count: number, rows: number): Tensor {
    return this.view3d(x, [dim, count, rows], [dim * F32_BYTES, rowStride(x.pointer)], 0)
  }

  view3d(
    x: Tensor,
    extents: readonly [number, number, number],
    strides: readonly [number, number],
    offset: number,
  ): Tensor {
    return {
      pointer: this.ggml.view3d(this.context, x.pointer, ...extents, ...strides, offset),
    }
  }

  rope(x: Tensor, positions: Tensor, settings: RopeSettings): Tensor {
    const { layout, dims, originalContext, base, scale, extrapolation } = settings
    return {
      pointer: this.ggml.ropeExt(
        this.context,
        x.pointer,
        positions.pointer,
        settings.factors?.pointer ?? null,
        dims,
        layout === 'halves' ? 2 : 0,
        originalContext,
        base,
        scale,
        extrapolation,
        settings.attentionFactor,
        settings.betaFast,
        settings.betaSlow,
      ),
    }
  }

  /**
   * The heads of each token that share a key as so many queries of one head: `q [dim, heads, n]` without gaps →
   * `[dim, heads / kvHeads * n, kvHeads]`.
   */
  foldHeads(q: Tensor, dim: number, heads: number, kvHeads: number, n: number): Tensor {
    if (kvHeads === 1) return this.reshape3d(q, dim, heads * n, 1)
    const group = heads / kvHeads
    const apart = this.reshape4d(q, dim, group, kvHeads, n)
    const turned = this.ggml.permute(this.context, apart.pointer, 0, 1, 3, 2)
    return this.reshape3d({ pointer: this.ggml.cont(this.context, turned) }, dim, group * n, kvHeads)
  }

  /**
   * Attention of `q [headDim, n, heads]` over `k`, `v [headDim, m, kvHeads]` with an additive `mask [m, n]` in F16;
   * scores are summed in float32. The result, `[headDim * heads, n]`, is written into rows of `into` from `firstRow` on:
   * one result for many sequences without a copy for each. Expanded at once, so that what reads `into` comes after it.
   */
  attentionInto(into: Tensor, firstRow: number, operands: AttentionOperands): void {
    this.settle(this.attention(operands), into, firstRow * operands.width)
  }

  /**
   * The same for queries from {@link foldHeads}.
   *
   * @param dim - of a value
   */
  foldedAttentionInto(
    into: Tensor,
    firstRow: number,
    operands: AttentionOperands,
    [dim, heads, kvHeads, n]: readonly [dim: number, heads: number, kvHeads: number, n: number],
  ): void {
    let result = this.attention(operands)
    if (kvHeads > 1) {
      const apart = this.reshape4d({ pointer: result }, dim, kvHeads, heads / kvHeads, n)
      result = this.ggml.cont(this.context, this.swapOuter(apart).pointer)
    }
    this.settle(result, into, firstRow * operands.width)
  }

  /** Copies `x`, which may have gaps, as a float32 matrix into `into`, behind `offset` elements; expanded at once. */
  copyInto(into: Tensor, offset: number, x: Tensor, columns: number, rows: number): void {
    this.settle(this.ggml.cont2d(this.context, x.pointer, columns, rows), into, offset)
  }

  /** Lets an operation write its float32 result into `into`, behind `offset` elements; expanded at once. */
  writeInto(into: Tensor, offset: number, result: Tensor): void {
    this.settle(result.pointer, into, offset)
  }

  private settle(result: Pointer, into: Tensor, offset: number): void {
    makeView(result, into.pointer, offset * F32_BYTES)
    this.expand({ pointer: result })
  }

  private attention({ q, k, v, mask, sinks, scale, softcap }: AttentionOperands): Pointer {
    const pointer = this.ggml.flashAttnExt(
      this.context,
      q.pointer,
      k.pointer,
      v.pointer,
      mask.pointer,
      scale,
      0,
      softcap,
    )
    this.ggml.flashAttnExtSetPrec(pointer, PRECISION_F32)
    if (sinks) this.ggml.flashAttnExtAddSinks(pointer, sinks.pointer)
    return pointer
  }

  /** Float32 matrix `[columns, rows]`, rows from `first` on. */
  f32Rows(x: Tensor, columns: number, first: number, rows: number): Tensor {
    const stride = columns * F32_BYTES
    return this.view2d(x, columns, rows, stride, first * stride)
  }
}
