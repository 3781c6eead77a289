import type { AnswerOf, Routes } from '@deos/api'
import type { Leases, Machine, Note } from '@deos/fleet'
import type { MeasuredLink } from './link-table.ts'
import type { MachineReport } from './machine-reports.ts'
import type { MachineSettings } from './machine-settings.ts'
import type { HeldStage } from './placed-stages.ts'
import { behindNat } from './standings.ts'

export type MachineAnswer = AnswerOf<Routes['machines']['show']>
export type MachineLinks = AnswerOf<Routes['machines']['links']>

export const nameOf = (machine: Pick<Machine, 'name'>, { name }: MachineSettings): string =>
  name ?? machine.name

/** A machine as the API shows it. */
export function machineAnswer(
  machine: Machine,
  settings: MachineSettings,
  leases: Leases,
  report: MachineReport | null,
  stages: readonly HeldStage[],
  isReachable: boolean,
): MachineAnswer {
  const { id, state, reason, stateSinceMs, incarnation, presence } = machine
  const present = report !== null && presence.online && report.incarnation === incarnation
  return {
    id,
    name: nameOf(machine, settings),
    location: settings.location ?? machine.location,
    // Removed ones are not shown.
    state: state as Exclude<typeof state, 'removed'>,
    reason: { message: state === 'ready' && !isReachable ? behindNat : reason, since: iso(stateSinceMs) },
    cordon: note(machine.cordon),
    drain: note(machine.drain),
    quarantines: machine.quarantines.map(({ cause, ...about }) => ({ cause, ...note(about) })),
    version: machine.software.version,
    incarnation,
    pricePerHour: settings.pricePerHour,
    lease: presence.online
      ? { lastHeartbeatAt: iso(leases.heardAtMs(machine)), expiresAt: iso(leases.expiresAtMs(machine)) }
      : null,
    inventory: machine.inventory,
    benchmark: machine.benchmark,
    benchmarkedAt: machine.benchmarkedAtMs === null ? null : iso(machine.benchmarkedAtMs),
    load: present ? report.load : null,
    stages,
    joinedAt: iso(machine.firstJoinedAtMs),
  }
}

export const linksAnswer = (links: readonly MeasuredLink[]): MachineLinks => ({
  links: links.map(({ measuredAtMs, ...link }) => ({ ...link, measuredAt: iso(measuredAtMs) })),
})

function note<N extends Note | null>(about: N): N extends null ? null : { reason: string; at: string }
function note(about: Note | null) {
  return about === null ? null : { reason: about.reason, at: iso(about.atMs) }
}

export const iso = (atMs: number): string => new Date(atMs).toISOString()
