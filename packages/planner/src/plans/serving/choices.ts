import type { Random } from '@deos/domain'
import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, type FleetMachine, LinkLookup } from '../fleet.ts'
import type { Assignment } from './assignment.ts'
import { GroupForms } from './groups.ts'
import { furtherLayouts } from './layouts.ts'
import { improvePartition, type Partition, partitionUnits, roominess } from './partition.ts'
import { splitPools } from './role-pools.ts'
import { splitRoles } from './split-roles.ts'
import { classOf, tensorOnly, type Unit, type UnitLayout, unitsOf } from './units.ts'
import type { ServingWorkload, WeightPrecision } from './workload.ts'

/** One way to serve the workload with the whole fleet. */
export interface ServingChoice {
  readonly precision: WeightPrecision
  /** The largest tensor-parallel group that was allowed, and whether it may span machines. */
  readonly tensorParallel: number
  readonly acrossMachines: boolean
  readonly roles: 'together' | 'split'
  readonly assignment: Assignment
  readonly handOver: { readonly kvBytesPerPrompt: number; readonly addedMs: number } | null
  readonly forms: GroupForms
  readonly units: readonly Unit[]
}

export interface ChoiceSearch {
  readonly random: Random
  /** Changes of the most promising divisions that are tried. */
  readonly steps: number
  /** Said true when time is up; the best so far is kept. */
  readonly shouldStop?: () => boolean
  /** Tensor-parallel degrees to try, the same for all machines; without them, all and one for each class. */
  readonly degrees?: readonly number[]
}

interface Start {
  readonly layoutOf: (machine: FleetMachine) => UnitLayout
  readonly forms: GroupForms
  readonly units: readonly Unit[]
  readonly tensorParallel: number
  readonly acrossMachines: boolean
  readonly partition: Partition
}

const allDegrees = [1, 2, 4, 8]
/** Of the starts, so many are improved. */
const improved = 3
/** With more classes of machines, all have the same degree. */
const mostClasses = 8
/** More accelerators than these are not divided by role one by one. */
const mostPooled = 64
/** Of the divisions of machines by role, so many are offered. */
const keptPools = 8

/**
 * Every precision, tensor-parallel degree and depth of pipelines that makes sense, best first; the best of them improved
 * by local search, and tried with prompts computed apart.
 *
 * @param fleet - in canonical order
 */
export function servingChoices(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  search: ChoiceSearch,
): readonly ServingChoice[] {
  const links = new LinkLookup(fleet)
  const starts = startsOf(shape, fleet, workload, links, search)
  const ranked = starts.sort((a, b) => b.partition.assignment.score - a.partition.assignment.score)
  const steps = Math.ceil(search.steps / improved)
  const better = ranked.slice(0, improved).map((start): Start => {
    if (search.shouldStop?.() === true) return start
    return { ...start, partition: improvePartition(start.partition, start.forms, steps, search.random) }
  })
  const all = [...better, ...ranked.slice(improved)]
  const choices = all.flatMap((start, at): readonly ServingChoice[] => {
    const base = {
      precision: start.forms.precision,
      tensorParallel: start.tensorParallel,
      acrossMachines: start.acrossMachines,
      forms: start.forms,
      units: start.units,
    }
    const together: ServingChoice = {
      ...base,
      roles: 'together',
      assignment: start.partition.assignment,
      handOver: null,
    }
    const own = workload.roles === 'split' ? [] : [together]
    if (workload.roles === 'together' || at >= 2 * improved || search.shouldStop?.() === true) return own
    const split = splitRoles(start.partition.groups, start.forms, shape, links)
    if (split === null) return own
    const { assignment, handOverMs, kvBytesPerPrompt } = split
    const handOver = { kvBytesPerPrompt, addedMs: handOverMs }
    return [...own, { ...base, roles: 'split', assignment, handOver }]
  })
  return [...choices, ...pooled(shape, fleet, workload, links, search)]
    .filter(({ assignment }) => assignment.assigned.length > 0)
    .sort((a, b) => b.assignment.score - a.assignment.score)
}

/** Accelerators divided by role; with degrees prescribed, or very many of them, only pipelines are. */
function pooled(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  links: LinkLookup,
  search: ChoiceSearch,
): readonly ServingChoice[] {
  const { degrees, shouldStop, steps } = search
  if (workload.roles === 'together' || degrees !== undefined) return []
  // A search without changes only asks whether there is a plan.
  if (workload.roles === 'either' && steps === 0) return []
  const accelerators = fleet.machines.reduce((sum, each) => sum + each.accelerators, 0)
  if (accelerators < 2 || accelerators > mostPooled) return []
  return workload.precisions.flatMap((precision) => {
    const forms = new GroupForms(shape, precision, workload, fleet, links)
    const layouts = layoutsOf(shape, fleet, workload, precision, {})
    const splits = splitPools({ shape, fleet, links, forms, layouts, shouldStop })
    return splits.slice(0, keptPools).map((split): ServingChoice => {
      const { assignment, units, tensorParallel, acrossMachines, kvBytesPerPrompt, handOverMs } = split
      const handOver = { kvBytesPerPrompt, addedMs: handOverMs }
      return { precision, tensorParallel, acrossMachines, roles: 'split', assignment, handOver, forms, units }
    })
  })
}

function startsOf(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  links: LinkLookup,
  search: ChoiceSearch,
): Start[] {
  const context = { shape, fleet, workload, links, search, seen: new Set<string>() }
  const starts: Start[] = []
  for (const precision of workload.precisions) {
    const own: Start[] = []
    for (const acrossMachines of [false, true]) {
      for (const layout of layoutsOf(shape, fleet, workload, precision, search)) {
        if (starts.length + own.length > 0 && search.shouldStop?.() === true) return [...starts, ...own]
        own.push(...divisions(context, precision, layout.tensor, () => layout, acrossMachines))
      }
    }
    starts.push(...own, ...(search.degrees === undefined ? ownDegrees(context, precision, own) : []))
  }
  return starts
}

/** Tensor parallelism alone first. */
function layoutsOf(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  precision: WeightPrecision,
  { degrees = allDegrees }: Pick<ChoiceSearch, 'degrees'>,
): readonly UnitLayout[] {
  return [...degrees.map(tensorOnly), ...furtherLayouts(shape, fleet, workload, precision, degrees)]
}

interface Context {
  readonly shape: ModelShape
  readonly fleet: ComputeFleet
  readonly workload: ServingWorkload
  readonly links: LinkLookup
  readonly search: ChoiceSearch
  /** Divisions of accelerators that were tried. */
  readonly seen: Set<string>
}

/** Pipelines of several depths over one division of accelerators into groups. */
function divisions(
  { shape, fleet, workload, links, seen }: Context,
  precision: WeightPrecision,
  degree: number,
  layoutOf: (machine: FleetMachine) => UnitLayout,
  acrossMachines: boolean,
): readonly Start[] {
  const units = unitsOf(fleet, links, shape, layoutOf, acrossMachines)
  const key = `${precision}|${units.map(({ kindKey, place }) => `${kindKey}@${place}`).join('|')}`
  if (seen.has(key)) return []
  seen.add(key)
  const forms = new GroupForms(shape, precision, workload, fleet, links)
  const tried = new Set<string>()
  const starts: Start[] = []
  for (const mixed of [false, true]) {
    for (const roomy of roominess) {
      const partition = partitionUnits(units, forms, roomy, mixed)
      const sizes = partition.groups.map((group) => group.units.map(({ index }) => index).join()).join('/')
      if (tried.has(sizes)) continue
      tried.add(sizes)
      starts.push({ forms, units, tensorParallel: degree, acrossMachines, partition, layoutOf })
    }
  }
  return starts
}

const bestOf = (starts: readonly Start[]): Start | null =>
  starts.reduce<Start | null>(
    (best, start) =>
      best === null || start.partition.assignment.score > best.partition.assignment.score ? start : best,
    null,
  )

/** From the best of the uniform degrees on, a degree of its own for one class of machines after the other. */
function ownDegrees(
  context: Context,
  precision: WeightPrecision,
  uniform: readonly Start[],
): readonly Start[] {
  const classes = [...new Set(context.fleet.machines.map(classOf))]
  let best = bestOf(uniform)
  const found: Start[] = []
  if (classes.length === 1 || classes.length > mostClasses) return found
  for (const each of classes) {
    for (const degree of allDegrees) {
      for (const acrossMachines of [false, true]) {
        if (best === null || context.search.shouldStop?.() === true) return found
        const { layoutOf } = best
        const changed = (machine: FleetMachine) =>
          classOf(machine) === each ? tensorOnly(degree) : layoutOf(machine)
        const most = Math.max(degree, best.tensorParallel)
        const next = bestOf(divisions(context, precision, most, changed, acrossMachines))
        if (next === null || next.partition.assignment.score <= best.partition.assignment.score) continue
        best = next
        found.push(next)
      }
    }
  }
  return found
}
