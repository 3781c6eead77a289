import type { LayerRange } from '@deos/domain'
import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'
import { findIslands, type LinkTable, linkTable, permutations, subsets } from './islands.ts'

/** More islands than this are not tried in every order. */
const mostIslands = 5
/** Devices that may share the arrivals from another island, each over a link of its own. */
const mostAbreast = 3
const rounds = 40
const smallIsland = 12

/** Where a pipeline arrives in an island: one device sends to several that hold the same layers. */
interface Crossing {
  readonly from: number
  readonly into: readonly number[]
  readonly layers: number
}

/**
 * Pipelines through all islands, one for each order of the islands: inside an island devices follow each other, into the
 * next a device fans out to as many as the weak links between need for the pace. Each has the highest pace for which
 * its layers suffice. The best comes first.
 */
export function islandChains(instance: FlowInstance): readonly FlowPlacement[] {
  const links = linkTable(instance)
  const islands = findIslands(links)
  if (islands.length > mostIslands) return []
  const found: { readonly pace: number; readonly placement: FlowPlacement }[] = []
  for (const order of permutations(islands)) {
    const build = (pace: number) => buildChain(instance, links, order, pace)
    let possible = 0
    let impossible = Math.max(...instance.devices.map((device) => device.tokensPerSecondByLayers[0]!))
    let placement: FlowPlacement | null = null
    for (let round = 0; round < rounds; round += 1) {
      const pace = (possible + impossible) / 2
      const built = build(pace)
      if (built === null) impossible = pace
      else {
        possible = pace
        placement = built
      }
    }
    if (placement !== null) found.push({ pace: possible, placement })
  }
  return found.sort((a, b) => b.pace - a.pace).map((each) => each.placement)
}

function buildChain(
  instance: FlowInstance,
  links: LinkTable,
  order: readonly (readonly number[])[],
  pace: number,
): FlowPlacement | null {
  const taken = new Set<number>()
  const crossings: Crossing[] = []
  const head = order[0]!.filter((device) => links.entry[device]! >= pace)
  const most = (device: number) => mostLayers(instance, device, pace)
  const into = pick(head, most)
  if (into === null) return null
  taken.add(into)
  const [last, ...rest] = [...order].reverse()
  for (const [index, island] of order.slice(1).entries()) {
    const crossing = bestCrossing(instance, links, pace, order[index]!, island, taken)
    if (crossing === null) return null
    crossings.push(crossing)
    for (const device of [crossing.from, ...crossing.into]) taken.add(device)
  }
  const tails = last!.filter((device) => links.exit[device]! >= pace)
  const alone = rest.length === 0 && last!.length === 1
  const out = alone
    ? into
    : pick(
        tails.filter((device) => !taken.has(device)),
        most,
      )
  if (out === null || links.exit[out]! < pace) return null
  taken.add(out)
  return layOut(instance, order, { into, out, crossings, taken }, most)
}

function layOut(
  { devices, layers }: FlowInstance,
  order: readonly (readonly number[])[],
  ends: {
    readonly into: number
    readonly out: number
    readonly crossings: readonly Crossing[]
    readonly taken: ReadonlySet<number>
  },
  most: (device: number) => number,
): FlowPlacement | null {
  const placement = new Array<LayerRange | null>(devices.length).fill(null)
  let first = 0
  const steps: { readonly members: readonly number[]; readonly layers: number; readonly needed: boolean }[] =
    []
  const single = (device: number, needed: boolean) =>
    steps.push({ members: [device], layers: most(device), needed })
  for (const [index, island] of order.entries()) {
    if (index === 0) single(ends.into, true)
    else {
      const { into: members, layers: count } = ends.crossings[index - 1]!
      steps.push({ members, layers: count, needed: true })
    }
    for (const device of island) if (!ends.taken.has(device)) single(device, false)
    const from = index < ends.crossings.length ? ends.crossings[index]!.from : ends.out
    if (from !== ends.into || order.length > 1) single(from, true)
  }
  // What comes later needs one layer each, so that the ends that the links ask for are not left out.
  let owed = steps.filter((step) => step.needed).length
  for (const { members, layers: count, needed } of steps) {
    if (needed) owed -= 1
    const taken = Math.min(count, layers - first - owed)
    if (taken < 1 && needed) return null
    if (taken >= 1) for (const device of members) placement[device] = { first, end: first + taken }
    first += Math.max(0, taken)
  }
  return first === layers ? placement : null
}

/** The fan-out that costs fewest layers beside using the same devices one after the other. */
function bestCrossing(
  instance: FlowInstance,
  links: LinkTable,
  pace: number,
  island: readonly number[],
  next: readonly number[],
  taken: ReadonlySet<number>,
): Crossing | null {
  let best: Crossing | null = null
  let least = Number.POSITIVE_INFINITY
  const free = island.length > 1 ? island.filter((device) => !taken.has(device)) : island
  for (const from of ofEachKind(instance, free, 1)) {
    const reached = ofEachKind(
      instance,
      next.filter((device) => !taken.has(device) && links.between[from * links.count + device]! > 0),
      mostAbreast,
    )
    for (const into of subsets(reached, mostAbreast)) {
      if (into.reduce((sum, device) => sum + links.between[from * links.count + device]!, 0) < pace) continue
      const layers = layersAbreast(instance, links, pace, from, into)
      if (layers === 0) continue
      const loss = into.reduce((sum, device) => sum + mostLayers(instance, device, pace), 0) - layers
      if (loss >= least) continue
      least = loss
      best = { from, into, layers }
    }
  }
  return best
}

/** All of a small island; of a large one so many of each kind, for the others of a kind would do as well. */
function ofEachKind({ devices }: FlowInstance, members: readonly number[], most: number): readonly number[] {
  if (members.length <= smallIsland) return members
  const counts = new Map<string, number>()
  return members.filter((device) => {
    const { kind } = devices[device]!
    const count = (counts.get(kind) ?? 0) + 1
    counts.set(kind, count)
    return count <= most
  })
}

function layersAbreast(
  { devices, layers }: FlowInstance,
  links: LinkTable,
  pace: number,
  from: number,
  into: readonly number[],
): number {
  const most = Math.min(layers, ...into.map((device) => devices[device]!.tokensPerSecondByLayers.length))
  for (let count = most; count > 0; count -= 1) {
    const carried = into.reduce(
      (sum, device) =>
        sum +
        Math.min(
          links.between[from * links.count + device]!,
          devices[device]!.tokensPerSecondByLayers[count - 1]!,
        ),
      0,
    )
    if (carried >= pace) return count
  }
  return 0
}

function mostLayers({ devices, layers }: FlowInstance, device: number, pace: number): number {
  const rates = devices[device]!.tokensPerSecondByLayers
  for (let count = Math.min(rates.length, layers); count > 0; count -= 1) {
    if (rates[count - 1]! >= pace) return count
  }
  return 0
}

/** Of devices that may stand at an end, the one with the fewest layers: the others stay free for crossings. */
function pick(devices: readonly number[], most: (device: number) => number): number | null {
  const able = devices.filter((device) => most(device) > 0)
  return able.length === 0 ? null : able.reduce((a, b) => (most(b) < most(a) ? b : a))
}
