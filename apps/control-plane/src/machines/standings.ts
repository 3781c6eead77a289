import type { Machine, MachineStanding } from '@deos/fleet'
import type { MachineReport } from './machine-reports.ts'
import type { PlacedStages } from './placed-stages.ts'

/** Neighbours on a ring and gateways dial. */
export const behindNat =
  'It is behind a NAT and there is no relay: nobody could reach its stages, so it gets none.'

/**
 * How a machine stands towards stages. It is open only when this process of it has said what it holds since it came
 * (back), and nothing of that is a leftover: that would lie in memory which counts as free.
 */
export function standingOf(
  machine: Machine,
  report: MachineReport | null,
  placed: PlacedStages,
  isReachable: boolean,
): MachineStanding {
  const { id, organisation, state, reason, incarnation, cordon } = machine
  const as = (standing: MachineStanding['standing'], why = reason): MachineStanding => ({
    machine: id,
    organisation,
    standing,
    reason: why,
    incarnation,
  })
  switch (state) {
    case 'removed':
    case 'offline':
    case 'quarantined':
      return as('lost')
    case 'joining':
    case 'benchmarking':
      return as('closed')
    case 'draining':
      return as('draining')
    case 'ready': {
      if (cordon !== null) return as('closed')
      if (!isReachable) return as('closed', behindNat)
      if (!isCurrent(machine, report)) return as('closed', 'It has not said yet what it holds.')
      const leftovers = report.stages.filter(({ stageId }) => placed.find(stageId)?.machine !== id)
      if (leftovers.length === 0) return as('open')
      const count = leftovers.length === 1 ? '1 stage' : `${leftovers.length} stages`
      return as('closed', `It still has to let go of ${count} from before it was cut off.`)
    }
  }
}

/** Whether the report comes from the present process, since it was last found present. */
export const isCurrent = (
  { incarnation, presence }: Machine,
  report: MachineReport | null,
): report is MachineReport =>
  report !== null && report.incarnation === incarnation && report.reportedAtMs >= presence.atMs
