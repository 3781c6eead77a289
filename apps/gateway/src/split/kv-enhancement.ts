import type { LevelCost } from '@deos/codec'

export interface EnhancementWish {
  /** Positions that came. */
  readonly tokens: number
  /** What may travel for it. */
  readonly budgetBytes: number
}

/** Better copies of what came with loss. */
export interface Enhancement {
  readonly level: number
  readonly bytes: number
}

/** Less than this share of the harm is as good as none: what was computed from the first copies keeps about as much. */
const NONE = 0.01
/** So many nats are none, whatever came before. */
const UNSEEN = 1e-5
/** What leaves more of the harm is not worth its bytes. */
const MOST = 0.25

/**
 * To which level to refine what came, once the decode ring has it: the fewest bytes that leave next to nothing of the
 * expected divergence, or else what leaves least of it.
 *
 * @param costs - of every level, in the order of levels
 * @param levels - at which each layer came
 * @returns `null` if nothing that fits the budget makes it much better
 */
export function chooseEnhancement(
  costs: readonly LevelCost[],
  levels: readonly number[],
  { tokens, budgetBytes }: EnhancementWish,
): Enhancement | null {
  const harmOf = (level: number, layer: number): number =>
    costs.find((cost) => cost.level === level)?.layers[layer]?.harm ?? 0
  const begun = levels.reduce((sum, level, layer) => sum + harmOf(level, layer), 0)
  const options = costs.flatMap(({ level, layers }) => {
    let [bytes, harm] = [0, 0]
    for (const [layer, present] of levels.entries()) {
      const better = present > level
      harm += harmOf(better ? level : present, layer)
      if (better) bytes += layers[layer]!.bytesPerToken * tokens
    }
    const helps = bytes > 0 && bytes <= budgetBytes && harm <= MOST * begun
    return helps ? [{ level, bytes, rest: harm <= Math.max(UNSEEN, NONE * begun) ? 0 : harm }] : []
  })
  options.sort((a, b) => a.rest - b.rest || a.bytes - b.bytes)
  const [best] = options
  return best === undefined ? null : { level: best.level, bytes: best.bytes }
}
