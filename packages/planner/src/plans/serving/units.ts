import { keyOfAccelerator } from '../../devices/index.ts'
import type { ModelShape } from '../../models/index.ts'
import { type ComputeFleet, type FleetMachine, hostOf, type LinkLookup, type LinkRate } from '../fleet.ts'
import { type GroupDegrees, sizeOf } from '../group-degrees.ts'
import { tensorDegrees } from '../tensor-parallel.ts'
import { degreesOf, type UnitKind } from './unit-costs.ts'

/** Accelerators that hold a stage together: of one machine, or of alike ones at one site. */
export interface Unit {
  /** In the canonical order of the fleet. */
  readonly index: number
  readonly kind: UnitKind
  readonly kindKey: string
  readonly members: readonly { readonly machine: FleetMachine; readonly slot: number }[]
  /** Units with the same place have the same links to all others. */
  readonly place: string
  readonly pricePerHour: number
}

/** How a group holds layers: how many share what, and the share of weights that lies with the host. */
export interface UnitLayout extends GroupDegrees {
  readonly offload: number
}

export const tensorOnly = (tensor: number): UnitLayout => ({ tensor, expert: 1, context: 1, offload: 0 })

/** What accelerators are as a group. */
export function unitKind(
  members: readonly { readonly machine: FleetMachine }[],
  links: LinkLookup,
  { tensor, expert, context, offload }: UnitLayout,
): UnitKind {
  const hosts = members.map(({ machine }) => hostOf(machine))
  return {
    accelerator: members[0]!.machine.accelerator,
    tensorParallel: tensor,
    link: worstLink(members, links),
    ...(expert > 1 ? { expertParallel: expert } : {}),
    ...(context > 1 ? { contextParallel: context } : {}),
    ...(offload > 0
      ? {
          offload: {
            share: offload,
            bytesPerS: Math.min(...hosts.map(({ bytesPerS }) => bytesPerS)),
            hostBytes: Math.min(...hosts.map(({ hostBytes }) => hostBytes)),
          },
        }
      : {}),
  }
}

/** Units whose kinds have the same key cost the same. */
export function keyOfKind(kind: UnitKind): string {
  const { accelerator, link, offload } = kind
  const { tensor, expert, context } = degreesOf(kind)
  const { delayMs, bytesPerS } = link
  const host = offload === undefined ? [] : [offload.share, offload.bytesPerS, offload.hostBytes]
  const parts = expert * context > 1 ? [expert, context] : []
  return JSON.stringify([
    keyOfAccelerator(accelerator),
    tensor,
    delayMs,
    bytesPerS,
    ...parts,
    ...host.map((each) => `host ${each}`),
  ])
}

/**
 * Divides every machine's accelerators into groups of its layout; what is left over forms smaller ones that divide
 * matrices only. Where machines have fewer each, alike machines of one site form groups, if `acrossMachines` allows it.
 *
 * @param fleet - in canonical order
 * @param slotsOf - accelerators of a machine that take part
 */
export function unitsOf(
  fleet: ComputeFleet,
  links: LinkLookup,
  shape: ModelShape,
  layoutOf: (machine: FleetMachine) => UnitLayout,
  acrossMachines: boolean,
  slotsOf: (machine: FleetMachine) => readonly number[] = allSlots,
): readonly Unit[] {
  const units: Unit[] = []
  const add = (members: Unit['members'], layout: UnitLayout) => {
    const kind = unitKind(members, links, layout)
    units.push({
      index: units.length,
      kind,
      kindKey: keyOfKind(kind),
      members,
      place: links.placeOf(members[0]!.machine),
      pricePerHour: members.reduce(
        (sum, { machine }) => sum + machine.pricePerHour / machine.accelerators,
        0,
      ),
    })
  }
  for (const group of alike(fleet.machines, acrossMachines)) {
    const slots = group.flatMap((machine) => slotsOf(machine).map((slot) => ({ machine, slot })))
    const wanted = layoutOf(group[0]!)
    const isWhole = tensorDegrees(shape, wanted.tensor).at(-1) === wanted.tensor
    for (let at = 0; at < slots.length; ) {
      const left = slots.length - at
      const size = sizeOf(wanted)
      const fits = isWhole && size <= left
      const layout = fits
        ? wanted
        : { ...tensorOnly(tensorDegrees(shape, Math.min(size, left)).at(-1)!), offload: wanted.offload }
      add(slots.slice(at, at + sizeOf(layout)), layout)
      at += sizeOf(layout)
    }
  }
  return units
}

export const allSlots = ({ accelerators }: FleetMachine): readonly number[] =>
  Array.from({ length: accelerators }, (_, slot) => slot)

/** Machines of one class are alike and stand at one site; they have the same tensor-parallel degree. */
export const classOf = ({ region, site, accelerator }: FleetMachine): string =>
  JSON.stringify([region, site, keyOfAccelerator(accelerator)])

/** Each machine by itself, or with those of its kind at its site. */
function alike(machines: readonly FleetMachine[], across: boolean): readonly (readonly FleetMachine[])[] {
  if (!across) return machines.map((machine) => [machine])
  const groups = new Map<string, FleetMachine[]>()
  for (const machine of machines) {
    const key = classOf(machine)
    groups.set(key, [...(groups.get(key) ?? []), machine])
  }
  return [...groups.values()]
}

/** The worst link among the members of a group. */
export function worstLink(
  members: readonly { readonly machine: FleetMachine }[],
  links: LinkLookup,
): LinkRate {
  let { delayMs, bytesPerS } = members[0]!.machine.inside
  const machines = [...new Set(members.map(({ machine }) => machine))]
  for (const [at, machine] of machines.entries()) {
    for (const other of machines.slice(at + 1)) {
      const link = links.between(machine, other)
      delayMs = Math.max(delayMs, link.delayMs)
      bytesPerS = Math.min(bytesPerS, link.bytesPerS)
    }
  }
  return { delayMs, bytesPerS }
}

export const machineOf = ({ members }: Unit): FleetMachine => members[0]!.machine
