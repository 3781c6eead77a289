import type { Basis } from './basis.ts'
import { TILE_COLUMNS, TILE_ROWS } from './simd-module.ts'
import { reserveTiles } from './tile-product.ts'

/**
 * `left [rows, inner] · rightᵀ [columns, inner]` into `[rows, columns]`: nearly all the arithmetic of the codec. A
 * caller with faster products hands in its own.
 */
export type MultiplyTransposed = (left: Float32Array, right: Float32Array, inner: number) => Float32Array

export const multiplyTransposed: MultiplyTransposed = (left, right, inner) =>
  multiplyPacked(left, inner, right.length / inner, (into, at, from, count) => {
    if (count < TILE_ROWS) {
      for (let row = 0; row < count; row += 1)
        for (let k = 0; k < inner; k += 1) into[at + k * TILE_ROWS + row] = right[(from + row) * inner + k]!
      return
    }
    const [first, second, third, fourth] = [0, 1, 2, 3].map((row) => (from + row) * inner) as Four
    for (let k = 0, to = at; k < inner; k += 1, to += TILE_ROWS) {
      into[to] = right[first + k]!
      into[to + 1] = right[second + k]!
      into[to + 2] = right[third + k]!
      into[to + 3] = right[fourth + k]!
    }
  })

/** `left [rows, inner] · right [inner, columns]` into `[rows, columns]`. */
function multiply(left: Float32Array, right: Float32Array, inner: number): Float32Array {
  const columns = right.length / inner
  return multiplyPacked(left, inner, columns, (into, at, from, count) => {
    for (let k = 0, place = from, to = at; k < inner; k += 1, place += columns, to += TILE_ROWS)
      for (let column = 0; column < count; column += 1) into[to + column] = right[place + column]!
  })
}

type Four = [number, number, number, number]

/** Rows of the left factor at a time, and floats of the right one: what stays in caches near the arithmetic. */
const PANEL_ROWS = 128
const PANEL_FLOATS = 1 << 17

/** Puts `count` columns of the right factor from one on into a tile `[inner, 4]` that is all 0. */
type PackTile = (into: Float32Array, at: number, from: number, count: number) => void

/** The columns of the result are rows of the tiles, since the left factor, a block's tokens, is the smaller. */
function multiplyPacked(left: Float32Array, inner: number, columns: number, pack: PackTile): Float32Array {
  const rows = left.length / inner
  const result = new Float32Array(rows * columns)
  const tileFloats = TILE_ROWS * inner
  const panelColumns = TILE_ROWS * Math.max(1, Math.floor(PANEL_FLOATS / tileFloats))
  const panelRows = Math.min(PANEL_ROWS, TILE_COLUMNS * Math.ceil(rows / TILE_COLUMNS))
  for (let firstColumn = 0; firstColumn < columns; firstColumn += panelColumns) {
    const ownColumns = Math.min(panelColumns, columns - firstColumn)
    const rowTiles = Math.ceil(ownColumns / TILE_ROWS)
    const space = reserveTiles(rowTiles * tileFloats, panelRows * inner, rowTiles * TILE_ROWS * panelRows)
    space.left.fill(0, (rowTiles - 1) * tileFloats)
    for (let from = 0; from < ownColumns; from += TILE_ROWS)
      pack(space.left, from * inner, firstColumn + from, Math.min(TILE_ROWS, ownColumns - from))
    for (let firstRow = 0; firstRow < rows; firstRow += PANEL_ROWS) {
      const ownRows = Math.min(PANEL_ROWS, rows - firstRow)
      const columnTiles = Math.ceil(ownRows / TILE_COLUMNS)
      packRows(space.right, left, firstRow, ownRows, inner)
      space.multiply(0, inner, rowTiles, columnTiles)
      const width = columnTiles * TILE_COLUMNS
      for (let row = 0; row < ownRows; row += 1) {
        const to = (firstRow + row) * columns + firstColumn
        for (let column = 0, at = row; column < ownColumns; column += 1, at += width)
          result[to + column] = space.result[at]!
      }
    }
  }
  return result
}

/** Rows of `[rows, inner]` into tiles `[inner, 8]`; where the last is not whole there are zeros. */
function packRows(into: Float32Array, from: Float32Array, first: number, count: number, inner: number): void {
  const whole = count - (count % TILE_COLUMNS)
  if (whole < count) into.fill(0, whole * inner)
  for (let row = 0; row < count; row += 1) {
    const start = (first + row) * inner
    let to = (row - (row % TILE_COLUMNS)) * inner + (row % TILE_COLUMNS)
    for (let k = 0; k < inner; k += 1, to += TILE_COLUMNS) into[to] = from[start + k]!
  }
}

/** Factor of each channel: its part's weight. */
export function channelWeights({ parts, channels }: Pick<Basis, 'parts' | 'channels'>): Float32Array {
  const weights = new Float32Array(channels)
  let offset = 0
  for (const part of parts) {
    weights.fill(part.weight, offset, offset + part.channels)
    offset += part.channels
  }
  return weights
}

/**
 * Components `[tokens, rank]` of rows `[tokens, channels]`, less what the reference says of them.
 *
 * @param rank - the first components only
 * @param products - what a caller has, or none
 */
export function analyse(
  basis: Basis,
  rows: Float32Array,
  reference: Float32Array | null,
  rank: number,
  products: MultiplyTransposed = multiplyTransposed,
): Float32Array {
  const { channels, mean, vectors } = basis
  const weights = channelWeights(basis)
  const centred = new Float32Array(rows.length)
  for (let start = 0; start < rows.length; start += channels)
    for (let channel = 0; channel < channels; channel += 1)
      centred[start + channel] = (rows[start + channel]! - mean[channel]!) * weights[channel]!
  const components = products(centred, vectors.subarray(0, rank * channels), channels)
  if (reference === null) return components
  const expected = expectedComponents(basis, reference, rank, products)
  for (let index = 0; index < components.length; index += 1)
    components[index] = components[index]! - expected[index]!
  return components
}

/** Rows `[tokens, channels]` out of the first `rank` components. */
export function synthesise(
  basis: Basis,
  components: Float32Array,
  reference: Float32Array | null,
  rank: number,
  products?: MultiplyTransposed,
): Float32Array {
  const { channels, mean, vectors } = basis
  const whole = components.slice()
  if (reference !== null) {
    const expected = expectedComponents(basis, reference, rank, products ?? multiplyTransposed)
    for (let index = 0; index < whole.length; index += 1) whole[index] = whole[index]! + expected[index]!
  }
  const live = vectors.subarray(0, rank * channels)
  const rows = products ? products(whole, transposed(live, channels), rank) : multiply(whole, live, rank)
  const inverse = channelWeights(basis).map((weight) => 1 / weight)
  for (let start = 0; start < rows.length; start += channels)
    for (let channel = 0; channel < channels; channel += 1)
      rows[start + channel] = rows[start + channel]! * inverse[channel]! + mean[channel]!
  return rows
}

/** `[rows, columns]` as `[columns, rows]`. */
function transposed(matrix: Float32Array, columns: number): Float32Array {
  const rows = matrix.length / columns
  const result = new Float32Array(matrix.length)
  for (let row = 0; row < rows; row += 1)
    for (let column = 0; column < columns; column += 1)
      result[column * rows + row] = matrix[row * columns + column]!
  return result
}

function expectedComponents(
  { referenceChannels, referenceMean, regression }: Basis,
  reference: Float32Array,
  rank: number,
  products: MultiplyTransposed,
): Float32Array {
  const centred = new Float32Array(reference.length)
  for (let start = 0; start < reference.length; start += referenceChannels)
    for (let channel = 0; channel < referenceChannels; channel += 1)
      centred[start + channel] = reference[start + channel]! - referenceMean[channel]!
  return products(centred, regression.subarray(0, rank * referenceChannels), referenceChannels)
}
