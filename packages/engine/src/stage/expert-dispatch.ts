import type { DispatchedExperts } from '../architectures/index.ts'
import type { Backend } from '../ggml/backend.ts'
import type { GraphBuilder, Tensor } from '../ggml/graph-builder.ts'
import { type LastDim, lastDim, shorten } from '../ggml/tensor-struct.ts'
import type { RankParts } from './rank-parts.ts'

export interface DispatchParts {
  readonly backend: Backend
  readonly rank: RankParts
  readonly hiddenSize: number
  /** Experts each token goes through. */
  readonly used: number
  /** Tokens. */
  readonly rows: number
}

/**
 * A layer's experts, of which some lie here: which tokens come to them is known when the router has been computed. Only
 * those are computed, in a part of the graph that has room for all and is shortened to as many as come.
 */
export class ExpertDispatch {
  /** Where the sum over all ranks lies in the end. */
  readonly result: Tensor
  /** How many times a token comes to an expert that lies here. */
  count = 0
  private readonly room: number
  private readonly chosen: Tensor
  private readonly weights: Tensor
  private readonly tokenOf: Tensor
  private readonly expertOf: Tensor
  private readonly weightOf: Tensor
  private computed: Tensor | null = null
  /** What is as long as there are tokens that come. */
  private lengths: readonly (LastDim & { readonly tensor: Tensor })[] = []
  private tokens = new Int32Array()
  private readonly values: Float32Array

  /** Adds the router to the graph; the experts are added by {@link build}. */
  constructor(
    private readonly parts: DispatchParts,
    private readonly builder: GraphBuilder,
    private readonly experts: DispatchedExperts,
  ) {
    const { rows, used, hiddenSize } = parts
    this.room = rows * used
    this.chosen = builder.copy(experts.chosen)
    this.weights = builder.copy(experts.weights)
    // Nobody reads the input any more when the sum is there.
    this.result = experts.shared ?? experts.x
    for (const tensor of [this.chosen, this.weights, experts.x, this.result]) builder.expand(tensor)
    this.tokenOf = builder.input('I32', this.room)
    this.expertOf = builder.input('I32', 1, this.room)
    this.weightOf = builder.input('F32', 1, this.room)
    this.values = new Float32Array(rows * hiddenSize)
  }

  build(): void {
    const { builder, experts, room, parts } = this
    const { ggml } = parts.backend
    const first = ggml.graphNodeCount(builder.graph)
    const rows = builder.rows(experts.x, this.tokenOf)
    this.computed = experts.compute({
      x: builder.reshape3d(rows, parts.hiddenSize, 1, room),
      chosen: this.expertOf,
      weights: builder.reshape3d(this.weightOf, 1, 1, room),
      ...{ width: 1, rows: room },
    })
    builder.expand(this.computed)
    const nodes = Array.from({ length: ggml.graphNodeCount(builder.graph) - first }, (_, index) => ({
      pointer: ggml.graphNode(builder.graph, first + index),
    }))
    const tensors = [this.tokenOf, this.expertOf, this.weightOf, ...nodes]
    this.lengths = room === 1 ? [] : tensors.map((tensor) => ({ tensor, ...lastDim(tensor.pointer) }))
    if (this.lengths.some(({ extent }) => extent !== room)) {
      throw new Error('What experts compute is not as long as there are tokens.')
    }
  }

  /** Finds the tokens that come here, once the router is computed. */
  take(): Promise<void> {
    const { rank } = this.parts
    const { first, end } = rank.experts!
    const chosen = new Int32Array(this.room)
    const weights = new Float32Array(this.room)
    this.read(this.chosen, chosen)
    this.read(this.weights, weights)
    const taken: number[] = []
    for (const [index, expert] of chosen.entries()) if (expert >= first && expert < end) taken.push(index)
    this.count = taken.length
    this.tokens = Int32Array.from(taken, (index) => Math.floor(index / this.parts.used))
    if (this.count > 0) {
      for (const { tensor, dim } of this.lengths) shorten(tensor.pointer, dim, this.count)
      this.write(this.tokenOf, this.tokens)
      this.write(
        this.expertOf,
        Int32Array.from(taken, (index) => chosen[index]! - first),
      )
      this.write(
        this.weightOf,
        Float32Array.from(taken, (index) => weights[index]!),
      )
    }
    return Promise.resolve()
  }

  /** Adds up each token's results, those of all ranks. */
  async combine(): Promise<void> {
    const { hiddenSize, rank } = this.parts
    const { values } = this
    if (this.experts.shared) this.read(this.result, values)
    else values.fill(0)
    if (this.count > 0) {
      const results = new Float32Array(this.count * hiddenSize)
      this.read(this.computed!, results)
      for (const [index, token] of this.tokens.entries()) {
        const [from, into] = [index * hiddenSize, token * hiddenSize]
        for (let column = 0; column < hiddenSize; column += 1)
          values[into + column]! += results[from + column]!
      }
    }
    await rank.sum('feedForward', values)
    this.write(this.result, values)
  }

  private read(tensor: Tensor, into: Int32Array | Float32Array): void {
    this.parts.backend.ggml.tensorGet(tensor.pointer, into, 0, into.byteLength)
  }

  private write(tensor: Tensor, data: Int32Array | Float32Array): void {
    this.parts.backend.ggml.tensorSet(tensor.pointer, data, 0, data.byteLength)
  }
}
