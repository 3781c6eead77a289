import type { KvLayerLayout, KvSlice, KvSliceWrite, LayerRange } from '@deos/domain'
import type { RingCapacity } from '../messages.ts'
import { FakeEngineError } from './fake-engine-error.ts'

/** Values of `pageTokens` positions for each layer of the stage, below 2^32. */
export type Page = number[][]

/** A value's low half is called its key and its high half its value: both are needed, as in a real cache. */
export const fakeLayout: KvLayerLayout = {
  ...{ key: { heads: 1, dim: 1 }, value: { heads: 1, dim: 1 } },
  ...{ valueDimsInKey: 0, rotation: null, reach: null },
}
const SLICE_BYTES = 2

interface Place {
  readonly layers: LayerRange
  readonly capacity: RingCapacity
}

export function readCells(pool: readonly Page[], place: Place, slice: KvSlice): Uint8Array {
  const cells = cellsOf(pool, place, slice)
  const data = new Uint8Array(cells.length * SLICE_BYTES)
  const view = new DataView(data.buffer)
  for (const [index, { values, at }] of cells.entries()) {
    const value = values[at]!
    view.setUint16(index * SLICE_BYTES, slice.part === 'key' ? value & 0xffff : value >>> 16, true)
  }
  return data
}

export function writeCells(pool: readonly Page[], place: Place, slice: KvSliceWrite): void {
  const cells = cellsOf(pool, place, slice)
  const { data, part } = slice
  if (data.byteLength !== cells.length * SLICE_BYTES) {
    throw new FakeEngineError(`${data.byteLength} bytes came for ${cells.length} positions`)
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  for (const [index, { values, at }] of cells.entries()) {
    const half = view.getUint16(index * SLICE_BYTES, true)
    const value = values[at]!
    values[at] = (part === 'key' ? (value & 0xffff0000) | half : (value & 0xffff) | (half << 16)) >>> 0
  }
}

function cellsOf(pool: readonly Page[], { layers, capacity }: Place, slice: KvSlice) {
  const { layer, pages, positions } = slice
  const { pageTokens } = capacity
  if (layer < layers.first || layer >= layers.end) throw new FakeEngineError(`layer ${layer} is not here`)
  const { first, end } = positions
  if (!(first >= 0 && first < end && end <= pages.length * pageTokens)) {
    throw new FakeEngineError(`positions [${first}, ${end}) are not in ${pages.length} pages`)
  }
  return Array.from({ length: end - first }, (_, index) => {
    const page = pages[Math.floor((first + index) / pageTokens)]!
    const values = pool[page]?.[layer - layers.first]
    if (values === undefined) throw new FakeEngineError(`page ${page} does not exist`)
    return { values, at: (first + index) % pageTokens }
  })
}
