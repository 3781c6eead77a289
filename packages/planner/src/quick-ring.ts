import type { LayerRange, PlacementCandidate } from '@deos/domain'
import type { Demand } from './demand.ts'
import { byRoom, bySpeed, totalRoom } from './eligible.ts'
import type { LinkTimes } from './link-times.ts'
import { orderThatFits } from './order-that-fits.ts'
import { evenLayers, shareLayers } from './share-layers.ts'

/** Candidates in the order of the ring, and the layers of each. */
export interface Ring {
  readonly order: readonly PlacementCandidate[]
  readonly ranges: readonly LayerRange[]
  /** Predicted time of one token of one sequence around the ring. */
  readonly tokenMs: number
}

/** The best ring found, and the best one found elsewhere that shares no machine with it. */
export interface RingChoice {
  readonly best: Ring
  readonly runnerUp: Ring | null
}

/** Bounds the work whatever the size of the fleet; a ring of two is tried about 2,000 times. */
const tries = (stages: number) => Math.ceil(4000 / stages)
const groupsOfAKind = 4
const poolOfAKind = 24

interface Search {
  readonly demand: Demand
  readonly links: LinkTimes
  readonly avoided: ReadonlySet<PlacementCandidate>
  triesLeft: number
}

/**
 * Looks for the fastest ring of as many stages as `start` has. Starts from those that fit with the highest speeds in
 * the whole fleet, in each large region and site, and around well-linked machines; then exchanges machines and
 * turns parts of the ring round as long as that helps. Not a proof of the optimum.
 *
 * @param avoided - those that may be used if need be; as few as in `start` are
 */
export function quickRing(
  demand: Demand,
  links: LinkTimes,
  start: readonly PlacementCandidate[],
  fresh: readonly PlacementCandidate[],
  avoided: readonly PlacementCandidate[],
): RingChoice {
  if (start.length === 1) return quickestAlone(demand, start, fresh, avoided)
  const everybody = [...fresh, ...avoided].sort(byRoom)
  const groups = groupsOf(everybody, links)
  const first = scored(demand, links, start)
  if (!first) throw new Error('An order that fits has no cut.')
  const rings: Ring[] = []
  const search = { demand, links, avoided: new Set(avoided), triesLeft: 0 }
  for (const [index, group] of groups.entries()) {
    const fitting = quickestThatFit(demand, group, start.length)
    if (!fitting && index > 0) continue
    const from = fitting ? startOf(search, fitting) : first
    if (!from) continue
    search.triesLeft = Math.ceil(tries(start.length) / groups.length)
    rings.push(improved(search, from, poolOf(group)))
  }
  rings.push(first)
  rings.sort((a, b) => penalty(search, a) - penalty(search, b))
  const best = rings[0]!
  const machines = new Set(best.order.map(({ machine }) => machine))
  const other = rings.find(({ order }) => order.every(({ machine }) => !machines.has(machine)))
  const chosen = [best, ...(other ? [other] : [])].map((ring) => evened(demand, links, ring))
  chosen.sort((a, b) => penalty(search, a) - penalty(search, b))
  return { best: chosen[0]!, runnerUp: chosen[1] ?? null }
}

/** Of those that hold everything alone: the fastest, then the one that wastes the least room. */
function quickestAlone(
  demand: Demand,
  start: readonly PlacementCandidate[],
  fresh: readonly PlacementCandidate[],
  avoided: readonly PlacementCandidate[],
): RingChoice {
  const from = fresh.includes(start[0]!) ? fresh : avoided
  const [best, next] = from
    .filter(({ freeBytes }) => freeBytes >= demand.roomBytes)
    .reverse()
    .sort((a, b) => b.benchmark.weightBytesPerSecond - a.benchmark.weightBytesPerSecond)
  const alone = (candidate: PlacementCandidate): Ring => {
    const range = { first: 0, end: demand.layers }
    const tokenMs = demand.readTime(range, candidate.benchmark.weightBytesPerSecond)
    return { order: [candidate], ranges: [range], tokenMs }
  }
  return { best: alone(best!), runnerUp: next ? alone(next) : null }
}

/** Parts of the fleet within which links may be fast, the whole fleet first. */
function groupsOf(
  candidates: readonly PlacementCandidate[],
  links: LinkTimes,
): readonly (readonly PlacementCandidate[])[] {
  const largest = (keyOf: (candidate: PlacementCandidate) => string) => {
    const groups = new Map<string, PlacementCandidate[]>()
    for (const candidate of candidates) {
      const key = keyOf(candidate)
      const group = groups.get(key)
      if (group) group.push(candidate)
      else groups.set(key, [candidate])
    }
    return groups.size === 1
      ? []
      : [...groups.values()].sort((a, b) => totalRoom(b) - totalRoom(a)).slice(0, groupsOfAKind)
  }
  const around = [...candidates].sort(bySpeed).slice(0, groupsOfAKind)
  return [
    candidates,
    ...largest(({ location }) => location.region),
    ...largest(({ location }) => JSON.stringify([location.region, location.provider])),
    ...around.map(({ machine }) => {
      const near = new Set([machine, ...links.neighbours(machine).slice(0, poolOfAKind)])
      return candidates.filter((candidate) => near.has(candidate.machine))
    }),
  ]
}

/** Of the fastest of a group, in ever larger numbers, the first that fit. */
function quickestThatFit(
  demand: Demand,
  group: readonly PlacementCandidate[],
  stages: number,
): readonly PlacementCandidate[] | null {
  const fastest = [...group].sort(bySpeed)
  for (let count = stages; ; count *= 2) {
    const chosen = new Set(fastest.slice(0, count))
    const order = orderThatFits(demand, group.filter((candidate) => chosen.has(candidate)).slice(0, stages))
    if (order && order.length === stages) return order
    if (count >= group.length) return null
  }
}

/** The order given or a chain from neighbour to neighbour, whichever is faster. */
function startOf({ demand, links }: Search, order: readonly PlacementCandidate[]): Ring | null {
  const plain = scored(demand, links, order)
  const chained = scored(demand, links, chainOfNeighbours(links, order))
  return !plain || (chained && chained.tokenMs < plain.tokenMs) ? chained : plain
}

function chainOfNeighbours(
  links: LinkTimes,
  candidates: readonly PlacementCandidate[],
): readonly PlacementCandidate[] {
  const chain = [candidates[0]!]
  const rest = candidates.slice(1)
  while (rest.length > 0) {
    const times = rest.map((next) => links.stepMs(chain.at(-1)!, next))
    const nearest = times.indexOf(times.reduce((least, time) => (time < least ? time : least)))
    chain.push(...rest.splice(nearest, 1))
  }
  return chain
}

/** Whom to try in exchange: the fastest and the largest. */
function poolOf(group: readonly PlacementCandidate[]): readonly PlacementCandidate[] {
  return [...new Set([...[...group].sort(bySpeed).slice(0, poolOfAKind), ...group.slice(0, poolOfAKind / 3)])]
}

function improved(search: Search, start: Ring, pool: readonly PlacementCandidate[]): Ring {
  let best = start
  for (let better: Ring | null = best; better; ) {
    better = null
    for (const order of neighbouringOrders(best.order, pool)) {
      if (search.triesLeft === 0) return best
      search.triesLeft -= 1
      if (search.avoided.size === 0 && leastMs(search, order) >= best.tokenMs) continue
      const ring = scored(search.demand, search.links, order)
      if (!ring || penalty(search, ring) >= penalty(search, best) * (1 - 1e-9)) continue
      best = ring
      better = ring
      break
    }
  }
  return best
}

/** Every order that differs by a part turned round, two exchanged, or one replaced. */
function* neighbouringOrders(
  order: readonly PlacementCandidate[],
  pool: readonly PlacementCandidate[],
): Generator<readonly PlacementCandidate[]> {
  for (let first = 0; first < order.length; first += 1) {
    for (let end = first + 2; end <= order.length; end += 1) {
      yield [...order.slice(0, first), ...order.slice(first, end).reverse(), ...order.slice(end)]
    }
  }
  for (let first = 0; first < order.length; first += 1) {
    // Neighbours, and those with one between them, were exchanged above.
    for (let second = first + 3; second < order.length; second += 1) {
      yield order.with(first, order[second]!).with(second, order[first]!)
    }
  }
  for (const candidate of pool) {
    if (order.includes(candidate)) continue
    for (let index = 0; index < order.length; index += 1) yield order.with(index, candidate)
  }
}

/** No way to share the layers is faster than if the fastest had them all. */
function leastMs({ demand, links }: Search, order: readonly PlacementCandidate[]): number {
  const fastest = order.reduce((speed, { benchmark }) => Math.max(speed, benchmark.weightBytesPerSecond), 0)
  return links.aroundMs(order) + (demand.readBytes / fastest) * 1000
}

/** Time of a token; any machine to be avoided outweighs it. */
const penalty = ({ avoided }: Search, { order, tokenMs }: Ring): number =>
  tokenMs + order.filter((candidate) => avoided.has(candidate)).length * 1e9

function scored(demand: Demand, links: LinkTimes, order: readonly PlacementCandidate[]): Ring | null {
  const ranges = shareLayers(demand, order)
  return ranges && { order, ranges, tokenMs: tokenMsOf(demand, links, order, ranges) }
}

function evened(demand: Demand, links: LinkTimes, { order, ranges }: Ring): Ring {
  const even = evenLayers(demand, order, ranges)
  return { order, ranges: even, tokenMs: tokenMsOf(demand, links, order, even) }
}

/** The ways of a token around the ring, and the weights read for it. */
export function tokenMsOf(
  demand: Demand,
  links: LinkTimes,
  order: readonly PlacementCandidate[],
  ranges: readonly LayerRange[],
): number {
  let sum = links.aroundMs(order)
  for (const [index, range] of ranges.entries()) {
    sum += demand.readTime(range, order[index]!.benchmark.weightBytesPerSecond)
  }
  return sum
}
