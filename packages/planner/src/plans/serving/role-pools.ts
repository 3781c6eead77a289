import { peakFlops } from '../../devices/index.ts'
import type { ModelShape } from '../../models/index.ts'
import type { ComputeFleet, FleetMachine, LinkLookup } from '../fleet.ts'
import type { Group, GroupForms } from './groups.ts'
import { partitionUnits, roominess } from './partition.ts'
import type { Role } from './pipeline.ts'
import { dividedLoad, type RoleSplit } from './split-roles.ts'
import { classOf, type Unit, unitsOf } from './units.ts'

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
  readonly degrees: readonly number[]
  readonly shouldStop?: (() => boolean) | undefined
}

interface Pool {
  readonly groups: readonly Group[]
  readonly units: readonly Unit[]
  readonly degree: number
  readonly across: boolean
  readonly worth: number
}

/** Classes that are tried in every order; of more, the ones with more arithmetic for their bandwidth come first. */
const mostClassesToPermute = 3
/** Machines that may be in pools of every size; of more, sizes are skipped. */
const mostCuts = 16

/**
 * Divides machines, not pipelines, into those that compute prompts and those that answer. Each side then forms groups
 * and pipelines of its own: prompts ask for arithmetic, answers for bandwidth and room.
 *
 * @returns the best of each division that carries something, best first
 */
export function splitPools(search: PoolSearch): readonly PoolSplit[] {
  const { fleet, forms, shape, links } = search
  const pools = new Map<string, Pool | null>()
  const poolOf = (machines: readonly FleetMachine[], role: Role): Pool | null => {
    const key = `${role}|${machines.map(({ name }) => name).join('|')}`
    const known = pools.get(key)
    if (known !== undefined) return known
    const made = bestPool(search, machines, role)
    pools.set(key, made)
    return made
  }
  const found: PoolSplit[] = []
  for (const machines of orders(fleet)) {
    const step = Math.max(1, Math.ceil((machines.length - 1) / mostCuts))
    for (let cut = 1; cut < machines.length; cut += step) {
      if (search.shouldStop?.() === true) return found
      const first = canonical(machines.slice(0, cut), fleet)
      const second = canonical(machines.slice(cut), fleet)
      const prefill = poolOf(first, 'prefill')
      const decode = prefill === null ? null : poolOf(second, 'decode')
      if (prefill === null || decode === null) continue
      const split = dividedLoad(prefill.groups, decode.groups, forms.workload, shape, links)
      if (split === null) continue
      found.push({
        ...split,
        units: [...prefill.units, ...decode.units],
        tensorParallel: Math.max(prefill.degree, decode.degree),
        acrossMachines: prefill.across || decode.across,
      })
    }
  }
  return found.sort((a, b) => b.assignment.score - a.assignment.score)
}

/** Groups of one degree, in pipelines of one depth, that together carry most, or are quickest. */
function bestPool(
  { shape, fleet, links, forms, degrees }: PoolSearch,
  machines: readonly FleetMachine[],
  role: Role,
): Pool | null {
  const own = { ...fleet, machines }
  const seen = new Set<string>()
  let best: Pool | null = null
  for (const across of [false, true]) {
    for (const degree of degrees) {
      const units = unitsOf(own, links, shape, () => degree, across)
      const key = units.map(({ kindKey, place }) => `${kindKey}@${place}`).join('|')
      if (seen.has(key)) continue
      seen.add(key)
      for (const mixed of [false, true]) {
        for (const roomy of roominess) {
          const { groups, assignment } = partitionUnits(units, forms, roomy, mixed, role)
          if (groups.length === 0) continue
          const carries = groups.reduce((sum, { form }) => sum + form.most.requestsPerS, 0)
          const worth = forms.workload.goal === 'latency' ? assignment.score : carries
          if (best !== null && worth <= best.worth) continue
          best = { groups, units, degree, across, worth }
        }
      }
    }
  }
  return best
}

const canonical = (machines: readonly FleetMachine[], fleet: ComputeFleet): readonly FleetMachine[] => {
  const chosen = new Set(machines)
  return fleet.machines.filter((machine) => chosen.has(machine))
}

/** Machines in the orders in which they may be taken for prompts: class after class. */
function orders({ machines }: ComputeFleet): readonly (readonly FleetMachine[])[] {
  const classes = new Map<string, FleetMachine[]>()
  for (const machine of machines) {
    const key = classOf(machine)
    classes.set(key, [...(classes.get(key) ?? []), machine])
  }
  const all = [...classes.values()]
  const ridge = ([machine]: readonly FleetMachine[]) =>
    peakFlops(machine!.accelerator, 'fp16') / machine!.accelerator.memoryGBs
  const ranked = all
    .map((each, at) => ({ each, at }))
    .sort((a, b) => ridge(b.each) - ridge(a.each) || a.at - b.at)
  if (all.length > mostClassesToPermute) return [ranked.flatMap(({ each }) => each)]
  return permutations(all).map((order) => order.flat())
}

function permutations<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length <= 1) return [items]
  return items.flatMap((item, at) =>
    permutations([...items.slice(0, at), ...items.slice(at + 1)]).map((rest) => [item, ...rest]),
  )
}
