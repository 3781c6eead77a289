import type { Backend } from '../ggml/backend.ts'
import { GraphBuilder, type Tensor } from '../ggml/graph-builder.ts'
import { GraphMemory } from '../ggml/graph-memory.ts'
import { preferHugePages } from '../ggml/huge-pages.ts'
import type { Pointer } from '../ggml/library.ts'
import { quantizeRows } from '../ggml/quantize.ts'
import { rowBytes, type TensorType, tensorBytes } from '../ggml/tensor-type.ts'
import { newTensor, repackingFor } from '../stage/matrix-memory.ts'

export interface ChainShape {
  readonly type: TensorType
  /** Rows and columns of each matrix. */
  readonly width: number
  readonly count: number
}

const USAGE_WEIGHTS = 1
/** Random rows, repeated: products cost the same whatever the values are. */
const DISTINCT_ROWS = 64
const NORM_EPSILON = 1e-5
const NODES_PER_MATRIX = 2

/** Matrices in the memory of a device, lying as those of a stage lie, through which vectors pass one after another. */
export class MatrixChain {
  readonly #context: Pointer
  readonly #buffers: Pointer[] = []
  readonly #matrices: readonly Tensor[]
  readonly #memory: GraphMemory
  readonly weightBytes: number

  /** @throws RangeError if the device has not enough memory */
  constructor(
    private readonly backend: Backend,
    private readonly shape: ChainShape,
  ) {
    const { ggml } = backend
    const { type, width, count } = shape
    this.weightBytes = count * tensorBytes(type, [width, width])
    this.#context = ggml.init({
      mem_size: ggml.tensorOverhead() * (count + 1),
      mem_buffer: null,
      no_alloc: true,
    })
    this.#memory = new GraphMemory(backend)
    try {
      this.#matrices = this.#place()
    } catch (error) {
      this.close()
      throw error
    }
  }

  close(): void {
    const { ggml } = this.backend
    this.#memory.close()
    for (const buffer of this.#buffers) ggml.bufferFree(buffer)
    ggml.free(this.#context)
  }

  /**
   * How long it takes until so many vectors are through all matrices.
   *
   * @param budgetMs - repetitions end when they took this long; there is at least one, after one that is not counted
   * @returns milliseconds, the median of the repetitions
   */
  async measure(tokens: number, budgetMs: number): Promise<number> {
    const { ggml } = this.backend
    const maxNodes = 16 + NODES_PER_MATRIX * this.shape.count
    const context = ggml.init({
      mem_size: maxNodes * ggml.tensorOverhead() + ggml.graphOverheadCustom(maxNodes, false),
      mem_buffer: null,
      no_alloc: true,
    })
    try {
      const builder = new GraphBuilder(ggml, context, maxNodes)
      const input = builder.input('F32', this.shape.width, tokens)
      let hidden = input
      for (const matrix of this.#matrices) {
        hidden = builder.unitNorm(builder.matmul(matrix, hidden), NORM_EPSILON)
      }
      builder.output(hidden)
      if (!this.#memory.lay(builder.graph)) {
        throw new RangeError(`No memory for ${tokens} vectors on ${this.backend.device.name}.`)
      }
      const values = noise(this.shape.width * tokens)
      ggml.tensorSet(input.pointer, values, 0, values.byteLength)
      return await this.#repeat(builder.graph, budgetMs)
    } finally {
      ggml.free(context)
    }
  }

  async #repeat(graph: Pointer, budgetMs: number): Promise<number> {
    await this.backend.compute(graph)
    const times: number[] = []
    const beganMs = performance.now()
    do {
      const startMs = performance.now()
      await this.backend.compute(graph)
      times.push(performance.now() - startMs)
    } while (performance.now() - beganMs < budgetMs)
    return times.sort((a, b) => a - b)[times.length >> 1]!
  }

  #place(): readonly Tensor[] {
    const { backend, shape } = this
    const { ggml } = backend
    const info = { name: 'benchmark.weight', type: shape.type, shape: [shape.width, shape.width] }
    const bufferType = repackingFor(backend, info) ?? backend.bufferType
    const data = randomMatrix(shape)
    return Array.from({ length: shape.count }, () => {
      const pointer = newTensor(ggml, this.#context, info)
      const sizeBytes = ggml.bufferTypeAllocSize(bufferType, pointer)
      const buffer = ggml.bufferTypeAlloc(bufferType, sizeBytes)
      if (!buffer) {
        throw new RangeError(`${this.weightBytes} bytes of weights do not fit on ${backend.device.name}.`)
      }
      this.#buffers.push(buffer)
      ggml.bufferSetUsage(buffer, USAGE_WEIGHTS)
      if (backend.isHost) preferHugePages(ggml.bufferBase(buffer), sizeBytes)
      ggml.tensorAlloc(buffer, pointer, ggml.bufferBase(buffer))
      ggml.tensorSet(pointer, data, 0, data.byteLength)
      return { pointer }
    })
  }
}

/** Values in [-1, 1), the same every time. */
function noise(length: number): Float32Array {
  let state = 1
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return state / 2 ** 31
  })
}

function randomMatrix({ type, width }: ChainShape): Uint8Array {
  const some = quantizeRows(type, noise(DISTINCT_ROWS * width), width)
  const matrix = new Uint8Array(width * rowBytes(type, width))
  for (let offset = 0; offset < matrix.length; offset += some.length) {
    matrix.set(some.subarray(0, matrix.length - offset), offset)
  }
  return matrix
}
