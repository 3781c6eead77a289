import type { BatchEntry, EntryPlan } from './attention-plan.ts'
import type { ContextRows } from './context-rows.ts'
import type { PageTable } from './page-table.ts'
import type { StageOptions } from './stage-options.ts'

export interface StageBatch {
  readonly entries: readonly BatchEntry[]
  /** Token ids of all entries one after another, for a stage with the embedding. */
  readonly tokens?: Int32Array
  /** `[tokens, hiddenSize]`, for every other stage. */
  readonly hidden?: Float32Array
  /** A stage with the head gives the normed hidden states of the wanted rows instead of their logits. */
  readonly normed?: boolean
  /**
   * Called when K and V of a layer are stored, before the rest of the layer is computed; {@link Stage.readKv} works
   * meanwhile. Not called where several ranks compute the stage: each has a part of the heads.
   */
  readonly onStored?: (layer: number) => Promise<void>
}

/** Views of memory that the next `forward` of the stage writes again: copy what is to be kept. */
export interface StageOutput {
  /** `[tokens, hiddenSize]`; of a stage with the head `[outputs, hiddenSize]` if normed ones were asked for, or empty. */
  readonly hidden: Float32Array
  /** `[outputs, vocabSize]` in order of entries and rows; empty for a stage without the head. */
  readonly logits: Float32Array
}

/**
 * @returns how many tokens it has
 * @throws RangeError if it does not fit the stage
 */
export function checkBatch(
  { entries, tokens, hidden }: StageBatch,
  { embedding, config, maxBatchTokens }: StageOptions,
  pages: PageTable,
): number {
  const count = entries.reduce((sum, entry) => sum + entry.count, 0)
  if (entries.length === 0 || entries.some((entry) => !Number.isInteger(entry.count) || entry.count < 1)) {
    throw new RangeError('Every entry of a batch has at least one token.')
  }
  if (count > maxBatchTokens) {
    throw new RangeError(`A batch of ${count} tokens exceeds this stage's ${maxBatchTokens}.`)
  }
  if (new Set(entries.map(({ sequence }) => sequence)).size !== entries.length) {
    throw new RangeError('A sequence appears twice in one batch.')
  }
  for (const entry of entries) {
    const end = pages.length(entry.sequence) + entry.count
    if (end > config.contextLength) {
      throw new RangeError(
        `Sequence ${entry.sequence} would reach ${end} positions; the model has ${config.contextLength}.`,
      )
    }
  }
  if (embedding) checkTokens(tokens, count, config.vocabSize)
  else if (hidden?.length !== count * config.hiddenSize) {
    throw new RangeError(
      `Expected ${count} × ${config.hiddenSize} hidden values, got ${hidden?.length ?? 'none'}.`,
    )
  }
  return count
}

function checkTokens(tokens: Int32Array | undefined, count: number, vocabSize: number): void {
  if (tokens?.length !== count) {
    throw new RangeError(`Expected ${count} token ids, got ${tokens?.length ?? 'none'}.`)
  }
  const bad = tokens.find((token) => token < 0 || token >= vocabSize)
  if (bad !== undefined) throw new RangeError(`Token ${bad} is outside the vocabulary of ${vocabSize}.`)
}

/** Where the rows of a batch are stored, and which of them need logits. */
export function batchRows(
  pages: PageTable,
  plans: readonly EntryPlan[],
): Pick<ContextRows, 'positions' | 'cells' | 'outputs'> {
  const positions: number[] = []
  const cells: number[] = []
  const outputs: number[] = []
  for (const { sequence, count, outputCount, firstPosition } of plans) {
    for (let index = 0; index < count; index += 1) {
      if (index >= count - outputCount) outputs.push(positions.length)
      positions.push(firstPosition + index)
      cells.push(pages.cell(sequence, firstPosition + index))
    }
  }
  return { positions: Int32Array.from(positions), cells, outputs }
}
