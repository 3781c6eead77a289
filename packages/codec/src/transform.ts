import { type Basis, finishBasis } from './basis.ts'
import { BitReader, packBits } from './bit-stream.ts'
import { readCoded, writeCoded } from './coded-section.ts'
import { classOf, ESCAPE_SYMBOL, lowBits, quantise, SYMBOL_REACH } from './component-classes.ts'
import { CodecInputError, CorruptBlockError } from './errors.ts'
import { analyse, type MultiplyTransposed, synthesise } from './projection.ts'
import { decodeSymbols, encodeSymbols } from './rans.ts'

export interface TransformTools {
  /** `[tokens, referenceChannels]` of the basis; null where it has none. */
  readonly reference: Float32Array | null
  readonly multiply?: MultiplyTransposed
}

/** Whole numbers this large are far outside any cache; they fit 25 bits with their sign. */
const LARGEST = 2 ** 24 - 1

/** Components that take part at a step: the leading ones, since deviations fall. */
export function liveComponents(basis: Basis, step: number): number {
  return Math.max(1, basis.deviations.findLastIndex((deviation) => classOf(deviation, step) >= 0) + 1)
}

/**
 * A basis without the components that take part at no step as large as this one: it codes the same there, and its bytes
 * are fewer.
 */
export function basisForStep(
  basis: Basis,
  step: number,
): { readonly basis: Basis; readonly bytes: Uint8Array } {
  checkStep(step)
  const rank = liveComponents(basis, step)
  return finishBasis({
    ...{ ...basis, rank },
    vectors: basis.vectors.subarray(0, rank * basis.channels),
    deviations: basis.deviations.subarray(0, rank),
    regression: basis.regression.subarray(0, rank * basis.referenceChannels),
  })
}

/**
 * Components of rows `[tokens, channels]` in whole steps, entropy-coded with the tables of their classes. One step for
 * all components spends bits as reverse water-filling does: each keeps log₂(deviation / step), small ones nothing.
 *
 * @throws CodecInputError if a value is not finite or too large for the step
 */
export function encodeTransform(
  basis: Basis,
  rows: Float32Array,
  step: number,
  { reference, multiply }: TransformTools,
): Uint8Array<ArrayBuffer> {
  checkReference(basis, rows.length / basis.channels, reference)
  const rank = liveComponents(basis, step)
  const components = analyse(basis, rows, reference, rank, multiply)
  const { tables, lows } = codersOf(basis, step, rank)
  const symbols = new Uint8Array(components.length)
  const whole = new Int32Array(components.length)
  let escapes = 0
  for (let index = 0, component = 0; index < components.length; index += 1) {
    const low = lows[component]!
    component = component + 1 === rank ? 0 : component + 1
    const steps = quantise(components[index]!, step)
    if (!(steps <= LARGEST && steps >= -LARGEST))
      throw new CodecInputError(
        `A component of ${components[index]} is not some steps of ${step}.`,
        'Send the block without loss.',
      )
    whole[index] = steps
    const symbol = (steps >> low) + SYMBOL_REACH
    const near = symbol >= 0 && symbol < ESCAPE_SYMBOL
    symbols[index] = near ? symbol : ESCAPE_SYMBOL
    if (!near) escapes += 1
  }
  return writeCoded(encodeSymbols(symbols, tables), lowBitsOf(whole, symbols, lows, escapes))
}

/** Of each number its low bits, or all of it in two pieces where the symbol does not say the others. */
function lowBitsOf(
  whole: Int32Array,
  symbols: Uint8Array,
  lows: Uint8Array,
  escapes: number,
): Uint8Array<ArrayBuffer> {
  const bits = new Uint16Array(whole.length + escapes)
  const widths = new Uint8Array(whole.length + escapes)
  let at = 0
  for (let index = 0, component = 0; index < whole.length; index += 1) {
    const low = lows[component]!
    component = component + 1 === lows.length ? 0 : component + 1
    if (symbols[index] === ESCAPE_SYMBOL) {
      const shifted = whole[index]! + LARGEST
      bits[at] = shifted & 0xffff
      widths[at] = 16
      bits[at + 1] = shifted >>> 16
      widths[at + 1] = 9
      at += 2
    } else {
      bits[at] = whole[index]! & ((1 << low) - 1)
      widths[at] = low
      at += 1
    }
  }
  return packBits(bits, widths)
}

/** @throws CorruptBlockError if the bytes are not what was encoded with this basis and step */
export function decodeTransform(
  basis: Basis,
  bytes: Uint8Array,
  tokens: number,
  step: number,
  { reference, multiply }: TransformTools,
): Float32Array {
  checkReference(basis, tokens, reference)
  const rank = liveComponents(basis, step)
  const { tables, lows, ones, mores } = codersOf(basis, step, rank)
  const coded = readCoded(bytes)
  const symbols = decodeSymbols(coded.symbols, tables, tokens * rank)
  const bits = new BitReader(coded.bits)
  const components = new Float32Array(tokens * rank)
  for (let index = 0, component = 0; index < components.length; index += 1) {
    const at = component
    component = component + 1 === rank ? 0 : component + 1
    const symbol = symbols[index]!
    const low = lows[at]!
    if (symbol === SYMBOL_REACH && low === 0) continue
    const steps =
      symbol === ESCAPE_SYMBOL
        ? bits.get(16) + 65_536 * bits.get(9) - LARGEST
        : ((symbol - SYMBOL_REACH) << low) + bits.get(low)
    if (steps === 0) continue
    const magnitude = steps < 0 ? -steps : steps
    const value = (magnitude === 1 ? ones[at]! : magnitude + mores[at]!) * step
    components[index] = steps < 0 ? -value : value
  }
  bits.finish()
  return synthesise(basis, components, reference, rank, multiply)
}

/** How each live component is told at a step. */
function codersOf(basis: Basis, step: number, rank: number) {
  const indices = Array.from(basis.deviations.subarray(0, rank), (deviation) =>
    Math.max(0, classOf(deviation, step)),
  )
  return {
    tables: indices.map((index) => basis.classes[index]!.table),
    /** Bits said as they are. */
    lows: Uint8Array.from(indices, lowBits),
    ones: Float64Array.from(indices, (index) => basis.classes[index]!.one),
    mores: Float64Array.from(indices, (index) => basis.classes[index]!.more),
  }
}

function checkReference(basis: Basis, tokens: number, reference: Float32Array | null): void {
  const wanted = tokens * basis.referenceChannels
  if ((reference?.length ?? 0) !== wanted)
    throw new CodecInputError(
      `Basis ${basis.id} needs ${wanted} reference values for ${tokens} tokens, not ${reference?.length ?? 0}.`,
    )
}

/** @throws CorruptBlockError unless it is a positive number */
export function checkStep(step: number): void {
  if (!(step > 0 && step < Number.POSITIVE_INFINITY)) throw new CorruptBlockError(`A step cannot be ${step}.`)
}
