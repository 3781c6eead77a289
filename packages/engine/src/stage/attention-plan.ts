import type { CellRun, PageTable } from './page-table.ts'

/** Which rows of an entry the caller wants logits for. */
export type Outputs = 'none' | 'last' | 'all'

/** Tokens of one sequence in a batch; they follow what the sequence already holds. */
export interface BatchEntry {
  readonly sequence: number
  readonly count: number
  readonly outputs: Outputs
}

/** What a graph has to know about one entry: the cells its queries look at, and its rows. */
export interface EntryPlan {
  readonly sequence: number
  /** Row of the entry's first token in the batch. */
  readonly firstRow: number
  readonly count: number
  /** Trailing rows that need logits. */
  readonly outputCount: number
  readonly firstPosition: number
  /** Where the positions lie that any of its queries may look at. */
  readonly runs: readonly CellRun[]
  /** Cells `[cellStart, cellStart + cellCount)` that the attention kernel reads. */
  readonly cellStart: number
  readonly cellCount: number
  /** Elements of the mask before this entry's `[count, cellCount]`. */
  readonly maskOffset: number
}

const CELL_ALIGNMENT = 64
/** Longer ranges change the graph's shape; changing it rarely lets one graph serve many steps. */
const CELL_BUCKET = 256

const F16_ZERO = 0x0000
const F16_MINUS_INFINITY = 0xfc00

function outputCount({ outputs, count }: BatchEntry): number {
  if (outputs === 'none') return 0
  return outputs === 'last' ? 1 : count
}

const firstVisible = (position: number, window: number | null): number =>
  window === null ? 0 : Math.max(0, position - window + 1)

/** Plans a batch whose tokens were already appended to the page table. */
export function planAttention(
  pages: PageTable,
  batch: readonly BatchEntry[],
  window: number | null,
): readonly EntryPlan[] {
  let firstRow = 0
  let maskOffset = 0
  return batch.map((entry) => {
    const end = pages.length(entry.sequence)
    const firstPosition = end - entry.count
    const runs = pages.runs(entry.sequence, firstVisible(firstPosition, window), end)
    const lowest = Math.min(...runs.map((run) => run.cell))
    const highest = Math.max(...runs.map((run) => run.cell + run.length))
    const cellStart = Math.floor(lowest / CELL_ALIGNMENT) * CELL_ALIGNMENT
    const bucketed = Math.ceil((highest - cellStart) / CELL_BUCKET) * CELL_BUCKET
    const plan: EntryPlan = {
      sequence: entry.sequence,
      firstRow,
      count: entry.count,
      outputCount: outputCount(entry),
      firstPosition,
      runs,
      cellStart,
      cellCount: Math.min(bucketed, pages.cells - cellStart),
      maskOffset,
    }
    firstRow += entry.count
    maskOffset += entry.count * plan.cellCount
    return plan
  })
}

/** Elements of the masks of all entries. */
export const maskLength = (plans: readonly EntryPlan[]): number =>
  plans.reduce((sum, plan) => sum + plan.count * plan.cellCount, 0)

/** Two batches with equal shapes can run the same graph. */
export function planShape(plans: readonly EntryPlan[]): string {
  return plans.map((p) => `${p.count}/${p.outputCount}@${p.cellStart}+${p.cellCount}`).join(' ')
}

/**
 * The additive attention mask in F16, entry after entry, each `[count, cellCount]`: zero where a query may look
 * (its own sequence, not the future, inside the window), minus infinity elsewhere.
 */
export function fillMask(mask: Uint16Array, plans: readonly EntryPlan[], window: number | null): void {
  mask.fill(F16_MINUS_INFINITY)
  for (const plan of plans) {
    for (let row = 0; row < plan.count; row += 1) {
      const position = plan.firstPosition + row
      const oldest = firstVisible(position, window)
      const rowStart = plan.maskOffset + row * plan.cellCount - plan.cellStart
      for (const run of plan.runs) {
        const first = Math.max(run.position, oldest)
        const last = Math.min(run.position + run.length, position + 1)
        if (first >= last) continue
        const from = rowStart + run.cell + (first - run.position)
        mask.fill(F16_ZERO, from, from + (last - first))
      }
    }
  }
}
