import type { DeploymentFact } from '@deos/fleet'
import type { MachineReport, StageReport } from '../machines/machine-reports.ts'
import type { StageOfReplica, Stages } from './stage-index.ts'

/** A complete list of what a process of a machine holds. */
export type HeldReport = Pick<MachineReport, 'machine' | 'incarnation' | 'assignmentsVersion' | 'stages'>

/**
 * What a report says of the stages that were promised to that process. What it does not name is not there, but only if
 * the machine had seen the newest assignments: otherwise it may be about to begin with it, or the report is an old one.
 *
 * @param newestVersion - of the machine's assignments
 */
export function factsOf(
  report: HeldReport,
  stages: Stages,
  newestVersion: number,
): readonly DeploymentFact[] {
  const said = new Map(report.stages.map((stage) => [stage.stageId, stage]))
  const facts: DeploymentFact[] = []
  const isCurrent = report.assignmentsVersion >= newestVersion
  for (const entry of stages.placedOn(report.machine)) {
    if (entry.stage.incarnation !== report.incarnation) continue
    const stage = said.get(entry.stage.id)
    if (stage !== undefined) facts.push(...factsOfStage(entry, stage))
    else if (isCurrent) facts.push(...factsOfMissing(entry))
  }
  if (!isCurrent) return facts
  for (const { deployment, stage } of stages.leavingOn(report.machine)) {
    if (stage.incarnation !== report.incarnation || said.has(stage.id)) continue
    facts.push({ type: 'stageUnloaded', deployment: deployment.id, stage: stage.id })
  }
  return facts
}

/** A stage that its machine has spoken of before, and no longer does. */
function factsOfMissing({ deployment, replica, stage }: StageOfReplica): readonly DeploymentFact[] {
  if (stage.state.type === 'assigned') return []
  const { generation } = replica
  const about = { deployment: deployment.id, replica: replica.id, generation, stage: stage.id }
  return [{ type: 'stageFailed', ...about, reason: 'Its machine no longer holds it.' }]
}

function factsOfStage(
  { deployment, replica, stage }: StageOfReplica,
  said: StageReport,
): readonly DeploymentFact[] {
  const { generation } = replica
  const about = { deployment: deployment.id, replica: replica.id, generation, stage: stage.id }
  if (said.generation !== generation) return []
  const facts: DeploymentFact[] = []
  if (said.linkAddress !== null && said.linkAddress !== stage.linkAddress) {
    facts.push({ type: 'stageListening', ...about, linkAddress: said.linkAddress })
  }
  switch (said.state) {
    case 'failed':
      facts.push({ type: 'stageFailed', ...about, reason: said.problem ?? '' })
      break
    case 'loaded':
      if (stage.state.type !== 'loaded') facts.push({ type: 'stageLoaded', ...about })
      break
    case 'loading':
      if (stage.state.type !== 'loaded') {
        facts.push({ type: 'stageProgress', ...about, fraction: said.loadedFraction })
      }
  }
  return facts
}
