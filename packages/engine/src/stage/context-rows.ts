import type { BatchEntry } from './attention-plan.ts'
import type { ContextPages } from './context-pages.ts'

/** Which rows of a batch are computed where: each by the rank that stores its position. */
export interface ContextRows {
  /** Rows of the batch. */
  readonly total: number
  /** Rows of each rank, by its index. */
  readonly byRank: readonly (readonly number[])[]
  /** What this rank computes: its own rows, or, where it has none, some row for nothing. */
  readonly computed: readonly number[]
  /** Of what is computed. */
  readonly positions: Int32Array
  readonly cells: readonly number[]
  /** Rows of the batch that need logits. */
  readonly outputs: readonly number[]
}

/** @param entries - already appended to the page table */
export function contextRows(
  pages: ContextPages,
  entries: readonly BatchEntry[],
  index: number,
  ranks: number,
): ContextRows {
  const byRank: number[][] = Array.from({ length: ranks }, () => [])
  const places: { readonly sequence: number; readonly position: number }[] = []
  const outputs: number[] = []
  for (const { sequence, count, outputs: wanted } of entries) {
    const first = pages.length(sequence) - count
    for (let position = first; position < first + count; position += 1) {
      const row = places.length
      byRank[pages.owner(sequence, position)]!.push(row)
      if (wanted === 'all' || (wanted === 'last' && position === first + count - 1)) outputs.push(row)
      places.push({ sequence, position })
    }
  }
  const own = byRank[index]!
  const computed = own.length > 0 ? own : [0]
  return {
    total: places.length,
    ...{ byRank, computed, outputs },
    positions: Int32Array.from(computed, (row) => places[row]!.position),
    cells:
      own.length > 0
        ? own.map((row) => pages.cell(places[row]!.sequence, places[row]!.position))
        : [pages.spareCell],
  }
}

/** Rows of `[total, width]` out of what each rank gives of its own, `[rows, width]`. */
export function placeRows(
  { total, byRank }: Pick<ContextRows, 'total' | 'byRank'>,
  parts: readonly Float32Array[],
  width: number,
): Float32Array {
  const all = new Float32Array(total * width)
  for (const [rank, rows] of byRank.entries()) {
    for (const [index, row] of rows.entries()) {
      all.set(parts[rank]!.subarray(index * width, (index + 1) * width), row * width)
    }
  }
  return all
}

/** Some rows of `[total, width]`. */
export function pickRows(all: Float32Array, rows: readonly number[], width: number): Float32Array {
  const picked = new Float32Array(rows.length * width)
  for (const [index, row] of rows.entries()) {
    picked.set(all.subarray(row * width, (row + 1) * width), index * width)
  }
  return picked
}
