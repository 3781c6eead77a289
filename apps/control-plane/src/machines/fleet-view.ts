import type { DeviceInventory, FleetSnapshot, MachineId, MachineLocation, OrganisationId } from '@deos/domain'
import { type FleetState, fleetSnapshot, listMachines, type MachineStanding } from '@deos/fleet'
import type { Price } from '../database/schema/prices.ts'
import type { LinkTable } from './link-table.ts'
import type { MachineReports } from './machine-reports.ts'
import type { MachineSettingsTable } from './machine-settings.ts'
import { nameOf } from './machine-view.ts'
import type { PlacedStages } from './placed-stages.ts'
import { standingOf } from './standings.ts'

export interface MachineDetails {
  readonly name: string
  readonly location: MachineLocation
  readonly pricePerHour: Price | null
}

export interface FleetViewParts {
  readonly state: () => FleetState
  readonly settings: MachineSettingsTable
  readonly links: LinkTable
  readonly reports: MachineReports
  readonly placed: PlacedStages
  /** False only if it is known that no machine can reach it. */
  readonly isReachable: (machine: MachineId) => boolean
  readonly usableShare: Readonly<Record<DeviceInventory['kind'], number>>
}

interface Kept {
  readonly state: FleetState
  readonly settingsVersion: number
  readonly linksVersion: number
  readonly snapshots: Map<OrganisationId, FleetSnapshot>
}

/** Machines as deployments see them. */
export class FleetView {
  #kept: Kept | null = null

  constructor(private readonly parts: FleetViewParts) {}

  /** Null if it was removed, or never was. */
  details(machine: MachineId): MachineDetails | null {
    const known = this.parts.state().machines.get(machine)
    if (known === undefined || known.removal !== null) return null
    const settings = this.parts.settings.of(machine)
    return {
      name: nameOf(known, settings),
      location: settings.location ?? known.location,
      pricePerHour: settings.pricePerHour,
    }
  }

  standings(organisation: OrganisationId | null): readonly MachineStanding[] {
    const { state, reports, placed, isReachable } = this.parts
    return listMachines(state(), organisation).map((machine) =>
      standingOf(machine, reports.of(machine.id), placed, isReachable(machine.id)),
    )
  }

  /** Nothing is taken off for stages: the reconciler does that itself. */
  snapshot(organisation: OrganisationId): FleetSnapshot {
    const { snapshots } = this.#current()
    const known = snapshots.get(organisation)
    if (known !== undefined) return known
    const { state, settings, links, usableShare } = this.parts
    const fleet = fleetSnapshot(state(), { organisation, placed: [], links: links.all(), usableShare })
    const snapshot = {
      links: fleet.links,
      candidates: fleet.candidates.map((candidate) => ({
        ...candidate,
        location: settings.of(candidate.machine).location ?? candidate.location,
      })),
    }
    snapshots.set(organisation, snapshot)
    return snapshot
  }

  /** The same snapshots are good until one of their sources changes. */
  #current(): Kept {
    const state = this.parts.state()
    const settingsVersion = this.parts.settings.version
    const linksVersion = this.parts.links.version
    const kept = this.#kept
    if (
      kept?.state === state &&
      kept.settingsVersion === settingsVersion &&
      kept.linksVersion === linksVersion
    ) {
      return kept
    }
    this.#kept = { state, settingsVersion, linksVersion, snapshots: new Map() }
    return this.#kept
  }
}
