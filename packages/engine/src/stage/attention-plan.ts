import type { LayerRange, ModelConfig, SlidingWindow } from '@deos/domain'
import type { PlannedPages } from './context-pages.ts'
import type { CellRun } from './page-table.ts'

/** How far back a token looks in some layers; `null` is to the beginning. */
export type Reach = Pick<SlidingWindow, 'size' | 'kind'> | null

/** The different reaches that layers of a stage have. */
export interface LayerReaches {
  readonly reaches: readonly Reach[]
  /** Which of them a layer has. */
  indexOf(layer: number): number
}

export function layerReaches(
  { slidingWindow }: Pick<ModelConfig, 'slidingWindow'>,
  { first, end }: LayerRange,
): LayerReaches {
  const isWindowed = (layer: number) => slidingWindow?.layers[layer] ?? false
  const windowed = Array.from({ length: end - first }, (_, index) => isWindowed(first + index))
  const reaches = [
    ...(windowed.includes(false) ? [null] : []),
    ...(windowed.includes(true) ? [slidingWindow] : []),
  ]
  return { reaches, indexOf: (layer) => (isWindowed(layer) ? reaches.length - 1 : 0) }
}

/** Which rows of an entry the caller wants logits for. */
export type Outputs = 'none' | 'last' | 'all'

/** Tokens of one sequence in a batch; they follow what the sequence already holds. */
export interface BatchEntry {
  readonly sequence: number
  readonly count: number
  readonly outputs: Outputs
  /** Name of the adapter to run with, loaded before. */
  readonly adapter?: string | null
}

/** Cells that an entry's queries look at in layers of one reach. */
export interface Span {
  /** Where the positions lie that any of the queries may look at: in the cache, or in what was gathered from it. */
  readonly runs: readonly CellRun[]
  /** Cells `[cellStart, cellStart + cellCount)` that the attention kernel reads. */
  readonly cellStart: number
  readonly cellCount: number
  /** Null where the kernel reads the cache itself. */
  readonly gathered: GatheredCells | null
  /** Elements of the mask before this span's `[count, cellCount]`. */
  readonly maskOffset: number
}

/**
 * Cells of a scattered sequence that are copied side by side before the kernel reads them: it passes over every cell
 * between the first and the last, and copying some costs less than passing over many.
 */
export interface GatheredCells {
  /** Where the positions lie in the cache. */
  readonly runs: readonly CellRun[]
  /** Elements of the list of gathered cells before this span's `cellCount`. */
  readonly listOffset: number
}

/** What a graph has to know about one entry: its rows, and the cells its queries look at. */
export interface EntryPlan {
  readonly sequence: number
  /** Row of the entry's first token in the batch. */
  readonly firstRow: number
  readonly count: number
  /** Trailing rows that need logits. */
  readonly outputCount: number
  readonly firstPosition: number
  /** One for each of the stage's reaches. */
  readonly spans: readonly Span[]
}

const CELL_ALIGNMENT = 64
/** Longer ranges change the graph's shape; changing it rarely lets one graph serve many steps. */
const CELL_BUCKET = 256
/** The same for gathered cells, of which each is copied. */
const GATHERED_BUCKET = 128
/** From so many times as many cells as positions on, gathering is faster. */
const SCATTERED_RATIO = 8

const F16_ZERO = 0x0000
const F16_MINUS_INFINITY = 0xfc00
/** In float32 masks: less than any score, and finite, so that rows that see nothing are numbers too. */
export const FAR_BELOW = -1e30

function outputCount({ outputs, count }: BatchEntry): number {
  if (outputs === 'none') return 0
  return outputs === 'last' ? 1 : count
}

function firstVisible(position: number, reach: Reach): number {
  if (reach === null) return 0
  return reach.kind === 'sliding'
    ? Math.max(0, position - reach.size + 1)
    : position - (position % reach.size)
}

/**
 * Plans a batch whose tokens were already appended to the page table.
 *
 * @param gathers - whether cells of scattered sequences can be gathered
 */
export function planAttention(
  pages: PlannedPages,
  batch: readonly BatchEntry[],
  reaches: readonly Reach[],
  gathers = false,
): readonly EntryPlan[] {
  let firstRow = 0
  let maskOffset = 0
  let listOffset = 0
  return batch.map((entry) => {
    const { sequence, count } = entry
    const end = pages.length(sequence)
    const firstPosition = end - count
    const spans = reaches.map((reach): Span => {
      const runs = pages.runs(sequence, firstVisible(firstPosition, reach), end)
      const range = cellRange(runs, pages.cells)
      const gathered = gathers && isScattered(runs, range.cellCount) ? gather(runs, listOffset) : null
      const span = { runs, gathered: null, ...range, ...gathered, maskOffset }
      maskOffset += count * span.cellCount
      if (gathered) listOffset += span.cellCount
      return span
    })
    const plan = { sequence, firstRow, count, outputCount: outputCount(entry), firstPosition, spans }
    firstRow += count
    return plan
  })
}

function cellRange(runs: readonly CellRun[], cells: number): Pick<Span, 'cellStart' | 'cellCount'> {
  if (runs.length === 0) return { cellStart: 0, cellCount: Math.min(CELL_BUCKET, cells) }
  const lowest = Math.min(...runs.map((run) => run.cell))
  const highest = Math.max(...runs.map((run) => run.cell + run.length))
  const cellStart = Math.floor(lowest / CELL_ALIGNMENT) * CELL_ALIGNMENT
  const bucketed = Math.ceil((highest - cellStart) / CELL_BUCKET) * CELL_BUCKET
  return { cellStart, cellCount: Math.min(bucketed, cells - cellStart) }
}

const countPositions = (runs: readonly CellRun[]): number => runs.reduce((sum, run) => sum + run.length, 0)

const isScattered = (runs: readonly CellRun[], cellCount: number): boolean =>
  runs.length > 1 && cellCount > SCATTERED_RATIO * countPositions(runs)

function gather(runs: readonly CellRun[], listOffset: number): Omit<Span, 'maskOffset'> {
  const length = countPositions(runs)
  return {
    runs: [{ cell: 0, position: runs[0]!.position, length }],
    cellStart: 0,
    cellCount: Math.ceil(length / GATHERED_BUCKET) * GATHERED_BUCKET,
    gathered: { runs, listOffset },
  }
}

const gatheredSpans = (plans: readonly EntryPlan[]) =>
  plans.flatMap(({ spans }) => spans.filter(({ gathered }) => gathered !== null))

/** Elements of the list of gathered cells. */
export const gatheredLength = (plans: readonly EntryPlan[]): number =>
  gatheredSpans(plans).reduce((sum, { cellCount }) => sum + cellCount, 0)

/** The list of gathered cells, span after span; what a span is filled up with is a cell of its own that is masked. */
export function fillGathered(list: Int32Array, plans: readonly EntryPlan[]): void {
  for (const { gathered, cellCount } of gatheredSpans(plans)) {
    const { runs, listOffset } = gathered!
    let at = listOffset
    for (const { cell, length } of runs) {
      for (let index = 0; index < length; index += 1) list[at++] = cell + index
    }
    list.fill(runs[0]!.cell, at, listOffset + cellCount)
  }
}

/** Elements of the masks of all entries. */
export const maskLength = (plans: readonly EntryPlan[]): number =>
  plans.reduce(
    (sum, { count, spans }) => sum + spans.reduce((own, span) => own + count * span.cellCount, 0),
    0,
  )

/**
 * Two batches with equal shapes can run the same graph.
 *
 * @param movable - whether a graph can be pointed at other cells, so that it does not matter where a span begins
 */
export function planShape(plans: readonly EntryPlan[], movable: boolean): string {
  return plans
    .map(({ count, outputCount: outputs, spans }) => {
      const cells = spans.map(({ cellStart, cellCount, gathered }) => {
        const from = gathered ? 'gathered' : movable ? 'anywhere' : cellStart
        return `@${from}+${cellCount}`
      })
      return `${count}/${outputs}${cells.join('')}`
    })
    .join(' ')
}

/**
 * The additive attention masks in F16, entry after entry and within it reach after reach, each `[count, cellCount]`:
 * zero where a query may look (its own sequence, not the future, inside its reach), minus infinity elsewhere.
 *
 * @param closed - what stands elsewhere, for masks in float32, {@link FAR_BELOW}
 */
export function fillMask<M extends Uint16Array | Float32Array>(
  mask: M,
  plans: readonly EntryPlan[],
  reaches: readonly Reach[],
  closed = F16_MINUS_INFINITY,
): void {
  mask.fill(closed)
  for (const plan of plans) {
    for (const [index, span] of plan.spans.entries()) {
      for (let row = 0; row < plan.count; row += 1) {
        const position = plan.firstPosition + row
        const rowStart = span.maskOffset + row * span.cellCount - span.cellStart
        openCells(mask, span.runs, rowStart, firstVisible(position, reaches[index]!), position + 1)
      }
    }
  }
}

/** Lets one query see positions `[first, end)`. @param rowStart - element that stands for cell 0 */
function openCells(
  mask: Uint16Array | Float32Array,
  runs: readonly CellRun[],
  rowStart: number,
  first: number,
  end: number,
): void {
  for (const run of runs) {
    const from = Math.max(run.position, first)
    const to = Math.min(run.position + run.length, end)
    if (from >= to) continue
    const start = rowStart + run.cell + (from - run.position)
    mask.fill(F16_ZERO, start, start + (to - from))
  }
}
