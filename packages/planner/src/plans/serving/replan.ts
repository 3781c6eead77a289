import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, canonicalFleet, type FleetMachine, LinkLookup } from '../fleet.ts'
import { type Assigned, type Assignment, assign, summed } from './assignment.ts'
import type { ServingChoice } from './choices.ts'
import { describeChoice } from './describe.ts'
import { type Group, GroupForms } from './groups.ts'
import { type Role, ServingPipeline } from './pipeline.ts'
import { planServing, type ServingPlanning } from './plan-serving.ts'
import { servingBound } from './serving-bound.ts'
import type { ServingOutcome, ServingPlan, ServingRefusal } from './serving-plan.ts'
import { UnitCosts } from './unit-costs.ts'
import { keyOfKind, type Unit, type UnitLayout, unitKind } from './units.ts'
import type { ServingWorkload } from './workload.ts'

/** What changing from one plan to another moves. */
export interface Migration {
  /** Weights that machines do not hold yet. */
  readonly sizeBytes: number
  /** Until the last machine has its weights, each fetching from the nearest that holds them. */
  readonly seconds: number
  readonly machines: readonly {
    readonly machine: string
    readonly sizeBytes: number
    readonly seconds: number
  }[]
  /** Layers that nobody holds any more come from outside, over the link between regions. */
  readonly fromOutsideBytes: number
}

export interface Replan {
  /** What is to be done. */
  readonly decision: 'keep' | 'move'
  readonly plan: ServingPlan | ServingRefusal
  /** What is left of the plan before, if that serves the workload. */
  readonly kept: ServingPlan | null
  readonly fresh: ServingOutcome
  readonly migration: Migration | null
  /** From so many seconds on the change pays; `null` if never, or if there is nothing to compare. */
  readonly breakEvenS: number | null
  readonly reason: string
}

export interface ReplanOptions extends ServingPlanning {
  /** For how long the fleet is expected to stay as it is. */
  readonly horizonS: number
  /** Whether everything is searched again, and not only what is like the plan before, which takes a fraction of the time. */
  readonly thorough?: boolean
}

/**
 * Plans anew after the fleet or the load has changed, and prices the change: what is left of the plan before is kept
 * unless the new one gains more over the horizon than is lost while weights travel.
 *
 * While machines fetch weights, the new plan serves nothing on them; requests that the kept plan would have answered in
 * that time are what the change costs.
 */
export function replanServing(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  previous: ServingPlan,
  options: ReplanOptions,
): Replan {
  const sorted = canonicalFleet(fleet)
  const fresh = freshPlan(shape, sorted, workload, previous, options)
  const kept = keptPlan(shape, sorted, workload, previous)
  if (fresh.kind === 'refused') {
    const reason =
      kept === null ? fresh.binding : 'No new plan was found; what is left still serves the load.'
    return { decision: 'keep', plan: kept ?? fresh, kept, fresh, migration: null, breakEvenS: null, reason }
  }
  const migration = migrationOf(shape, sorted, workload, previous, fresh)
  const base = { kept, fresh, migration }
  if (kept === null) {
    const reason = `What is left does not serve the load; ${size(migration.sizeBytes)} move within ${show(migration.seconds)} s.`
    return { ...base, decision: 'move', plan: fresh, breakEvenS: null, reason }
  }
  const gain = gainOf(kept, fresh, workload)
  if (!(gain > 0)) {
    return {
      ...base,
      decision: 'keep',
      plan: kept,
      breakEvenS: null,
      reason: 'A new plan would be no better.',
    }
  }
  // Share of the kept plan's worth that is lost while machines that serve now fetch other layers.
  const busy = disturbedShare(kept, migration)
  const lost = busy * worthOf(kept, workload) * migration.seconds
  const breakEvenS = migration.seconds + lost / gain
  const pays = breakEvenS <= options.horizonS
  const reason = `${size(migration.sizeBytes)} move within ${show(migration.seconds)} s; the change pays after ${show(breakEvenS)} s, and the fleet is expected to stay for ${show(options.horizonS)} s.`
  return { ...base, decision: pays ? 'move' : 'keep', plan: pays ? fresh : kept, breakEvenS, reason }
}

/** Like the plan before in precision and groups, as long as that does; otherwise from everything there is. */
function freshPlan(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  { precision, roles, replicas }: ServingPlan,
  options: ReplanOptions,
): ServingOutcome {
  const isAllowed =
    workload.precisions.includes(precision) && (workload.roles === 'either' || workload.roles === roles)
  if (options.thorough !== true && isAllowed) {
    const used = replicas.flatMap(({ stages }) => stages.map(({ tensorParallel }) => tensorParallel))
    const degrees = [...new Set(used)].sort((a, b) => a - b)
    const alike = { ...workload, precisions: [precision], roles }
    const steps = Math.min(options.steps ?? repairSteps, repairSteps)
    const repaired = planServing(shape, fleet, alike, { ...options, degrees, steps })
    if (repaired.kind === 'serve') return repaired
  }
  return planServing(shape, fleet, workload, options)
}

/** Changes that are tried on the best division while a plan is only mended. */
const repairSteps = 60

const show = (value: number): string => String(Number(value.toPrecision(3)))
const size = (value: number): string => `${show(value / 2 ** 30)} GiB`

/** Worth a second: requests, saved USD, or requests by how quick they are. */
function worthOf({ predicted }: ServingPlan, { goal, outputTokens }: ServingWorkload): number {
  if (goal === 'throughput') return predicted.requestsPerS
  if (goal === 'cost') return predicted.pricePerHour / 3600
  return 1000 / (predicted.ttftMs + outputTokens.mean * predicted.tpotMs)
}

function gainOf(kept: ServingPlan, fresh: ServingPlan, workload: ServingWorkload): number {
  const more = worthOf(fresh, workload) - worthOf(kept, workload)
  return workload.goal === 'cost' ? -more : more
}

function disturbedShare({ replicas }: ServingPlan, { machines }: Migration): number {
  const fetching = new Set(machines.map(({ machine }) => machine))
  return replicas
    .filter(({ stages }) =>
      stages.some(({ accelerators }) => accelerators.some(({ machine }) => fetching.has(machine))),
    )
    .reduce((sum, { share }) => Math.min(1, sum + share), 0)
}

/** Replicas of the plan before whose machines are all there, as they are. */
function keptPlan(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  previous: ServingPlan,
): ServingPlan | null {
  const machines = new Map(fleet.machines.map((machine) => [machine.name, machine]))
  const links = new LinkLookup(fleet)
  const { precision } = previous
  const forms = new GroupForms(shape, precision, workload, fleet, links)
  const groups = previous.replicas.flatMap(({ role, stages }) => {
    const group = groupOf(stages, role)
    return group === null ? [] : [{ role, group }]
  })
  const of = (role: Role) => groups.filter((each) => each.role === role).map(({ group }) => group)
  const assignment =
    previous.roles === 'together'
      ? assign(of('together'), workload)
      : splitAssignment(of('prefill'), of('decode'))
  if (assignment === null || !assignment.feasible) return null
  const units = groups.flatMap(({ group }) => group.units)
  const choice: ServingChoice = {
    precision,
    tensorParallel: Math.max(...units.map(({ kind }) => kind.tensorParallel)),
    acrossMachines: false,
    roles: previous.roles,
    assignment,
    handOver: previous.handOver,
    forms,
    units,
  }
  return describeChoice(choice, shape, fleet, workload, servingBound(shape, fleet, workload))

  function groupOf(stages: ServingPlan['replicas'][number]['stages'], role: Role): Group | null {
    const units: Unit[] = []
    for (const { accelerators, tensorParallel, expertParallel, contextParallel, offload } of stages) {
      const members = accelerators.flatMap(({ machine, slot }) => {
        const found = machines.get(machine)
        return found === undefined || slot >= found.accelerators ? [] : [{ machine: found, slot }]
      })
      if (members.length < accelerators.length) return null
      const layout = {
        tensor: tensorParallel,
        expert: expertParallel,
        context: contextParallel,
        offload: offload?.share ?? 0,
      }
      units.push(unitOf(members, units.length, links, layout))
    }
    const built = stages.map(({ layers }, at) => ({
      unit: units[at]!,
      layers,
      costs: new UnitCosts(shape, units[at]!.kind, precision, workload, fleet.efficiency),
    }))
    const pipeline = new ServingPipeline(built, workload, links)
    const most = pipeline.most(role)
    return most === null ? null : { units, form: { pipeline, positions: units.map((_, at) => at), most } }
  }

  function splitAssignment(prefill: readonly Group[], decode: readonly Group[]): Assignment | null {
    const bears = (all: readonly Group[]) => all.reduce((sum, { form }) => sum + form.most.requestsPerS, 0)
    const rate = Math.min(bears(prefill), bears(decode), workload.requestsPerS ?? Number.POSITIVE_INFINITY)
    if (!(rate > 0) || rate < (workload.requestsPerS ?? 0) * (1 - 1e-6)) return null
    const loaded = (all: readonly Group[], role: Role): readonly Assigned[] =>
      all.flatMap((group) => {
        const state = group.form.pipeline.at((group.form.most.requestsPerS * rate) / bears(all), role)
        return state === null ? [] : [{ group, role, state }]
      })
    const assigned = [...loaded(prefill, 'prefill'), ...loaded(decode, 'decode')]
    const parts = (role: Role) =>
      summed(
        assigned.filter((each) => each.role === role),
        workload,
      )
    const ttftMs = parts('prefill').ttftMs + (previous.handOver?.addedMs ?? 0)
    return {
      ...summed(assigned, workload),
      requestsPerS: rate,
      ttftMs,
      tpotMs: parts('decode').tpotMs,
      feasible: true,
    }
  }
}

function unitOf(members: Unit['members'], index: number, links: LinkLookup, layout: UnitLayout): Unit {
  const { machine } = members[0]!
  const kind = unitKind(members, links, layout)
  return {
    index,
    kind,
    kindKey: keyOfKind(kind),
    members,
    place: links.placeOf(machine),
    pricePerHour: members.reduce(
      (sum, each) => sum + each.machine.pricePerHour / each.machine.accelerators,
      0,
    ),
  }
}

/** Which machine gets which layers anew, and from where. Machines are counted as wholes: parts of matrices move inside. */
function migrationOf(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  before: ServingPlan,
  after: ServingPlan,
): Migration {
  const links = new LinkLookup(fleet)
  const machines = new Map(fleet.machines.map((machine) => [machine.name, machine]))
  const samePrecision = before.precision === after.precision
  const held = samePrecision ? layersByMachine(before) : new Map<string, ReadonlySet<number>>()
  const holders = new Map<number, FleetMachine[]>()
  for (const [name, layers] of held) {
    const machine = machines.get(name)
    if (machine === undefined) continue
    for (const layer of layers) holders.set(layer, [...(holders.get(layer) ?? []), machine])
  }
  const { accelerator, inside } = fleet.machines[0]!
  const kind = { accelerator, tensorParallel: 1, link: inside }
  const costs = new UnitCosts(shape, kind, after.precision, workload, fleet.efficiency)
  let fromOutsideBytes = 0
  const moved = [...layersByMachine(after)].flatMap(([name, layers]) => {
    const own = held.get(name)
    const machine = machines.get(name)!
    let sizeBytes = 0
    let seconds = 0
    for (const layer of layers) {
      if (own?.has(layer)) continue
      const layerBytes = costs.weightBytes({ first: layer, end: layer + 1 })
      const sources = (holders.get(layer) ?? []).map((source) => links.between(source, machine).bytesPerS)
      if (sources.length === 0) fromOutsideBytes += layerBytes
      const bytesPerS = sources.length === 0 ? fleet.links.elsewhere.bytesPerS : Math.max(...sources)
      sizeBytes += layerBytes
      seconds += layerBytes / bytesPerS
    }
    return sizeBytes === 0 ? [] : [{ machine: name, sizeBytes, seconds }]
  })
  return {
    sizeBytes: moved.reduce((sum, each) => sum + each.sizeBytes, 0),
    seconds: moved.reduce((most, each) => Math.max(most, each.seconds), 0),
    machines: moved,
    fromOutsideBytes,
  }
}

function layersByMachine({ replicas }: ServingPlan): Map<string, Set<number>> {
  const held = new Map<string, Set<number>>()
  for (const { layers, accelerators } of replicas.flatMap(({ stages }) => stages)) {
    for (const { machine } of accelerators) {
      const own = held.get(machine) ?? new Set<number>()
      for (let layer = layers.first; layer < layers.end; layer += 1) own.add(layer)
      held.set(machine, own)
    }
  }
  return held
}
