import type { LayerRange, Random } from '@deos/domain'
import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'
import { SeriesParallel } from './series-parallel.ts'

export interface ParallelBlocksOptions {
  /** Changes tried for each flow that is aimed at. */
  readonly moves: number
  readonly random: Random
  /** Asked now and then; true ends the search with what it has. */
  readonly shouldStop?: () => boolean
}

/** Devices of a block at most: their arrangement is found by trying all ways to divide them. */
const mostMembers = 5
const rounds = 14
const movesBetweenStops = 2000
const hot = 1.5

/**
 * One line of blocks, each wide enough for the whole flow: for a flow aimed at, devices are divided into small blocks by
 * annealing so that the blocks together have as many layers as possible; the largest flow for which that is the model is
 * found by halving. It suits a fleet in one island, for links are not looked at. Null if no line holds the model.
 */
export function parallelBlocks(
  instance: FlowInstance,
  upperBound: number,
  { moves, random, shouldStop }: ParallelBlocksOptions,
): FlowPlacement | null {
  const { devices, layers } = instance
  const modules = new SeriesParallel(instance)
  let best: FlowPlacement | null = null
  let possible = 0
  let impossible = upperBound
  let groups: readonly number[] = devices.map((_, device) => device)
  for (let round = 0; round < rounds && shouldStop?.() !== true; round += 1) {
    const aim = round === 0 ? upperBound * 0.5 : (possible + impossible) / 2
    const judge = new BlockJudge(instance, modules, aim)
    const found = annealed(judge, groups, layers, {
      moves,
      random,
      ...(shouldStop === undefined ? {} : { shouldStop }),
    })
    if (found.layers >= layers) {
      possible = aim
      groups = found.groups
      best = judge.placement(groups)
    } else impossible = aim
  }
  return best
}

function annealed(
  judge: BlockJudge,
  start: readonly number[],
  enough: number,
  { moves, random, shouldStop }: ParallelBlocksOptions,
): { readonly groups: readonly number[]; readonly layers: number } {
  const groups = [...start]
  const members: number[][] = groups.map(() => [])
  for (const [device, group] of groups.entries()) members[group]!.push(device)
  const below = (count: number) => Math.floor(random.next() * count)
  let layers = members.reduce((sum, each) => sum + judge.layers(each), 0)
  let best = { groups: [...groups], layers }
  for (let move = 0; move < moves && best.layers < enough; move += 1) {
    if (move % movesBetweenStops === 0 && shouldStop?.() === true) break
    const one = below(groups.length)
    const from = groups[one]!
    const swaps = random.next() < 0.5
    const other = below(groups.length)
    const to = swaps || random.next() < 0.7 ? groups[other]! : members.findIndex((each) => each.length === 0)
    if (to < 0 || to === from || (!swaps && members[to]!.length >= mostMembers)) continue
    const fromNext = members[from]!.filter((device) => device !== one)
    const toNext = [...members[to]!.filter((device) => !swaps || device !== other), one]
    if (swaps) fromNext.push(other)
    const gain =
      judge.layers(fromNext) +
      judge.layers(toNext) -
      judge.layers(members[from]!) -
      judge.layers(members[to]!)
    const temperature = hot * (1 - move / moves) + 0.05
    if (gain < 0 && random.next() >= Math.exp(gain / temperature)) continue
    members[from] = fromNext
    members[to] = toNext
    groups[one] = to
    if (swaps) groups[other] = from
    layers += gain
    if (layers > best.layers) best = { groups: [...groups], layers }
  }
  return best
}

/** What blocks hold at one flow. */
class BlockJudge {
  private readonly known = new Map<string, number>()

  constructor(
    private readonly instance: FlowInstance,
    private readonly modules: SeriesParallel,
    private readonly flow: number,
  ) {}

  /** The most layers through which the devices carry the flow together. */
  layers(members: readonly number[]): number {
    if (members.length === 0) return 0
    const sorted = this.modules.sorted(members)
    const key = this.modules.keyOf(sorted)
    const known = this.known.get(key)
    if (known !== undefined) return known
    const capacity = this.modules.capacity(sorted)
    let layers = capacity.length - 1
    while (layers > 0 && capacity[layers]! < this.flow) layers -= 1
    this.known.set(key, layers)
    return layers
  }

  /** The blocks of all groups one after the other, none beyond the model. */
  placement(groups: readonly number[]): FlowPlacement {
    const { devices, layers } = this.instance
    const placement = new Array<LayerRange | null>(devices.length).fill(null)
    let first = 0
    for (let group = 0; group < groups.length && first < layers; group += 1) {
      const members = this.modules.sorted(
        devices.flatMap((_, device) => (groups[device] === group ? [device] : [])),
      )
      const most = this.layers(members)
      if (most === 0) continue
      const capacity = this.modules.capacity(members)
      let count = Math.min(most, layers - first)
      // The last block is cut, and fewer layers do not always suit a block.
      while (count > 0 && capacity[count]! < this.flow) count -= 1
      if (count === 0) continue
      this.modules.lay(members, first, count, placement)
      first += count
    }
    return placement
  }
}
