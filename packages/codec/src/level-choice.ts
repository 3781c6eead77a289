import { CodecInputError } from './errors.ts'

/** A level at which one block could be sent. */
export interface LevelOption {
  readonly bytes: number
  /** Expected harm: sensitivity of the part times the mean squared error the encoder sees. */
  readonly harm: number
}

export interface LevelChoice {
  /** Index of the option of each block. */
  readonly options: readonly number[]
  readonly bytes: number
  readonly harm: number
}

/** Options that a straight line between two others does not beat, from the smallest: indices. */
export function convexHull(options: readonly LevelOption[]): readonly number[] {
  const order = [...options.keys()].sort(
    (a, b) => options[a]!.bytes - options[b]!.bytes || options[a]!.harm - options[b]!.harm,
  )
  const hull: number[] = []
  for (const next of order) {
    if (hull.length > 0 && options[next]!.harm >= options[hull.at(-1)!]!.harm) continue
    while (hull.length > 1 && gain(options, hull.at(-2)!, hull.at(-1)!) <= gain(options, hull.at(-1)!, next))
      hull.pop()
    hull.push(next)
  }
  return hull
}

/** Harm avoided by each further byte. */
function gain(options: readonly LevelOption[], from: number, to: number): number {
  const extra = options[to]!.bytes - options[from]!.bytes
  return extra > 0 ? (options[from]!.harm - options[to]!.harm) / extra : Number.POSITIVE_INFINITY
}

/**
 * Levels of all blocks with the least harm within a budget of bytes: from the smallest options, steps along the convex
 * hulls in order of harm avoided per byte. It is at most one step worse than the best there is.
 *
 * @throws CodecInputError if a block has no option, or even the smallest ones exceed the budget
 */
export function chooseLevels(blocks: readonly (readonly LevelOption[])[], budgetBytes: number): LevelChoice {
  for (const [index, options] of blocks.entries()) {
    if (options.length === 0) throw new CodecInputError(`Block ${index} has no level to choose.`)
    if (
      !options.every(({ bytes, harm }) => bytes >= 0 && harm >= 0 && bytes + harm < Number.POSITIVE_INFINITY)
    )
      throw new CodecInputError(`Block ${index} has an option whose bytes or harm are no finite count.`)
  }
  const hulls = blocks.map(convexHull)
  const at = blocks.map(() => 0)
  const chosen = () => blocks.map((options, index) => options[hulls[index]![at[index]!]!]!)
  let bytes = chosen().reduce((sum, option) => sum + option.bytes, 0)
  if (bytes > budgetBytes)
    throw new CodecInputError(
      `The smallest levels take ${bytes} bytes; the budget is ${budgetBytes}.`,
      'Send tokens and compute again, or give the transfer more time.',
    )
  const steps = hulls
    .flatMap((hull, block) =>
      hull
        .slice(1)
        .map((to, index) => ({ block, index: index + 1, gain: gain(blocks[block]!, hull[index]!, to) })),
    )
    .sort((a, b) => b.gain - a.gain || a.block - b.block || a.index - b.index)
  for (const step of steps) {
    if (step.index !== at[step.block]! + 1) continue // an earlier step of this block did not fit
    const hull = hulls[step.block]!
    const options = blocks[step.block]!
    const extra = options[hull[step.index]!]!.bytes - options[hull[step.index - 1]!]!.bytes
    if (bytes + extra > budgetBytes) continue
    bytes += extra
    at[step.block] = step.index
  }
  const harm = chosen().reduce((sum, option) => sum + option.harm, 0)
  return { options: at.map((place, block) => hulls[block]![place]!), bytes, harm }
}
