import { type ByteAutomaton, byteEdge, callEdge, silentEdge } from './byte-automaton.ts'

/** Ends farther than this count as out of reach: no session is that long. */
const farthest = 1 << 20

/**
 * For each position the fewest symbols that lead from it to the end of its rule: bytes, and control tokens as one each.
 * `Infinity` where there is no way. A byte that `writable` does not have cannot be part of a way.
 *
 * @see Knuth 1977, "A generalization of Dijkstra's algorithm", Information Processing Letters 6(1)
 */
export function shortestEnds(
  { edges, rules }: ByteAutomaton,
  writable: (first: number, end: number) => boolean,
): Float64Array {
  const { heads, kinds, sources, labels, ends, targets } = edges
  const distances = new Float64Array(heads.length).fill(Number.POSITIVE_INFINITY)
  const settled = new Uint8Array(heads.length)
  const into = threadBy(targets, heads.length)
  const isCall = (edge: number) => kinds[edge] === callEdge
  const callsOf = threadBy(
    labels.map((label, edge) => (isCall(edge) ? label : -1)),
    rules.length,
  )
  const ruleOfStart = new Map(rules.map(({ start }, number) => [start, number]))

  // Distances are whole and small, so buckets serve as the priority queue.
  const buckets: number[][] = []
  const offer = (position: number, distance: number): void => {
    if (distance >= distances[position]! || distance > farthest) return
    distances[position] = distance
    while (buckets.length <= distance) buckets.push([])
    buckets[distance]!.push(position)
  }
  for (const { final } of rules) offer(final, 0)
  for (let distance = 0; distance < buckets.length; distance += 1) {
    const bucket = buckets[distance]!
    for (let at = 0; at < bucket.length; at += 1) {
      const position = bucket[at]!
      if (settled[position]) continue
      settled[position] = 1
      for (let edge = into.heads[position]!; edge >= 0; edge = into.nexts[edge]!) {
        const kind = kinds[edge]!
        if (kind === callEdge) {
          const { start } = rules[labels[edge]!]!
          if (settled[start]) offer(sources[edge]!, distance + distances[start]!)
        } else if (kind !== byteEdge || writable(labels[edge]!, ends[edge]!))
          offer(sources[edge]!, kind === silentEdge ? distance : distance + 1)
      }
      const rule = ruleOfStart.get(position)
      if (rule === undefined) continue
      for (let edge = callsOf.heads[rule]!; edge >= 0; edge = callsOf.nexts[edge]!)
        if (settled[targets[edge]!]) offer(sources[edge]!, distance + distances[targets[edge]!]!)
    }
  }
  return distances
}

/** Lists of the edges with each key, in the manner of {@link Edges}; edges with a key below 0 are in none. */
function threadBy(keys: readonly number[], count: number): { heads: Int32Array; nexts: Int32Array } {
  const heads = new Int32Array(count).fill(-1)
  const nexts = new Int32Array(keys.length).fill(-1)
  for (const [edge, key] of keys.entries()) {
    if (key < 0) continue
    nexts[edge] = heads[key]!
    heads[key] = edge
  }
  return { heads, nexts }
}
