import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, type FleetMachine, LinkLookup } from '../fleet.ts'
import { tensorDegrees } from '../tensor-parallel.ts'
import { type Assigned, type Assignment, assign, summed } from './assignment.ts'
import type { ServingChoice } from './choices.ts'
import { type Group, GroupForms } from './groups.ts'
import { type Role, ServingPipeline } from './pipeline.ts'
import type { ReplicaReport, ServingPlan } from './serving-plan.ts'
import { classOf, keyOfKind, tensorOnly, type Unit, type UnitLayout, unitKind } from './units.ts'
import type { ServingWorkload } from './workload.ts'

/** What is left of a plan on a fleet that has changed. */
export interface Remains {
  readonly forms: GroupForms
  /** Replicas all of whose accelerators are there, with the layers they hold. */
  readonly kept: readonly { readonly role: Role; readonly group: Group }[]
  /** Of each replica that lacks some, the tensor-parallel groups that are whole. */
  readonly broken: readonly (readonly Unit[])[]
  /** Accelerators that belong to none of these, in groups as large as others of their class have. */
  readonly idle: readonly Unit[]
}

export function remainsOf(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  previous: ServingPlan,
): Remains {
  const links = new LinkLookup(fleet)
  const forms = new GroupForms(shape, previous.precision, workload, fleet, links)
  const machines = new Map(fleet.machines.map((machine) => [machine.name, machine]))
  const taken = new Set<string>()
  const degrees = new Map<string, number>()
  let units = 0
  const unit = (members: Unit['members'], layout: UnitLayout): Unit => {
    for (const { machine, slot } of members) taken.add(slotKey(machine, slot))
    units += 1
    return unitOf(members, units - 1, links, layout)
  }
  const kept: { role: Role; group: Group }[] = []
  const broken: Unit[][] = []
  for (const { role, stages } of previous.replicas) {
    const whole = stages.map((stage) => {
      const members = membersOf(stage, machines)
      if (members === null) return null
      const key = classOf(members[0]!.machine)
      degrees.set(key, Math.max(degrees.get(key) ?? 1, stage.tensorParallel))
      return unit(members, layoutOf(stage))
    })
    const there = whole.filter((each) => each !== null)
    const group = there.length < whole.length ? null : asItIs(stages, there, role)
    if (group === null) broken.push(there)
    else kept.push({ role, group })
  }
  const largest = Math.max(1, ...degrees.values())
  const idle = fleet.machines.flatMap((machine) => {
    const free = Array.from({ length: machine.accelerators }, (_, slot) => ({ machine, slot })).filter(
      ({ slot }) => !taken.has(slotKey(machine, slot)),
    )
    const made: Unit[] = []
    for (let at = 0; at < free.length; ) {
      const most = Math.min(degrees.get(classOf(machine)) ?? largest, free.length - at)
      const size = tensorDegrees(shape, most).at(-1)!
      made.push(unit(free.slice(at, at + size), tensorOnly(size)))
      at += size
    }
    return made
  })
  return { forms, kept, broken, idle }

  /** With the layers that it holds, or null if that no longer serves one request. */
  function asItIs(stages: ReplicaReport['stages'], own: readonly Unit[], role: Role): Group | null {
    const built = stages.map(({ layers }, at) => ({
      unit: own[at]!,
      layers,
      costs: forms.costsOf(own[at]!),
    }))
    const pipeline = new ServingPipeline(built, workload, links)
    const most = pipeline.most(role)
    return most === null ? null : { units: own, form: { pipeline, positions: own.map((_, at) => at), most } }
  }
}

/** The replicas that are whole, as they are; null if they do not serve the workload. */
export function keptChoice(
  { forms, kept }: Remains,
  workload: ServingWorkload,
  { precision, roles, handOver }: ServingPlan,
): ServingChoice | null {
  const of = (role: Role) => kept.filter((each) => each.role === role).map(({ group }) => group)
  const assignment =
    roles === 'together'
      ? assign(of('together'), workload)
      : splitAssignment(of('prefill'), of('decode'), workload, handOver?.addedMs ?? 0)
  if (assignment === null || !assignment.feasible) return null
  const units = kept.flatMap(({ group }) => group.units)
  const tensorParallel = Math.max(...units.map(({ kind }) => kind.tensorParallel))
  return { precision, tensorParallel, acrossMachines: false, roles, assignment, handOver, forms, units }
}

const slotKey = ({ name }: FleetMachine, slot: number): string => `${name}\n${slot}`

function membersOf(
  { accelerators }: ReplicaReport['stages'][number],
  machines: ReadonlyMap<string, FleetMachine>,
): Unit['members'] | null {
  const members = accelerators.flatMap(({ machine: name, slot }) => {
    const machine = machines.get(name)
    return machine === undefined || slot >= machine.accelerators ? [] : [{ machine, slot }]
  })
  return members.length < accelerators.length ? null : members
}

function splitAssignment(
  prefill: readonly Group[],
  decode: readonly Group[],
  workload: ServingWorkload,
  handOverMs: number,
): Assignment | null {
  const bears = (all: readonly Group[]) => all.reduce((sum, { form }) => sum + form.most.requestsPerS, 0)
  const rate = Math.min(bears(prefill), bears(decode), workload.requestsPerS ?? Number.POSITIVE_INFINITY)
  if (!(rate > 0) || rate < (workload.requestsPerS ?? 0) * (1 - 1e-6)) return null
  const loaded = (all: readonly Group[], role: Role): readonly Assigned[] =>
    all.flatMap((group) => {
      const state = group.form.pipeline.at((group.form.most.requestsPerS * rate) / bears(all), role)
      return state === null ? [] : [{ group, role, state }]
    })
  const first = loaded(prefill, 'prefill')
  const second = loaded(decode, 'decode')
  return {
    ...summed([...first, ...second], workload),
    requestsPerS: rate,
    ttftMs: summed(first, workload).ttftMs + handOverMs,
    tpotMs: summed(second, workload).tpotMs,
    feasible: true,
  }
}

const layoutOf = (stage: ReplicaReport['stages'][number]): UnitLayout => ({
  tensor: stage.tensorParallel,
  expert: stage.expertParallel,
  context: stage.contextParallel,
  offload: stage.offload?.share ?? 0,
})

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
