import type { ModelConfig } from '@deos/domain'
import type { Backend } from '../ggml/backend.ts'
import type { Tensor } from '../ggml/graph-builder.ts'
import type { Pointer } from '../ggml/library.ts'
import { rowBytes, tensorTypes } from '../ggml/tensor-type.ts'
import type { KvType } from './kv-type.ts'
import { PageTable } from './page-table.ts'

export interface KvCacheOptions {
  readonly type: KvType
  readonly pageCount: number
  /** Tokens in a page. */
  readonly pageTokens: number
}

/** K and V of some positions of one layer, each `[positions, kvHeads * headDim]` in the cache's type. */
export interface KvBlock {
  readonly k: Uint8Array
  readonly v: Uint8Array
}

/** The system hands out zeroed memory for allocations from here on; smaller ones may be recycled. */
const FRESH_MEMORY_BYTES = 64 * 1024 * 1024

/** Bytes that one page takes in a stage of `layers` layers. */
export function kvPageBytes(
  config: ModelConfig,
  layers: number,
  { type, pageTokens }: Pick<KvCacheOptions, 'type' | 'pageTokens'>,
): number {
  return 2 * layers * pageTokens * rowBytes(type, config.kvHeads * config.headDim)
}

/**
 * K and V of a stage: per layer two matrices `[cells, kvHeads * headDim]`, and the table that says whose cells they
 * are. Memory is touched only where positions were stored.
 */
export class KvCache {
  readonly pages: PageTable
  readonly rowBytes: number
  private readonly context: Pointer
  private readonly buffer: Pointer
  private readonly layers: readonly { readonly k: Tensor; readonly v: Tensor }[]

  constructor(
    private readonly backend: Backend,
    config: ModelConfig,
    readonly layerCount: number,
    readonly options: KvCacheOptions,
  ) {
    const { ggml } = backend
    const columns = config.kvHeads * config.headDim
    this.pages = new PageTable(options.pageCount, options.pageTokens)
    this.rowBytes = rowBytes(options.type, columns)
    this.context = ggml.init({
      mem_size: ggml.tensorOverhead() * (2 * layerCount + 2) + 1024,
      mem_buffer: null,
      no_alloc: true,
    })
    const matrix = () => ({
      pointer: ggml.newTensor2d(this.context, tensorTypes[options.type].id, columns, this.pages.cells),
    })
    this.layers = Array.from({ length: layerCount }, () => ({ k: matrix(), v: matrix() }))
    this.buffer = ggml.allocContextTensors(this.context, backend.bufferType)
    if (!this.buffer) {
      ggml.free(this.context)
      const size = kvPageBytes(config, layerCount, options) * options.pageCount
      throw new RangeError(`A KV cache of ${size} bytes does not fit on ${backend.device.name}.`)
    }
    // A masked cell contributes 0 × its value, and 0 × NaN is NaN: recycled memory must not hold any.
    if (!backend.isHost || ggml.bufferSize(this.buffer) < FRESH_MEMORY_BYTES) ggml.bufferClear(this.buffer, 0)
  }

  layer(index: number): { readonly k: Tensor; readonly v: Tensor } {
    const layer = this.layers[index]
    if (!layer) throw new RangeError(`The KV cache has ${this.layerCount} layers, not layer ${index}.`)
    return layer
  }

  /** Copies positions `[first, end)` of one of the stage's layers out of the cache. */
  export(sequence: number, layer: number, first: number, end: number): KvBlock {
    const block = {
      k: new Uint8Array((end - first) * this.rowBytes),
      v: new Uint8Array((end - first) * this.rowBytes),
    }
    this.transfer(sequence, layer, first, end, block, this.backend.ggml.tensorGet)
    return block
  }

  /**
   * Stores positions `[first, first + block rows)`; the sequence must have been extended to hold them.
   *
   * @throws RangeError if the block is not whole rows, or K and V differ in size
   */
  import(sequence: number, layer: number, first: number, block: KvBlock): void {
    const rows = block.k.byteLength / this.rowBytes
    if (!Number.isInteger(rows) || block.v.byteLength !== block.k.byteLength) {
      throw new RangeError(
        `A KV block must be whole rows of ${this.rowBytes} bytes in K and V alike, got ${block.k.byteLength} and ${block.v.byteLength}.`,
      )
    }
    this.transfer(sequence, layer, first, first + rows, block, this.backend.ggml.tensorSet)
  }

  close(): void {
    this.backend.ggml.bufferFree(this.buffer)
    this.backend.ggml.free(this.context)
  }

  private transfer(
    sequence: number,
    layer: number,
    first: number,
    end: number,
    block: KvBlock,
    move: (tensor: Pointer, data: Uint8Array, offset: number, size: number) => void,
  ): void {
    const { k, v } = this.layer(layer)
    for (const run of this.pages.runs(sequence, first, end)) {
      const from = (run.position - first) * this.rowBytes
      const size = run.length * this.rowBytes
      move(k.pointer, block.k.subarray(from, from + size), run.cell * this.rowBytes, size)
      move(v.pointer, block.v.subarray(from, from + size), run.cell * this.rowBytes, size)
    }
  }
}
