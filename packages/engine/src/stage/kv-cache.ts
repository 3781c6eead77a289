import { type KvPart, kvWidths, type ModelConfig } from '@deos/domain'
import type { Backend } from '../ggml/backend.ts'
import type { Tensor } from '../ggml/graph-builder.ts'
import type { Pointer } from '../ggml/library.ts'
import { rowBytes, tensorTypes } from '../ggml/tensor-type.ts'
import { attentionShape } from './attention-shape.ts'
import { ContextPages } from './context-pages.ts'
import type { StoredRows } from './kv-encoding.ts'
import { KvRotation, rotationSizes } from './kv-rotation.ts'
import type { KvType } from './kv-type.ts'
import { PageTable } from './page-table.ts'

export interface KvCacheOptions {
  readonly type: KvType
  readonly pageCount: number
  /** Tokens in a page. */
  readonly pageTokens: number
  /** Where several ranks store the pages: which of how many this is. */
  readonly context?: { readonly index: number; readonly ranks: number }
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
  /** Null where all pages are stored here. */
  readonly contextPages: ContextPages | null
  /** Bytes of one position in one layer. */
  readonly cellBytes: { readonly k: number; readonly v: number }
  /** How heads are turned before they are stored. */
  readonly rotation: KvRotation
  /** Rows of the matrices of each part. */
  readonly rows: Readonly<Record<KvPart, StoredRows>>
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
    const { context } = options
    this.contextPages = context ? new ContextPages(this.pages, context.index, context.ranks) : null
    this.cellBytes = cellBytes(config, options.type)
    this.context = ggml.init({
      mem_size: ggml.tensorOverhead() * (2 * layerCount + 2) + 1024,
      mem_buffer: null,
      no_alloc: true,
    })
    const matrix = (columns: number) => ({
      pointer: ggml.newTensor2d(
        this.context,
        tensorTypes[options.type].id,
        columns,
        (this.contextPages ?? this.pages).cells,
      ),
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
    this.rows = {
      key: { type: options.type, columns: k, turned: sizes.key },
      value: { type: options.type, columns: v, turned: sizes.value },
    }
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

  /** Copies bytes of one of the matrices, from `offset` on. */
  read(matrix: Tensor, offset: number, into: Uint8Array): void {
    this.backend.ggml.tensorGet(matrix.pointer, into, offset, into.byteLength)
  }

  /** Stores bytes in one of the matrices, from `offset` on. */
  write(matrix: Tensor, offset: number, data: Uint8Array): void {
    this.backend.ggml.tensorSet(matrix.pointer, data, offset, data.byteLength)
  }

  close(): void {
    this.rotation.close()
    this.backend.ggml.bufferFree(this.buffer)
    this.backend.ggml.free(this.context)
  }
}
