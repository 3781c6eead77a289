/**
 * Tokens/s of the middle half of all tokens, in order of their arrival: neither prompts nor stragglers.
 *
 * @param arrivalsMs - when each arrived, in any order
 */
export function steadyRate(arrivalsMs: readonly number[]): number {
  const arrivals = [...arrivalsMs].sort((a, b) => a - b)
  const from = Math.floor(arrivals.length / 4)
  const to = Math.floor((3 * arrivals.length) / 4)
  return (1000 * (to - from)) / (arrivals[to]! - arrivals[from]!)
}
