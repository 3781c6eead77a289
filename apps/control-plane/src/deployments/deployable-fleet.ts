import type { FleetSnapshot, Link, MachineId, MachineLocation, OrganisationId } from '@deos/domain'
import type { MachineStanding } from '@deos/fleet'
import type { Price } from '../database/schema/prices.ts'
import type { MachineReport } from '../machines/machine-reports.ts'
import type { MachineService } from '../machines/machine-service.ts'

/** A machine for people. */
export interface MachineFacade {
  readonly name: string
  readonly location: MachineLocation
  readonly pricePerHour: Price | null
}

/** What deployments ask of machines, from memory. */
export interface DeployableFleet {
  /** Folds in what other control planes wrote. */
  refresh(): Promise<void>
  /** @returns stops telling */
  onChange(listener: () => void): () => void
  /** Of all organisations if that is null. */
  standings(organisation: OrganisationId | null): readonly MachineStanding[]
  /** Nothing is subtracted for stages. */
  snapshot(organisation: OrganisationId): FleetSnapshot
  /** Null if it was removed, or never was. */
  details(machine: MachineId): MachineFacade | null
  /** Whichever control plane heard it. */
  reportOf(machine: MachineId): MachineReport | null
  linkBetween(from: MachineId, to: MachineId): Link | null
}

export const fleetOf = (machines: MachineService): DeployableFleet => ({
  refresh: () => machines.log.refresh(),
  onChange: (listener) => machines.onChange(listener),
  standings: (organisation) => machines.standings(organisation),
  snapshot: (organisation) => machines.snapshot(organisation),
  details: (machine) => machines.details(machine),
  reportOf: (machine) => machines.reportOf(machine),
  linkBetween: (from, to) => machines.links.between(from, to),
})

/** The text with names where ids of machines stand. */
export const withMachineNames = (fleet: Pick<DeployableFleet, 'details'>, text: string): string =>
  text.replace(/\bmachine-[A-Za-z0-9_]+/g, (id) => fleet.details(id as MachineId)?.name ?? id)

/** What the machines cost together in an hour; null if there is none, or one has no price. */
export function pricePerHourOf(
  fleet: Pick<DeployableFleet, 'details'>,
  machines: Iterable<MachineId>,
): Price | null {
  let total: Price | null = null
  for (const machine of new Set(machines)) {
    const price = fleet.details(machine)?.pricePerHour ?? null
    if (price === null || (total !== null && total.currency !== price.currency)) return null
    const microUnits: bigint = BigInt(price.microUnits) + BigInt(total?.microUnits ?? 0)
    total = { currency: price.currency, microUnits: String(microUnits) }
  }
  return total
}
