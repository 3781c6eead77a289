import type { FlowInstance } from '../flow/flow-instance.ts'

/** A link weaker than this share of the strongest joins no two devices into one island. */
const islandShare = 0.25

/** Links of an instance as matrices, tokens/s; 0 where there is none. */
export interface LinkTable {
  readonly count: number
  readonly between: Float64Array
  readonly entry: Float64Array
  readonly exit: Float64Array
}

export function linkTable({ devices, links }: FlowInstance): LinkTable {
  const count = devices.length
  const between = new Float64Array(count * count)
  const entry = new Float64Array(count)
  const exit = new Float64Array(count)
  for (const { from, to, tokensPerSecond } of links) {
    if (from === 'source') {
      if (to !== 'sink') entry[to]! += tokensPerSecond
    } else if (to === 'sink') exit[from]! += tokensPerSecond
    else between[from * count + to]! += tokensPerSecond
  }
  return { count, between, entry, exit }
}

/** Groups of devices that strong links connect, directly or through each other. */
export function findIslands({ count, between }: LinkTable): readonly (readonly number[])[] {
  const strong = between.reduce((most, each) => Math.max(most, each), 0) * islandShare
  const islands: number[][] = []
  const seen = new Set<number>()
  for (let device = 0; device < count; device += 1) {
    if (seen.has(device)) continue
    const island = [device]
    seen.add(device)
    for (const member of island) {
      for (let other = 0; other < count; other += 1) {
        if (seen.has(other) || !(between[member * count + other]! >= strong) || strong === 0) continue
        seen.add(other)
        island.push(other)
      }
    }
    islands.push(island)
  }
  return islands
}

export function permutations<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length <= 1) return [items]
  return items.flatMap((item, index) =>
    permutations([...items.slice(0, index), ...items.slice(index + 1)]).map((rest) => [item, ...rest]),
  )
}

/** All subsets of one to `most` items. */
export function subsets<T>(items: readonly T[], most: number): readonly (readonly T[])[] {
  if (most === 0 || items.length === 0) return []
  const [head, ...tail] = items
  return [[head!], ...subsets(tail, most - 1).map((rest) => [head!, ...rest]), ...subsets(tail, most)]
}
