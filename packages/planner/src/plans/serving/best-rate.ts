/** Rates that are tried one after the other are 12% apart. */
const step = 0.88
/** Of a worth: less more is chance. */
const leastMore = 0.01
/** With less attained, a rate is far beyond what is borne, and the next lower one says nothing of those below it. */
const leastAttained = 0.5

/** What a rate is worth, and what share of it that is. */
export interface TriedRate {
  readonly worth: number
  readonly attained: number
}

/**
 * Of rates around a first one, the one that is worth most: higher ones as long as they are worth more, else lower ones as
 * long as they are or little is attained.
 *
 * @param tryAt - a share of the first rate; `null` where there is no such rate
 */
export function bestRate<T extends TriedRate>(
  tryAt: (share: number) => T | null,
  { mostDown, mostUp }: { readonly mostDown: number; readonly mostUp: number },
): T | null {
  const first = tryAt(1)
  if (first === null) return null
  const higher = first.attained >= leastAttained ? climb(first, tryAt, 1 / step, mostUp) : first
  return higher === first ? climb(first, tryAt, step, mostDown) : higher
}

function climb<T extends TriedRate>(
  first: T,
  tryAt: (share: number) => T | null,
  factor: number,
  most: number,
): T {
  let best = first
  let last = first
  for (let round = 1; round <= most; round += 1) {
    const next = tryAt(factor ** round)
    if (next === null) break
    const better = next.worth > best.worth * (1 + leastMore)
    if (!better && last.attained >= leastAttained) break
    if (better) best = next
    last = next
  }
  return best
}
