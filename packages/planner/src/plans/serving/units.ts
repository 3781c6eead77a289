import type { ModelShape } from '../../models/index.ts'
import type { ComputeFleet, FleetMachine, LinkLookup, LinkRate } from '../fleet.ts'
import { tensorDegrees } from '../tensor-parallel.ts'
import type { UnitKind } from './unit-costs.ts'

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

/**
 * Divides every machine's accelerators into groups of at most its degree. Where machines have fewer each, alike machines
 * of one site form groups, if `acrossMachines` allows it.
 *
 * @param fleet - in canonical order
 */
export function unitsOf(
  fleet: ComputeFleet,
  links: LinkLookup,
  shape: ModelShape,
  degreeOf: (machine: FleetMachine) => number,
  acrossMachines: boolean,
): readonly Unit[] {
  const units: Unit[] = []
  const add = (members: Unit['members'], tensorParallel: number) => {
    const { accelerator } = members[0]!.machine
    const link = worstLink(members, links)
    const { delayMs, bytesPerS } = link
    units.push({
      index: units.length,
      kind: { accelerator, tensorParallel, link },
      kindKey: JSON.stringify([accelerator.name, accelerator.memoryGiB, tensorParallel, delayMs, bytesPerS]),
      members,
      place: links.placeOf(members[0]!.machine),
      pricePerHour: members.reduce(
        (sum, { machine }) => sum + machine.pricePerHour / machine.accelerators,
        0,
      ),
    })
  }
  for (const group of alike(fleet.machines, acrossMachines)) {
    const slots = group.flatMap((machine) =>
      Array.from({ length: machine.accelerators }, (_, slot) => ({ machine, slot })),
    )
    for (let at = 0; at < slots.length; ) {
      const size = tensorDegrees(shape, Math.min(degreeOf(group[0]!), slots.length - at)).at(-1)!
      add(slots.slice(at, at + size), size)
      at += size
    }
  }
  return units
}

/** Machines of one class are alike and stand at one site; they have the same tensor-parallel degree. */
export const classOf = ({ region, site, accelerator }: FleetMachine): string =>
  JSON.stringify([region, site, accelerator.name, accelerator.memoryGiB])

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
