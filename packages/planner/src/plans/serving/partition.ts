import type { Random } from '@deos/domain'
import { type Assignment, assign } from './assignment.ts'
import type { Group, GroupForms } from './groups.ts'
import type { Role } from './pipeline.ts'
import { machineOf, type Unit } from './units.ts'

/** Units divided into pipelines; `spare` belong to none. */
export interface Partition {
  readonly groups: readonly Group[]
  readonly spare: readonly Unit[]
  readonly assignment: Assignment
}

/** How many times the room that the model needs a pipeline gets: more makes it deeper, or leaves more for sessions. */
export const roominess = [1, 1.5, 2.5, 4, 8]
const sessionsToKeepRoomFor = 8

/**
 * Pipelines of neighbours: of alike units at one place first (or of mixed ones), then of what is left of a region, then
 * of what is left of all.
 */
export function partitionUnits(
  units: readonly Unit[],
  forms: GroupForms,
  roomy: number,
  mixed: boolean,
  role: Role = 'together',
): Partition {
  const groups: Group[] = []
  const form = (members: readonly Unit[]): boolean => {
    const group = forms.group(members, role)
    if (group !== null) groups.push(group)
    return group !== null
  }
  const gather = (pool: readonly Unit[], times: number): readonly Unit[] => {
    const left: Unit[] = []
    let open: Unit[] = []
    let room = 0
    const needed = forms.costsOf(units[0]!).layers
    for (const unit of pool) {
      open.push(unit)
      room += forms.layersIn(unit, sessionsToKeepRoomFor)
      if (room < needed * times) continue
      if (!form(open)) left.push(...open)
      open = []
      room = 0
    }
    if (open.length > 0 && !(room >= needed && form(open))) left.push(...open)
    return left
  }
  const levels: readonly ((unit: Unit) => string)[] = [
    ...(mixed ? [] : [(unit: Unit) => `${unit.place}|${unit.kindKey}`]),
    ({ place }) => place,
    (unit) => machineOf(unit).region,
    () => '',
  ]
  let left = units
  for (const [level, keyOf] of levels.entries()) {
    const pools = new Map<string, Unit[]>()
    for (const unit of left) pools.set(keyOf(unit), [...(pools.get(keyOf(unit)) ?? []), unit])
    left = [...pools.values()].flatMap((pool) => gather(pool, level === 0 ? roomy : 1))
  }
  return partitionOf(groups, left, forms, role)
}

export function partitionOf(
  groups: readonly Group[],
  spare: readonly Unit[],
  forms: GroupForms,
  role: Role = 'together',
): Partition {
  return { groups, spare, assignment: assign(groups, forms.workload, role) }
}

const draw = (random: Random, count: number): number => Math.floor(random.next() * count)

/** Moves, swaps, merges, splits and drops units while that helps. */
export function improvePartition(
  start: Partition,
  forms: GroupForms,
  steps: number,
  random: Random,
): Partition {
  let best = start
  for (let step = 0; step < steps; step += 1) {
    const next = changed(best, forms, random)
    if (next !== null && next.assignment.score > best.assignment.score) best = next
  }
  return best
}

function changed({ groups, spare }: Partition, forms: GroupForms, random: Random): Partition | null {
  const from = draw(random, groups.length + (spare.length > 0 ? 1 : 0))
  const to = draw(random, groups.length)
  if (groups.length === 0 || from === to) return null
  const source = groups[from]?.units ?? spare
  const target = groups[to]!.units
  const moved = source[draw(random, source.length)]!
  const rest = source.filter((unit) => unit !== moved)
  switch (draw(random, 5)) {
    case 0:
      return replaced([rest, [...target, moved]], [])
    case 1: {
      const other = target[draw(random, target.length)]!
      return replaced(
        [
          [...rest, other],
          [...target.filter((unit) => unit !== other), moved],
        ],
        [],
      )
    }
    case 2:
      return replaced([[...source, ...target]], [])
    case 3: {
      const half = 1 + draw(random, Math.max(1, source.length - 1))
      return from < groups.length ? replaced([source.slice(0, half), source.slice(half), target], []) : null
    }
    default:
      return from < groups.length ? replaced([rest, target], [moved]) : null
  }

  /** Units that no longer form a pipeline become spare. */
  function replaced(made: readonly (readonly Unit[])[], dropped: readonly Unit[]): Partition | null {
    const kept = groups.filter((_, at) => at !== from && at !== to)
    const free = from < groups.length ? [...spare, ...dropped] : [...dropped]
    for (const [at, units] of made.entries()) {
      // What is taken of the spare units leaves spare units behind, not a pipeline.
      if (at === 0 && made.length > 1 && from === groups.length) {
        free.push(...units)
        continue
      }
      const group = forms.group(units, 'together')
      if (group === null) free.push(...units)
      else kept.push(group)
    }
    return partitionOf(kept, free, forms)
  }
}
