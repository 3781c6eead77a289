import type { Ggml, Pointer } from './library.ts'
import { makeView } from './tensor-struct.ts'
import { type TensorType, tensorTypes } from './tensor-type.ts'

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
  readonly scale: number
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

  rows(matrix: Tensor, indices: Tensor): Tensor {
    return { pointer: this.ggml.getRows(this.context, matrix.pointer, indices.pointer) }
  }

  /** Writes the rows of `values` into `matrix` at `indices`, converting to its type. */
  scatterRows(matrix: Tensor, values: Tensor, indices: Tensor): Tensor {
    return {
      pointer: this.ggml.setRows(this.context, matrix.pointer, values.pointer, indices.pointer),
    }
  }

  /** Root-mean-square norm along dim 0, times `weight`. */
  rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
    return this.multiply({ pointer: this.ggml.rmsNorm(this.context, x.pointer, epsilon) }, weight)
  }

  /** `silu(gate) * up`. */
  swiglu(gate: Tensor, up: Tensor): Tensor {
    return { pointer: this.ggml.swigluSplit(this.context, gate.pointer, up.pointer) }
  }

  reshape2d(x: Tensor, columns: number, rows: number): Tensor {
    return { pointer: this.ggml.reshape2d(this.context, x.pointer, columns, rows) }
  }

  reshape3d(x: Tensor, ne0: number, ne1: number, ne2: number): Tensor {
    return { pointer: this.ggml.reshape3d(this.context, x.pointer, ne0, ne1, ne2) }
  }

  view2d(x: Tensor, columns: number, rows: number, rowStride: number, offset: number): Tensor {
    return { pointer: this.ggml.view2d(this.context, x.pointer, columns, rows, rowStride, offset) }
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
   * Attention of `q [headDim, n, heads]` over `k`, `v [headDim, m, kvHeads]` with an additive `mask [m, n]` in F16;
   * scores are summed in float32. The result, `[headDim * heads, n]`, is written into rows of `into` from `firstRow` on:
   * one result for many sequences without a copy for each. Expanded at once, so that what reads `into` comes after it.
   */
  attentionInto(into: Tensor, firstRow: number, { q, k, v, mask, scale, width }: AttentionOperands): void {
    const pointer = this.ggml.flashAttnExt(
      this.context,
      q.pointer,
      k.pointer,
      v.pointer,
      mask.pointer,
      scale,
      0,
      0,
    )
    this.ggml.flashAttnExtSetPrec(pointer, PRECISION_F32)
    makeView(pointer, into.pointer, firstRow * width * F32_BYTES)
    this.expand({ pointer })
  }

  /** Float32 matrix `[columns, rows]`, rows from `first` on. */
  f32Rows(x: Tensor, columns: number, first: number, rows: number): Tensor {
    const stride = columns * F32_BYTES
    return this.view2d(x, columns, rows, stride, first * stride)
  }
}
