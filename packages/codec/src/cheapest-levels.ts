import type { LevelCost } from './calibration.ts'
import { CodecInputError } from './errors.ts'
import { chooseLevels, type LevelOption } from './level-choice.ts'

export interface LevelWish {
  /** Positions to send. */
  readonly tokens: number
  /** What may travel without anybody waiting for it. */
  readonly budgetBytes: number
  /** Expected divergence that is not exceeded, in nats. */
  readonly maxHarm: number
}

export interface ChosenLevels {
  /** Of each layer. */
  readonly levels: readonly number[]
  readonly bytes: number
  readonly harm: number
}

/**
 * A level for each layer: without loss if that fits the budget; else with the least harm that does; and if that is too
 * much harm, with the fewest bytes that are not.
 *
 * @param costs - of level 0 and others, of the same layers
 * @throws CodecInputError if level 0 is missing or layers differ
 */
export function cheapestLevels(costs: readonly LevelCost[], wish: LevelWish): ChosenLevels {
  const { tokens, budgetBytes, maxHarm } = wish
  const layers = costs.find(({ level }) => level === 0)?.layers.length ?? 0
  if (layers === 0 || costs.some((cost) => cost.layers.length !== layers))
    throw new CodecInputError('Levels need costs of the same layers, level 0 among them.')
  const blocks = Array.from({ length: layers }, (_, layer): LevelOption[] =>
    costs.map(({ layers }) => ({
      bytes: layers[layer]!.bytesPerToken * tokens,
      harm: layers[layer]!.harm,
    })),
  )
  const [least, most] = [extreme(blocks, Math.min), extreme(blocks, Math.max)]
  const choose = (budget: number): ChosenLevels => {
    const { options, bytes, harm } = chooseLevels(blocks, budget)
    return { levels: options.map((option) => costs[option]!.level), bytes, harm }
  }
  // A little above, for sums in another order.
  const wanted = choose(Math.max(budgetBytes, least * (1 + 1e-9)))
  if (wanted.harm <= maxHarm) return wanted
  let [low, high] = [least, most * (1 + 1e-9)]
  let best = choose(high)
  for (let round = 0; round < 30; round += 1) {
    const middle = (low + high) / 2
    const tried = choose(Math.max(middle, least * (1 + 1e-9)))
    if (tried.harm <= maxHarm) {
      best = tried
      high = middle
    } else low = middle
  }
  return best
}

const extreme = (blocks: readonly (readonly LevelOption[])[], of: (...values: number[]) => number): number =>
  blocks.reduce((sum, options) => sum + of(...options.map(({ bytes }) => bytes)), 0)
