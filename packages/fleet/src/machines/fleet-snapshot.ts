import {
  bytes,
  type DeviceInventory,
  type FleetSnapshot,
  type Link,
  type MachineId,
  type OrganisationId,
  type PlacedStage,
  type PlacementCandidate,
} from '@deos/domain'
import { invalidField } from './fleet-error.ts'
import type { FleetState } from './fleet-state.ts'
import { usableMachines } from './listing.ts'
import type { Machine } from './machine.ts'

export interface PlacementSources {
  /** Whose machines; `null` for everybody's. */
  readonly organisation: OrganisationId | null
  /** Every stage that has a place now. */
  readonly placed: readonly PlacedStage[]
  /** As measured, the later of two measurements behind the earlier. */
  readonly links: readonly Link[]
  /** How much of a device's memory stages may have, in `(0, 1]`; the rest is for graphs, other programs and the system. */
  readonly usableShare: Readonly<Record<DeviceInventory['kind'], number>>
}

/**
 * What a placement may be chosen from now: the measured devices of ready, uncordoned machines with the memory that is
 * not promised, and the links between these machines. By machine, devices as the inventory names them.
 *
 * @throws FleetError if a share is not in `(0, 1]`
 */
export function fleetSnapshot(state: FleetState, sources: PlacementSources): FleetSnapshot {
  for (const [kind, share] of Object.entries(sources.usableShare)) {
    if (!(share > 0 && share <= 1)) throw invalidField(`usableShare.${kind}`, share, 'above 0, at most 1')
  }
  const promised = promisedBytes(sources.placed)
  const machines = usableMachines(state, sources.organisation)
  return {
    candidates: machines.flatMap((machine) => machineCandidates(machine, sources, promised)),
    links: linksAmong(
      machines.map(({ id }) => id),
      sources.links,
    ),
  }
}

function machineCandidates(
  { id, location, inventory, benchmark }: Machine,
  { usableShare }: PlacementSources,
  promised: ReadonlyMap<string, number>,
): readonly PlacementCandidate[] {
  return inventory!.devices.flatMap(({ name, kind, memoryBytes }) => {
    const measured = benchmark!.devices.find(({ device }) => device === name)
    if (measured === undefined) return []
    const usable = Math.floor(memoryBytes * usableShare[kind])
    const freeBytes = bytes(Math.max(0, usable - (promised.get(placeKey(id, name)) ?? 0)))
    return [{ machine: id, device: name, location, freeBytes, benchmark: measured }]
  })
}

function promisedBytes(placed: readonly PlacedStage[]): ReadonlyMap<string, number> {
  const promised = new Map<string, number>()
  for (const { machine, device, weightBytes, kvBytes } of placed) {
    const key = placeKey(machine, device)
    promised.set(key, (promised.get(key) ?? 0) + weightBytes + kvBytes)
  }
  return promised
}

/** By `from`, then by `to`. */
function linksAmong(machines: readonly MachineId[], links: readonly Link[]): readonly Link[] {
  const latest = new Map(machines.map((id) => [id, new Map<MachineId, Link>()]))
  for (const link of links) {
    if (link.from === link.to || !latest.has(link.to) || !isMeasured(link)) continue
    latest.get(link.from)?.set(link.to, link)
  }
  return [...latest.values()].flatMap((targets) =>
    [...targets.values()].sort((a, b) => (a.to < b.to ? -1 : 1)),
  )
}

const isMeasured = ({ roundTripMs, bytesPerSecond }: Link): boolean =>
  Number.isFinite(roundTripMs) && roundTripMs >= 0 && Number.isFinite(bytesPerSecond) && bytesPerSecond > 0

/** Neither part can hold a line break. */
const placeKey = (machine: string, other: string): string => `${machine}\n${other}`
