import type { LayerRange, Random } from '@deos/domain'
import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'

export interface ParallelBlocksOptions {
  /** Changes tried for each flow that is aimed at. */
  readonly moves: number
  readonly random: Random
  /** Asked for each flow that is aimed at; true ends the search with what it has. */
  readonly shouldStop?: () => boolean
}

/** Devices of a block at most: its lanes are found by trying all ways to divide them. */
const mostMembers = 4
/** Rates do not always fall with layers: a block that a few layers do not suit may suit more. */
const mostMissed = 3
const rounds = 14
const hot = 1.5

/** Devices that hold the same layers side by side; a lane is one device, or several after each other. */
interface Block {
  readonly layers: number
  readonly lanes: readonly (readonly number[])[]
}

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
  let best: FlowPlacement | null = null
  let possible = 0
  let impossible = upperBound
  let groups: readonly number[] = devices.map((_, device) => device)
  for (let round = 0; round < rounds && shouldStop?.() !== true; round += 1) {
    const aim = round === 0 ? upperBound * 0.5 : (possible + impossible) / 2
    const judge = new BlockJudge(instance, aim)
    const found = annealed(judge, groups, layers, { moves, random })
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
  { moves, random }: ParallelBlocksOptions,
): { readonly groups: readonly number[]; readonly layers: number } {
  const groups = [...start]
  const members: number[][] = groups.map(() => [])
  for (const [device, group] of groups.entries()) members[group]!.push(device)
  const below = (count: number) => Math.floor(random.next() * count)
  let layers = members.reduce((sum, each) => sum + judge.block(each).layers, 0)
  let best = { groups: [...groups], layers }
  for (let move = 0; move < moves && best.layers < enough; move += 1) {
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
      judge.block(fromNext).layers +
      judge.block(toNext).layers -
      judge.block(members[from]!).layers -
      judge.block(members[to]!).layers
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

/** What blocks hold at one flow, remembered by the kinds in them. */
class BlockJudge {
  private readonly kindOf: readonly number[]
  private readonly known = new Map<string, Block>()
  private readonly none: Block = { layers: 0, lanes: [] }

  constructor(
    private readonly instance: FlowInstance,
    private readonly flow: number,
  ) {
    const kinds = new Map<string, number>()
    this.kindOf = instance.devices.map(({ tokensPerSecondByLayers: rates }) => {
      const key = rates.join()
      const kind = kinds.get(key) ?? kinds.size
      kinds.set(key, kind)
      return kind
    })
  }

  /** The most layers that the devices can hold together; the lanes name positions in `members` sorted by kind. */
  block(members: readonly number[]): Block {
    if (members.length === 0) return this.none
    const sorted = this.sorted(members)
    const key = sorted.map((device) => this.kindOf[device]!).join()
    const known = this.known.get(key)
    if (known !== undefined) return known
    let best = this.none
    for (const lanes of divisions(sorted.length)) {
      let missed = 0
      for (let layers = best.layers + 1; layers <= this.instance.layers && missed < mostMissed; layers += 1) {
        const carried = lanes.reduce(
          (sum, lane) =>
            sum +
            this.pace(
              lane.map((at) => sorted[at]!),
              layers,
            ),
          0,
        )
        if (carried < this.flow) missed += 1
        else best = { layers, lanes }
      }
    }
    this.known.set(key, best)
    return best
  }

  /** The blocks of all groups one after the other, none beyond the model. */
  placement(groups: readonly number[]): FlowPlacement {
    const { devices, layers } = this.instance
    const placement = new Array<LayerRange | null>(devices.length).fill(null)
    let first = 0
    for (let group = 0; group < groups.length; group += 1) {
      const members = this.sorted(devices.flatMap((_, device) => (groups[device] === group ? [device] : [])))
      const block = this.block(members)
      const count = Math.min(block.layers, layers - first)
      if (count < 1) continue
      for (const lane of block.lanes)
        this.lay(
          lane.map((at) => members[at]!),
          first,
          count,
          placement,
        )
      first += count
    }
    return placement
  }

  private lay(lane: readonly number[], first: number, count: number, placement: (LayerRange | null)[]): void {
    const pace = this.pace(lane, count)
    let at = first
    for (const [index, device] of lane.entries()) {
      // Those that follow need a layer each.
      const spare = first + count - at - (lane.length - index - 1)
      let held = Math.min(this.most(device, pace), spare)
      while (held > 0 && this.rate(device, held) < pace) held -= 1
      if (held > 0) placement[device] = { first: at, end: at + held }
      at += Math.max(0, held)
    }
  }

  private sorted(members: readonly number[]): readonly number[] {
    return [...members].sort((a, b) => this.kindOf[a]! - this.kindOf[b]! || a - b)
  }

  private rate(device: number, layers: number): number {
    return this.instance.devices[device]!.tokensPerSecondByLayers[layers - 1] ?? 0
  }

  private most(device: number, pace: number): number {
    const rates = this.instance.devices[device]!.tokensPerSecondByLayers
    for (let count = Math.min(rates.length, this.instance.layers); count > 0; count -= 1) {
      if (rates[count - 1]! >= pace) return count
    }
    return 0
  }

  /** The best that devices after each other do with so many layers. */
  private pace(lane: readonly number[], layers: number): number {
    if (lane.length === 1) return this.rate(lane[0]!, layers)
    const paces = lane.flatMap((device) => this.instance.devices[device]!.tokensPerSecondByLayers)
    let best = 0
    for (const pace of paces) {
      if (pace > best && lane.reduce((sum, device) => sum + this.most(device, pace), 0) >= layers) best = pace
    }
    return best
  }
}

const dividedBefore = new Map<number, readonly (readonly (readonly number[])[])[]>()

/** All ways to divide positions 0 to `count - 1` into lanes. */
function divisions(count: number): readonly (readonly (readonly number[])[])[] {
  const known = dividedBefore.get(count)
  if (known !== undefined) return known
  const found =
    count === 0
      ? [[]]
      : divisions(count - 1).flatMap((lanes) => [
          [...lanes, [count - 1]],
          ...lanes.map((_, into) => lanes.map((lane, at) => (at === into ? [...lane, count - 1] : lane))),
        ])
  dividedBefore.set(count, found)
  return found
}
