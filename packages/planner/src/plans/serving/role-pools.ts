import { peakFlops } from '../../devices/index.ts'
import type { ModelShape } from '../../models/index.ts'
import type { ComputeFleet, FleetMachine, LinkLookup } from '../fleet.ts'
import type { Group, GroupForms } from './groups.ts'
import { partitionUnits, roominess } from './partition.ts'
import type { Role } from './pipeline.ts'
import { dividedLoad, type RoleSplit } from './split-roles.ts'
import { allSlots, classOf, type Unit, type UnitLayout, unitsOf } from './units.ts'

export interface PoolSplit extends RoleSplit {
  readonly units: readonly Unit[]
  readonly tensorParallel: number
  readonly acrossMachines: boolean
}

export interface PoolSearch {
  readonly shape: ModelShape
  /** In canonical order. */
  readonly fleet: ComputeFleet
  readonly links: LinkLookup
  readonly forms: GroupForms
  readonly layouts: readonly UnitLayout[]
  readonly shouldStop?: (() => boolean) | undefined
}

interface Slot {
  readonly machine: FleetMachine
  readonly slot: number
}

/** Accelerators of one role, in groups and pipelines of their own. */
interface Pool {
  readonly groups: readonly Group[]
  readonly units: readonly Unit[]
  readonly degree: number
  readonly across: boolean
  readonly worth: number
}

interface Division {
  readonly prefill: readonly Pool[]
  readonly decode: readonly Pool[]
}

/** Classes that are tried in every order; of more, the ones with more arithmetic for their bandwidth come first. */
const mostClassesToPermute = 3
/** Sizes that are tried for the first of two pools; of more accelerators, some are skipped. */
const mostCuts = 16

/**
 * Divides accelerators, not pipelines, into those that compute prompts and those that answer. Each side then forms groups
 * and pipelines of its own: prompts ask for arithmetic, answers for bandwidth and room. Where there are several regions,
 * each is also divided by itself, so that no K and V leave it.
 *
 * @returns what carries something, best first
 */
export function splitPools(search: PoolSearch): readonly PoolSplit[] {
  const { fleet, forms, shape, links } = search
  const pools = new Map<string, Pool | null>()
  const poolOf = (slots: readonly Slot[], role: Role): Pool | null => {
    const key = `${role}|${nameOf(slots)}`
    const known = pools.get(key)
    if (known !== undefined) return known
    const made = bestPool(search, slots, role)
    pools.set(key, made)
    return made
  }
  const splitOf = ({ prefill, decode }: Division): readonly PoolSplit[] => {
    const groups = (side: readonly Pool[]) => side.flatMap((pool) => pool.groups)
    const split = dividedLoad(groups(prefill), groups(decode), forms.workload, shape, links)
    if (split === null) return []
    const all = [...prefill, ...decode]
    return [
      {
        ...split,
        units: all.flatMap(({ units }) => units),
        tensorParallel: Math.max(...all.map(({ degree }) => degree)),
        acrossMachines: all.some(({ across }) => across),
      },
    ]
  }
  const byScore = (a: PoolSplit, b: PoolSplit) => b.assignment.score - a.assignment.score
  const divisions = divisionsOf(fleet.machines, poolOf, search)
  const regions = [...new Set(fleet.machines.map(({ region }) => region))]
  const apart =
    regions.length === 1
      ? []
      : regions.flatMap((region) => {
          const own = fleet.machines.filter((machine) => machine.region === region)
          const tried = divisionsOf(own, poolOf, search).flatMap((division) =>
            splitOf(division).map((split) => ({ division, split })),
          )
          return tried.sort((a, b) => byScore(a.split, b.split)).slice(0, 1)
        })
  const joined: Division = {
    prefill: apart.flatMap(({ division }) => division.prefill),
    decode: apart.flatMap(({ division }) => division.decode),
  }
  const together = apart.length === 0 ? [] : [joined]
  return [...divisions, ...together].flatMap(splitOf).sort(byScore)
}

const nameOf = (slots: readonly Slot[]): string =>
  slots.map(({ machine, slot }) => `${machine.name}/${slot}`).join('|')

/** The first so many accelerators for prompts, the others for answers. */
function divisionsOf(
  machines: readonly FleetMachine[],
  poolOf: (slots: readonly Slot[], role: Role) => Pool | null,
  { shouldStop }: PoolSearch,
): readonly Division[] {
  const found: Division[] = []
  const seen = new Set<string>()
  const rank = new Map(machines.map((machine, at) => [machine, at]))
  const sorted = (slots: readonly Slot[]) =>
    [...slots].sort((a, b) => rank.get(a.machine)! - rank.get(b.machine)! || a.slot - b.slot)
  for (const slots of orders(machines)) {
    const step = Math.max(1, Math.ceil((slots.length - 1) / mostCuts))
    for (let cut = 1; cut < slots.length; cut += step) {
      if (shouldStop?.() === true) return found
      const first = sorted(slots.slice(0, cut))
      const key = nameOf(first)
      if (seen.has(key)) continue
      seen.add(key)
      const prefill = poolOf(first, 'prefill')
      const decode = prefill === null ? null : poolOf(sorted(slots.slice(cut)), 'decode')
      if (prefill !== null && decode !== null) found.push({ prefill: [prefill], decode: [decode] })
    }
  }
  return found
}

/** Groups of one layout, in pipelines of one depth, that together carry most, or are quickest. */
function bestPool(
  { shape, fleet, links, forms, layouts }: PoolSearch,
  slots: readonly Slot[],
  role: Role,
): Pool | null {
  const own = new Map<FleetMachine, number[]>()
  for (const { machine, slot } of slots) own.set(machine, [...(own.get(machine) ?? []), slot])
  const part = { ...fleet, machines: fleet.machines.filter((machine) => own.has(machine)) }
  const seen = new Set<string>()
  let best: Pool | null = null
  for (const across of [false, true]) {
    for (const layout of layouts) {
      const units = unitsOf(
        part,
        links,
        shape,
        () => layout,
        across,
        (machine) => own.get(machine)!,
      )
      const key = units.map(({ kindKey, place }) => `${kindKey}@${place}`).join('|')
      if (seen.has(key)) continue
      seen.add(key)
      const alike = new Set(units.map(({ kindKey, place }) => `${kindKey}@${place}`)).size === 1
      for (const mixed of alike ? [false] : [false, true]) {
        for (const roomy of roominess) {
          const { groups, assignment } = partitionUnits(units, forms, roomy, mixed, role)
          if (groups.length === 0) continue
          const carries = groups.reduce((sum, { form }) => sum + form.most.requestsPerS, 0)
          const worth = forms.workload.goal === 'latency' ? assignment.score : carries
          if (best !== null && worth <= best.worth) continue
          best = { groups, units, degree: layout.tensor, across, worth }
        }
      }
    }
  }
  return best
}

/** Accelerators in the orders in which they may be taken for prompts: class after class. */
function orders(machines: readonly FleetMachine[]): readonly (readonly Slot[])[] {
  const classes = new Map<string, FleetMachine[]>()
  for (const machine of machines) {
    const key = classOf(machine)
    classes.set(key, [...(classes.get(key) ?? []), machine])
  }
  const slots = (each: readonly FleetMachine[]) =>
    each.flatMap((machine) => allSlots(machine).map((slot) => ({ machine, slot })))
  const all = [...classes.values()]
  if (all.length <= mostClassesToPermute) return permutations(all).map((order) => slots(order.flat()))
  const ridge = ([machine]: readonly FleetMachine[]) =>
    peakFlops(machine!.accelerator, 'fp16') / machine!.accelerator.memoryGBs
  const ranked = all
    .map((each, at) => ({ each, at }))
    .sort((a, b) => ridge(b.each) - ridge(a.each) || a.at - b.at)
  return [slots(ranked.flatMap(({ each }) => each))]
}

function permutations<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length <= 1) return [items]
  return items.flatMap((item, at) =>
    permutations([...items.slice(0, at), ...items.slice(at + 1)]).map((rest) => [item, ...rest]),
  )
}
