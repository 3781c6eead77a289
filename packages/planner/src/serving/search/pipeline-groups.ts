import type { LayerRange, Random } from '@deos/domain'
import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'
import { findIslands, type LinkTable, linkTable } from './islands.ts'
import { threshold } from './threshold-chain.ts'

export interface PipelineGroupsOptions {
  readonly generations: number
  readonly random: Random
  /** Asked now and then; true ends the search with what it has. */
  readonly shouldStop?: () => boolean
}

const population = 16

/**
 * A genetic search over partitions of the devices into groups, each a pipeline of its own, mutated by merging, splitting,
 * swapping and moving; inside a group the layers that give the highest pace, devices of one island next to each other.
 * Null if no group found can hold the model.
 */
export function pipelineGroups(
  instance: FlowInstance,
  { generations, random, shouldStop }: PipelineGroupsOptions,
): FlowPlacement | null {
  const judge = new GroupJudge(instance)
  const below = (count: number) => Math.floor(random.next() * count)
  let genomes = firstGenomes(instance, judge.islandOf, below).map((groups) => ({
    groups,
    pace: judge.pace(groups),
  }))
  for (let generation = 0; generation < generations; generation += 1) {
    if (generation % 50 === 0 && shouldStop?.() === true) break
    const parent = genomes[Math.min(below(genomes.length), below(genomes.length))]!
    const groups = mutate(parent.groups, below)
    const pace = judge.pace(groups)
    if (pace < genomes.at(-1)!.pace) continue
    genomes = [...genomes, { groups, pace }].sort((a, b) => b.pace - a.pace).slice(0, population)
  }
  return genomes[0]!.pace > 0 ? judge.placement(genomes[0]!.groups) : null
}

/** All together, one group for each kind and each island, and groups by chance. */
function firstGenomes(
  { devices }: FlowInstance,
  islandOf: readonly number[],
  below: (count: number) => number,
): readonly (readonly number[])[] {
  const kinds = [...new Set(devices.map(({ kind }) => kind))]
  const most = Math.max(1, Math.floor(devices.length / 2))
  const drawn = Array.from({ length: population - 3 }, (_, seed) => {
    const count = 1 + (seed % most)
    return devices.map(() => below(count))
  })
  return [devices.map(() => 0), devices.map(({ kind }) => kinds.indexOf(kind)), islandOf, ...drawn]
}

function mutate(groups: readonly number[], below: (count: number) => number): readonly number[] {
  const one = below(groups.length)
  const other = below(groups.length)
  const [from, to] = [groups[one]!, groups[other]!]
  const kind = below(4)
  if (kind === 0) return groups.map((group) => (group === from ? to : group))
  if (kind === 1) {
    const fresh = Math.max(...groups) + 1
    return groups.map((group) => (group === from && below(2) === 0 ? fresh : group))
  }
  if (kind === 2) return groups.map((group, at) => (at === one ? to : at === other ? from : group))
  return groups.map((group, at) => (at === one ? to : group))
}

interface Chain {
  readonly pace: number
  readonly placement: FlowPlacement | null
}

/** Paces of groups, remembered. */
class GroupJudge {
  readonly islandOf: readonly number[]
  private readonly links: LinkTable
  private readonly known = new Map<string, Chain>()

  constructor(private readonly instance: FlowInstance) {
    this.links = linkTable(instance)
    const islandOf = new Array<number>(instance.devices.length).fill(0)
    for (const [island, members] of findIslands(this.links).entries()) {
      for (const device of members) islandOf[device] = island
    }
    this.islandOf = islandOf
  }

  pace(groups: readonly number[]): number {
    let sum = 0
    for (const members of membersOf(groups)) sum += this.chain(members).pace
    return sum
  }

  placement(groups: readonly number[]): FlowPlacement {
    const placement = new Array<LayerRange | null>(groups.length).fill(null)
    for (const members of membersOf(groups)) {
      for (const [device, range] of (this.chain(members).placement ?? []).entries()) {
        if (range !== null) placement[device] = range
      }
    }
    return placement
  }

  private chain(members: readonly number[]): Chain {
    const key = members.join()
    const known = this.known.get(key)
    if (known !== undefined) return known
    const order = [...members].sort((a, b) => this.islandOf[a]! - this.islandOf[b]! || a - b)
    const found = threshold(this.instance, order)
    const chain = found === null ? { pace: 0, placement: null } : { ...found, pace: this.linked(found) }
    this.known.set(key, chain)
    return chain
  }

  /** The pace, or what the weakest link of the pipeline carries. */
  private linked({ pace, placement }: { readonly pace: number; readonly placement: FlowPlacement }): number {
    const { links } = this
    const stages = placement
      .flatMap((range, device) => (range === null ? [] : [{ device, first: range.first }]))
      .sort((a, b) => a.first - b.first)
      .map(({ device }) => device)
    let least = Math.min(pace, links.entry[stages[0]!]!, links.exit[stages.at(-1)!]!)
    for (const [at, device] of stages.slice(1).entries()) {
      least = Math.min(least, links.between[stages[at]! * links.count + device]!)
    }
    return least
  }
}

function membersOf(groups: readonly number[]): readonly (readonly number[])[] {
  const members = new Map<number, number[]>()
  for (const [device, group] of groups.entries()) {
    const known = members.get(group)
    if (known === undefined) members.set(group, [device])
    else known.push(device)
  }
  return [...members.values()]
}
