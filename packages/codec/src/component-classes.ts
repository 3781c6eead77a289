import { type FrequencyTable, tableFromCounts, tableOf } from './frequency-table.ts'

/** Components are told apart by their deviation over the step, in half octaves from 2^-3. */
export const CLASS_COUNT = 24
const FIRST_CLASS = -6

/** Whole steps a symbol can say, either way; beyond, the number is said in full. */
export const SYMBOL_REACH = 15
export const ESCAPE_SYMBOL = 2 * SYMBOL_REACH + 1
export const CLASS_SYMBOLS = ESCAPE_SYMBOL + 1

/** Steps below which a value becomes 0: more than half, since a zero is cheap to say. */
export const DEAD_ZONE = 0.6

/** How the components of one class are told and what they are taken to have been. */
export interface ComponentClass {
  readonly table: FrequencyTable
  /** Mean of what became 1, in steps. */
  readonly one: number
  /** Mean of what became more, in steps beyond the whole number. */
  readonly more: number
}

/** Class of a component, or -1 if nearly all of it would become 0 and it is left out. */
export function classOf(deviation: number, step: number): number {
  const halfOctaves = Math.round(2 * Math.log2(deviation / step))
  return halfOctaves < FIRST_CLASS ? -1 : Math.min(halfOctaves - FIRST_CLASS, CLASS_COUNT - 1)
}

/** Low bits that are as good as even in a class, and said as they are. */
export const lowBits = (classIndex: number): number => Math.max(0, ((classIndex + FIRST_CLASS) >> 1) - 1)

/** The whole number of steps that stands for a value. */
export function quantise(value: number, step: number): number {
  const magnitude = Math.floor(Math.abs(value) / step + (1 - DEAD_ZONE))
  return value < 0 ? -magnitude : magnitude
}

/**
 * Tables of all classes, out of values in deviations of their components: shapes are pooled over components.
 *
 * @param normalised - values over the deviation of their component
 */
export function fitClasses(normalised: Float32Array): readonly ComponentClass[] {
  return Array.from({ length: CLASS_COUNT }, (_, index) => {
    const step = 2 ** (-(index + FIRST_CLASS) / 2)
    const low = lowBits(index)
    const counts = new Float64Array(CLASS_SYMBOLS).fill(0.02)
    const ones = { count: 1, sum: 0.98 }
    const rest = { count: 1, sum: 0 }
    for (const value of normalised) {
      const steps = quantise(value, step)
      const symbol = (steps >> low) + SYMBOL_REACH
      const slot = symbol >= 0 && symbol < ESCAPE_SYMBOL ? symbol : ESCAPE_SYMBOL
      counts[slot] = counts[slot]! + 1
      const magnitude = Math.abs(steps)
      if (magnitude === 0) continue
      const group = magnitude === 1 ? ones : rest
      group.count += 1
      group.sum += Math.abs(value) / step - (magnitude === 1 ? 0 : magnitude)
    }
    return {
      table: tableFromCounts(counts),
      one: Math.fround(ones.sum / ones.count),
      more: Math.fround(rest.sum / rest.count),
    }
  })
}

export const classFrom = (frequencies: Uint16Array, one: number, more: number): ComponentClass => ({
  table: tableOf(frequencies),
  one,
  more,
})
