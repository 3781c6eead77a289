/** Rows of a tile: numbers of the left factor that are spread over a whole register. */
export const TILE_ROWS = 4
/** Columns of a tile: two registers of four floats. */
export const TILE_COLUMNS = 8

const FLOAT_BYTES = 4
const REGISTER_BYTES = 16

/** Opcodes of WebAssembly that the module needs, each with its operands. */
const get = (local: number) => [0x20, ...unsigned(local)]
const set = (local: number) => [0x21, ...unsigned(local)]
const number = (value: number) => [0x41, ...signed(value)]
const [add, subtract, multiply, isZero] = [[0x6a], [0x6b], [0x6c], [0x45]]
/** Repeats while its body leaves something other than 0. */
const repeat = (body: readonly number[]) => [0x03, 0x40, ...body, 0x0d, 0x00, 0x0b]
const unless = (condition: readonly number[], body: readonly number[]) => [
  ...[...condition, ...isZero, 0x04, 0x40],
  ...[...body, 0x0b],
]
const vector = (opcode: number) => [0xfd, ...unsigned(opcode)]
const load = (offset: number) => [...vector(0), 4, ...unsigned(offset)]
const spread = (offset: number) => [...vector(9), 2, ...unsigned(offset)]
const store = (offset: number) => [...vector(11), 4, ...unsigned(offset)]
const zeros = [...vector(12), ...new Array<number>(REGISTER_BYTES).fill(0)]
const [addFloats, multiplyFloats] = [vector(0xe4), vector(0xe6)]

const [I32, V128, FUNCTION] = [0x7f, 0x7b, 0x60]

/** Parameters and locals of the one function. */
const [left, right, result, inner, rowTiles, columnTiles] = [0, 1, 2, 3, 4, 5]
const [leftAt, rightAt, resultAt, rowsLeft, innerLeft, stride] = [6, 7, 8, 9, 10, 11]
const FIRST_SUM = 12
const [lower, upper, factor] = [20, 21, 22]

const advance = (local: number, bytes: number) => [...get(local), ...number(bytes), ...add, ...set(local)]
/** Leaves the new count, for {@link repeat}. */
const countDown = (local: number) => [
  ...[...get(local), ...number(1), ...subtract, ...set(local)],
  ...get(local),
]

const rows = Array.from({ length: TILE_ROWS }, (_, row) => row)
const sums = Array.from({ length: 2 * TILE_ROWS }, (_, index) => FIRST_SUM + index)

const addProduct = (sum: number, half: number) => [
  ...[...get(sum), ...get(factor), ...get(half)],
  ...[...multiplyFloats, ...addFloats, ...set(sum)],
]

const innerStep = [
  ...[...get(rightAt), ...load(0), ...set(lower), ...get(rightAt), ...load(REGISTER_BYTES), ...set(upper)],
  ...rows.flatMap((row) => [
    ...[...get(leftAt), ...spread(row * FLOAT_BYTES), ...set(factor)],
    ...[...addProduct(FIRST_SUM + 2 * row, lower), ...addProduct(FIRST_SUM + 2 * row + 1, upper)],
  ]),
  ...[...advance(leftAt, TILE_ROWS * FLOAT_BYTES), ...advance(rightAt, TILE_COLUMNS * FLOAT_BYTES)],
  ...countDown(innerLeft),
]

const oneTile = [
  ...sums.flatMap((sum) => [...zeros, ...set(sum)]),
  ...[...get(right), ...set(rightAt), ...get(inner), ...set(innerLeft)],
  ...unless([...get(inner), ...isZero], repeat(innerStep)),
  ...rows.flatMap((row) => [
    ...[...get(resultAt), ...get(FIRST_SUM + 2 * row), ...store(0)],
    ...[...get(resultAt), ...get(FIRST_SUM + 2 * row + 1), ...store(REGISTER_BYTES)],
    ...[...get(resultAt), ...get(stride), ...add, ...set(resultAt)],
  ]),
  ...countDown(rowsLeft),
]

const tileColumnBytes = TILE_COLUMNS * FLOAT_BYTES
const body = [
  ...[...get(columnTiles), ...number(tileColumnBytes), ...multiply, ...set(stride)],
  ...repeat([
    ...[...get(left), ...set(leftAt), ...get(result), ...set(resultAt), ...get(rowTiles), ...set(rowsLeft)],
    ...repeat(oneTile),
    ...[...get(rightAt), ...set(right), ...advance(result, tileColumnBytes)],
    ...countDown(columnTiles),
  ]),
]

const section = (id: number, content: readonly number[]) => [id, ...unsigned(content.length), ...content]
const name = (text: string) => [text.length, ...Array.from(text, (letter) => letter.charCodeAt(0))]

/**
 * A WebAssembly module with `memory` and `product(left, right, result, inner, rowTiles, columnTiles)`, byte addresses
 * first: products of packed tiles in single precision, summed in order of `inner`. Left is
 * `[rowTiles, inner, 4]`, right `[columnTiles, inner, 8]`, the result `[4·rowTiles, 8·columnTiles]`; there must be at
 * least one tile of either.
 */
export function simdModule(): Uint8Array<ArrayBuffer> {
  const locals = [2, ...[6, I32], ...[11, V128]]
  const code = [...locals, ...body, 0x0b]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, FUNCTION, 6, ...new Array<number>(6).fill(I32), 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('product'), 0, 0]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ])
}

/** Seven bits a byte, lowest first. */
function unsigned(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 128) return [...bytes, rest]
    bytes.push((rest & 127) | 128)
  }
}

function signed(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest >>= 7) {
    if (rest >= -64 && rest < 64) return [...bytes, rest & 127]
    bytes.push((rest & 127) | 128)
  }
}
