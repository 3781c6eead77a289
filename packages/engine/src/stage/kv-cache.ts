import { kvWidths, type ModelConfig } from '@deos/domain'
import type { Backend } from '../ggml/backend.ts'
import type { Tensor } from '../ggml/graph-builder.ts'
import type { Pointer } from '../ggml/library.ts'
import { rowBytes, tensorTypes } from '../ggml/tensor-type.ts'
import { attentionShape } from './attention-shape.ts'
import { KvRotation, rotationSizes } from './kv-rotation.ts'
import type { KvType } from './kv-type.ts'
import { PageTable } from './page-table.ts'

export interface KvCacheOptions {
  readonly type: KvType
  readonly pageCount: number
  /** Tokens in a page. */
  readonly pageTokens: number
}

/** K and V of some positions of one layer, each `[positions, width]` in the cache's type; V is empty where K holds it. */
export interface KvBlock {
  readonly k: Uint8Array
  readonly v: Uint8Array
}

/** The system hands out zeroed memory for allocations from here on; smaller ones may be recycled. */
const FRESH_MEMORY_BYTES = 64 * 1024 * 1024

/** One layer's cells; V is null where it is read out of K (latent attention). */
export interface KvMatrices {
  readonly k: Tensor
  readonly v: Tensor | null
}

/** Bytes that one page takes in a stage of `layers` layers. */
export function kvPageBytes(
  config: ModelConfig,
  layers: number,
  { type, pageTokens }: Pick<KvCacheOptions, 'type' | 'pageTokens'>,
): number {
  const { k, v } = cellBytes(config, type)
  return layers * pageTokens * (k + v)
}

function cellBytes(config: ModelConfig, type: KvType): { readonly k: number; readonly v: number } {
  const { k, v } = kvWidths(config)
  return { k: rowBytes(type, k), v: rowBytes(type, v) }
}

/**
 * K and V of a stage: per layer two matrices `[cells, width]` (only K's for latent attention), and the table that says
 * whose cells they are. Memory is touched only where positions were stored.
 */
export class KvCache {
  readonly pages: PageTable
  /** Bytes of one position in one layer. */
  readonly cellBytes: { readonly k: number; readonly v: number }
  /** How heads are turned before they are stored: what is exported and imported is turned. */
  readonly rotation: KvRotation
  private readonly context: Pointer
  private readonly buffer: Pointer
  private readonly layers: readonly KvMatrices[]

  constructor(
    private readonly backend: Backend,
    config: ModelConfig,
    readonly layerCount: number,
    readonly options: KvCacheOptions,
  ) {
    const { ggml } = backend
    this.pages = new PageTable(options.pageCount, options.pageTokens)
    this.cellBytes = cellBytes(config, options.type)
    this.context = ggml.init({
      mem_size: ggml.tensorOverhead() * (2 * layerCount + 2) + 1024,
      mem_buffer: null,
      no_alloc: true,
    })
    const matrix = (columns: number) => ({
      pointer: ggml.newTensor2d(this.context, tensorTypes[options.type].id, columns, this.pages.cells),
    })
    const { k, v } = kvWidths(config)
    this.layers = Array.from({ length: layerCount }, () => ({ k: matrix(k), v: v === 0 ? null : matrix(v) }))
    this.buffer = ggml.allocContextTensors(this.context, backend.bufferType)
    if (!this.buffer) {
      ggml.free(this.context)
      const size = kvPageBytes(config, layerCount, options) * options.pageCount
      throw new RangeError(`A KV cache of ${size} bytes does not fit on ${backend.device.name}.`)
    }
    const sizes = rotationSizes(attentionShape(config), options.type, v === 0)
    this.rotation = new KvRotation(backend, sizes)
    // A masked cell contributes 0 × its value, and 0 × NaN is NaN: recycled memory must not hold any.
    if (!backend.isHost || ggml.bufferSize(this.buffer) < FRESH_MEMORY_BYTES) ggml.bufferClear(this.buffer, 0)
  }

  /** Whether a position takes whole 32-bit words, so that it can be copied without a look at its type. */
  get rowsAreWords(): boolean {
    return this.cellBytes.k % 4 === 0 && this.cellBytes.v % 4 === 0
  }

  layer(index: number): KvMatrices {
    const layer = this.layers[index]
    if (!layer) throw new RangeError(`The KV cache has ${this.layerCount} layers, not layer ${index}.`)
    return layer
  }

  /** Copies positions `[first, end)` of one of the stage's layers out of the cache. */
  export(sequence: number, layer: number, first: number, end: number): KvBlock {
    const block = {
      k: new Uint8Array((end - first) * this.cellBytes.k),
      v: new Uint8Array((end - first) * this.cellBytes.v),
    }
    this.transfer(sequence, layer, first, end, block, this.backend.ggml.tensorGet)
    return block
  }

  /**
   * Stores positions `[first, first + block rows)`; the sequence must have been extended to hold them.
   *
   * @throws RangeError if the block is not whole positions, as many in V as in K
   */
  import(sequence: number, layer: number, first: number, block: KvBlock): void {
    const { k, v } = this.cellBytes
    const positions = block.k.byteLength / k
    if (!Number.isInteger(positions) || block.v.byteLength !== positions * v) {
      throw new RangeError(
        `A KV block must be whole positions of ${k} bytes in K and ${v} in V, got ${block.k.byteLength} and ${block.v.byteLength}.`,
      )
    }
    this.transfer(sequence, layer, first, first + positions, block, this.backend.ggml.tensorSet)
  }

  close(): void {
    this.rotation.close()
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
    const matrices = this.layer(layer)
    const runs = this.pages.runs(sequence, first, end)
    for (const which of ['k', 'v'] as const) {
      const matrix = matrices[which]
      const bytes = this.cellBytes[which]
      if (matrix === null) continue
      for (const run of runs) {
        const from = (run.position - first) * bytes
        const size = run.length * bytes
        move(matrix.pointer, block[which].subarray(from, from + size), run.cell * bytes, size)
      }
    }
  }
}
