import { DomainError, type KvSlice, type KvSliceWrite } from '@deos/domain'
import type { Tensor } from '../ggml/graph-builder.ts'
import type { KvCache } from './kv-cache.ts'
import { areModerate, decodeRows, encodedRowBytes, encodeRows, type StoredRows } from './kv-encoding.ts'
import type { CellRun } from './page-table.ts'

/** A slice that the stage cannot give or take. */
export class KvSliceError extends DomainError {
  readonly code = 'KV_SLICE'
  readonly retriable = false
}

/** A part's rows in the matrices of the cache, and their matrix in one layer. */
interface Place {
  readonly rows: StoredRows
  readonly matrix: Tensor
  readonly runs: readonly CellRun[]
}

/** Moves slices of K and V between a cache and bytes that mean the same on every machine. */
export class KvSlices {
  constructor(
    private readonly kv: KvCache,
    /** First of the cache's layers in the model. */
    private readonly firstLayer: number,
  ) {}

  /** @returns `[positions, columns]` in the slice's encoding */
  read(slice: KvSlice): Uint8Array {
    const { rows, matrix, runs } = this.place(slice)
    const size = encodedRowBytes(rows, 'stored')
    const { first, end } = slice.positions
    const stored = new Uint8Array((end - first) * size)
    for (const run of runs) {
      const from = (run.position - first) * size
      this.kv.read(matrix, run.cell * size, stored.subarray(from, from + run.length * size))
    }
    const data = encodeRows(rows, slice.encoding, stored)
    if (data !== stored && !areModerate('F16', data)) {
      throw new KvSliceError(
        `Values of the ${slice.part}s of layer ${slice.layer} are too large for float16.`,
        'Read them as they are stored.',
      )
    }
    return data
  }

  write(slice: KvSliceWrite): void {
    const { rows, matrix, runs } = this.place(slice)
    this.checkWrite(slice, rows)
    const stored = decodeRows(rows, slice.encoding, slice.data)
    // Scales may become infinite where values did not.
    if (!areModerate(rows.type, stored)) throw immoderate()
    const size = encodedRowBytes(rows, 'stored')
    for (const run of runs) {
      const from = (run.position - slice.positions.first) * size
      this.kv.write(matrix, run.cell * size, stored.subarray(from, from + run.length * size))
    }
  }

  private place(slice: KvSlice): Place {
    const { layer, part } = slice
    const index = layer - this.firstLayer
    if (!(Number.isInteger(layer) && index >= 0 && index < this.kv.layerCount)) {
      const end = this.firstLayer + this.kv.layerCount
      throw new KvSliceError(
        `The stage holds layers [${this.firstLayer}, ${end}), not layer ${layer}.`,
        'Ask the stage that holds the layer.',
      )
    }
    const { k, v } = this.kv.layer(index)
    const matrix = part === 'key' ? k : v
    if (matrix === null) {
      throw new KvSliceError(
        'The model has latent attention: its values are read out of the keys.',
        'Move keys only.',
      )
    }
    return { rows: this.kv.rows[part], matrix, runs: this.runs(slice) }
  }

  /** Cells of the positions, in as few runs as the pages allow. */
  private runs({ pages, positions: { first, end } }: KvSlice): readonly CellRun[] {
    const { pageTokens, pageCount } = this.kv.pages
    const isRange = Number.isInteger(first) && Number.isInteger(end) && first >= 0 && first < end
    if (!isRange || end > pages.length * pageTokens) {
      throw new KvSliceError(
        `Positions [${first}, ${end}) are no part of ${pages.length} pages of ${pageTokens}.`,
        'Give a range with a beginning below its end, counted from the first page.',
      )
    }
    const foreign = pages.find((page) => !(Number.isInteger(page) && page >= 0 && page < pageCount))
    if (foreign !== undefined) {
      throw new KvSliceError(
        `There is no page ${foreign} in a KV pool of ${pageCount}.`,
        'Give pages of this ring.',
      )
    }
    const runs: { cell: number; position: number; length: number }[] = []
    for (let position = first; position < end; ) {
      const inPage = position % pageTokens
      const cell = pages[(position - inPage) / pageTokens]! * pageTokens + inPage
      const length = Math.min(pageTokens - inPage, end - position)
      const last = runs.at(-1)
      if (last && last.cell + last.length === cell) last.length += length
      else runs.push({ cell, position, length })
      position += length
    }
    return runs
  }

  private checkWrite({ pages, positions, encoding, data, refines = false }: KvSliceWrite, rows: StoredRows) {
    const size = (positions.end - positions.first) * encodedRowBytes(rows, encoding)
    if (data.byteLength !== size) {
      throw new KvSliceError(
        `${positions.end - positions.first} positions of ${rows.columns} values are ${size} bytes, not ${data.byteLength}.`,
        'The sender has another model, or another KV type.',
      )
    }
    const used = pages.slice(
      Math.floor(positions.first / this.kv.pages.pageTokens),
      Math.ceil(positions.end / this.kv.pages.pageTokens),
    )
    if (new Set(used).size !== used.length) {
      throw new KvSliceError('A page appears twice.', 'Give each page of a sequence once.')
    }
    const held = refines ? undefined : used.find((page) => this.kv.pages.isHeld(page))
    if (held !== undefined) {
      throw new KvSliceError(
        `An open session holds page ${held}.`,
        'Write before the session is opened, or say that the slice refines what it holds.',
      )
    }
    if (encoding === 'f16' && !areModerate('F16', data)) throw immoderate()
  }
}

const immoderate = () =>
  new KvSliceError(
    'The slice has values that are not numbers, or too large for float16.',
    'The sender is broken or lies; compute the positions again.',
  )
