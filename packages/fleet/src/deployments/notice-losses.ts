import { type DeploymentId, formatLayers } from '@deos/domain'
import type { Deployment, Replica } from './deployment.ts'
import type { Reconciliation } from './reconciliation.ts'
import { failureEvent } from './replica-failure.ts'

/** Takes note of machines that went, with all that was on them. */
export function noticeLosses(run: Reconciliation, id: DeploymentId): void {
  const deployment = run.deployment(id)
  for (const stage of deployment.leaving) {
    const reason = run.loss(stage)
    if (reason === null) continue
    run.emit({ type: 'stageUnloaded', deployment: id, atMs: run.nowMs, stage: stage.id, reason })
  }
  for (const replica of deployment.replicas) {
    const gone = replica.stages.filter((stage) => run.loss(stage) !== null)
    if (gone.length === 0) continue
    const lost = [...new Set(gone.map(({ machine }) => machine))]
    const failure = { reason: run.loss(gone[0]!)!, lost, blamed: [] }
    run.emit(failureEvent(deployment, replica, failure, run.nowMs, run.settings))
  }
}

/** Goes on where everything is there, and gives up what takes too long. */
export function noticeProgress(run: Reconciliation, id: DeploymentId): void {
  const deployment = run.deployment(id)
  for (const replica of deployment.replicas) {
    const about = { deployment: id, atMs: run.nowMs, replica: replica.id }
    const loaded = replica.stages.every(({ state }) => state.type === 'loaded')
    if (replica.phase === 'loading' && loaded) run.emit({ type: 'replicaVerifying', ...about })
    else if (run.nowMs >= deadlineMs(replica, run)) giveUp(run, deployment, replica)
  }
}

/** When a replica has taken too long in its phase; never in some. */
export function deadlineMs(
  { phase, phaseSinceMs, stages }: Replica,
  { settings }: Pick<Reconciliation, 'settings'>,
): number {
  switch (phase) {
    case 'loading':
      return Math.max(phaseSinceMs, ...stages.map(({ changedAtMs }) => changedAtMs)) + settings.loadStallMs
    case 'verifying':
      return phaseSinceMs + settings.verifyTimeoutMs
    case 'draining':
      return phaseSinceMs + settings.drainTimeoutMs
    default:
      return Number.POSITIVE_INFINITY
  }
}

function giveUp(run: Reconciliation, deployment: Deployment, replica: Replica): void {
  const { settings, nowMs } = run
  const seconds = Math.round((nowMs - replica.phaseSinceMs) / 1000)
  if (replica.phase === 'draining') {
    const reason = `It did not finish what it had in ${seconds} s.`
    run.emit({
      type: 'replicaGone',
      deployment: deployment.id,
      atMs: nowMs,
      replica: replica.id,
      reason,
      lost: [],
    })
    return
  }
  if (replica.phase === 'verifying') {
    const reason = `No token came out of it in ${seconds} s.`
    run.emit(failureEvent(deployment, replica, { reason, lost: [], blamed: [] }, nowMs, settings))
    return
  }
  // Stages load from the last to the first: the last one missing is the one that the others wait for.
  const stuck = replica.stages.findLast(({ state }) => state.type !== 'loaded')!
  const stall = `made no progress for ${Math.round(settings.loadStallMs / 1000)} s`
  const reason = `Loading layers ${formatLayers(stuck.layers)} on ${stuck.machine} ${stall}.`
  const failure = { reason, lost: [], blamed: [stuck.machine] }
  run.emit(failureEvent(deployment, replica, failure, nowMs, settings))
}
