import type { Basis } from './basis.ts'
import { classOf, ESCAPE_SYMBOL, lowBits, quantise, SYMBOL_REACH } from './component-classes.ts'
import { CodecInputError, CorruptBlockError } from './errors.ts'
import { analyse, type MultiplyTransposed, synthesise } from './projection.ts'
import { RansDecoder, RansEncoder } from './rans.ts'

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
  const encoder = new RansEncoder()
  const coders = codersOf(basis, step, rank)
  for (let index = 0, component = 0; index < components.length; index += 1) {
    const { table, low } = coders[component]!
    component = component + 1 === rank ? 0 : component + 1
    const steps = quantise(components[index]!, step)
    if (!(Math.abs(steps) <= LARGEST))
      throw new CodecInputError(
        `A component of ${components[index]} is not some steps of ${step}.`,
        'Send the block without loss.',
      )
    const symbol = (steps >> low) + SYMBOL_REACH
    if (symbol >= 0 && symbol < ESCAPE_SYMBOL) {
      encoder.put(table, symbol)
      encoder.putBits(steps & ((1 << low) - 1), low)
    } else {
      encoder.put(table, ESCAPE_SYMBOL)
      encoder.putBits(steps + LARGEST, 25)
    }
  }
  return encoder.done()
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
  const coders = codersOf(basis, step, rank)
  const components = new Float32Array(tokens * rank)
  const decoder = new RansDecoder(bytes)
  for (let index = 0, component = 0; index < components.length; index += 1) {
    const { table, low, one, more } = coders[component]!
    component = component + 1 === rank ? 0 : component + 1
    const symbol = decoder.get(table)
    const steps =
      symbol === ESCAPE_SYMBOL
        ? decoder.getBits(25) - LARGEST
        : ((symbol - SYMBOL_REACH) << low) + decoder.getBits(low)
    if (steps === 0) continue
    const magnitude = Math.abs(steps)
    const value = (magnitude === 1 ? one : magnitude + more) * step
    components[index] = steps < 0 ? -value : value
  }
  decoder.finish()
  return synthesise(basis, components, reference, rank, multiply)
}

/** How each live component is told at a step. */
function codersOf(basis: Basis, step: number, rank: number) {
  return Array.from(basis.deviations.subarray(0, rank), (deviation) => {
    const index = Math.max(0, classOf(deviation, step))
    const { table, one, more } = basis.classes[index]!
    return { table, one, more, low: lowBits(index) }
  })
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
