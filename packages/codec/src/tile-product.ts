import { simdModule, TILE_COLUMNS, TILE_ROWS } from './simd-module.ts'

/** Memory that products of tiles read and write; places are counts of floats from the beginning of each array. */
export interface TileSpace {
  /** `[rowTiles, inner, 4]` from any place that is a multiple of 4. */
  readonly left: Float32Array
  /** `[columnTiles, inner, 8]` */
  readonly right: Float32Array
  /** `[4·rowTiles, 8·columnTiles]` */
  readonly result: Float32Array
  /**
   * From `leftAt` of left and the beginning of right into the beginning of the result. Products and sums are rounded to
   * single precision in the order of `inner`: every machine gets the same bits.
   */
  multiply(leftAt: number, inner: number, rowTiles: number, columnTiles: number): void
}

/** Gives a space of at least these lengths, holding anything. The one before must not be used any more. */
export type ReserveTiles = (left: number, right: number, result: number) => TileSpace

/** What this file needs of WebAssembly, which not every place that runs JavaScript has. */
declare const WebAssembly:
  | {
      validate(bytes: Uint8Array): boolean
      Module: new (bytes: Uint8Array) => object
      Instance: new (module: object) => { readonly exports: unknown }
    }
  | undefined

interface SimdExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number }
  product(
    left: number,
    right: number,
    result: number,
    inner: number,
    rowTiles: number,
    columnTiles: number,
  ): void
}

const PAGE_BYTES = 65_536

/** Products four at a time, or null where the machine cannot. */
export function simdTiles(): ReserveTiles | null {
  const bytes = simdModule()
  if (typeof WebAssembly === 'undefined' || !WebAssembly.validate(bytes)) return null
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  if (!isSimdExports(exports)) return null
  const { memory, product } = exports
  return (left, right, result) => {
    const [rightStart, resultStart] = [4 * left, 4 * (left + right)]
    const missing = Math.ceil((resultStart + 4 * result - memory.buffer.byteLength) / PAGE_BYTES)
    if (missing > 0) memory.grow(missing)
    const { buffer } = memory
    return {
      left: new Float32Array(buffer, 0, left),
      right: new Float32Array(buffer, rightStart, right),
      result: new Float32Array(buffer, resultStart, result),
      multiply: (leftAt, inner, rowTiles, columnTiles) =>
        product(4 * leftAt, rightStart, resultStart, inner, rowTiles, columnTiles),
    }
  }
}

const isSimdExports = (exports: unknown): exports is SimdExports =>
  typeof exports === 'object' && exports !== null && 'memory' in exports && 'product' in exports

/** The same one at a time, to the same bits. */
export const plainTiles: ReserveTiles = (leftLength, rightLength, resultLength) => {
  const left = new Float32Array(leftLength)
  const right = new Float32Array(rightLength)
  const result = new Float32Array(resultLength)
  const multiply = (leftAt: number, inner: number, rowTiles: number, columnTiles: number) => {
    for (let row = 0; row < rowTiles * TILE_ROWS; row += 1) {
      const from = leftAt + Math.floor(row / TILE_ROWS) * inner * TILE_ROWS + (row % TILE_ROWS)
      for (let column = 0; column < columnTiles * TILE_COLUMNS; column += 1) {
        const start = Math.floor(column / TILE_COLUMNS) * inner * TILE_COLUMNS + (column % TILE_COLUMNS)
        let sum = 0
        for (let k = 0; k < inner; k += 1)
          sum = Math.fround(sum + Math.fround(left[from + k * TILE_ROWS]! * right[start + k * TILE_COLUMNS]!))
        result[row * columnTiles * TILE_COLUMNS + column] = sum
      }
    }
  }
  return { left, right, result, multiply }
}

/** The faster of the two here. */
export const reserveTiles: ReserveTiles = simdTiles() ?? plainTiles
