import { type MachineId, type Milliseconds, ms } from '@deos/domain'
import type { Deployment, Replica } from './deployment.ts'
import type { DeploymentEvent } from './deployment-events.ts'
import { backoff, type ReconcilerSettings } from './reconciler-settings.ts'

export interface Failure {
  readonly reason: string
  /** Machines that took their stages with them. */
  readonly lost: readonly MachineId[]
  /** Machines that are to be avoided, lost ones apart. */
  readonly blamed: readonly MachineId[]
}

/**
 * What follows when a replica can no longer serve. One that was going anyway is gone. One that lost a machine is
 * placed anew at once, since that says nothing against it; any other waits longer each time.
 */
export function failureEvent(
  { id: deployment }: Deployment,
  replica: Replica,
  { reason, lost, blamed }: Failure,
  nowMs: Milliseconds,
  settings: ReconcilerSettings,
): DeploymentEvent {
  const about = { deployment, replica: replica.id, atMs: nowMs, reason, lost }
  if (replica.phase === 'draining') return { type: 'replicaGone', ...about }
  const avoid = [...lost, ...blamed]
  if (lost.length > 0) {
    return { type: 'replicaFailed', ...about, failures: replica.failures, retryAtMs: nowMs, avoid }
  }
  const stable = replica.phase === 'ready' && nowMs - replica.phaseSinceMs >= settings.stableMs
  const failures = (stable ? 0 : replica.failures) + 1
  const waitMs = backoff(settings.backoffMs, settings.longestBackoffMs, failures)
  return { type: 'replicaFailed', ...about, failures, retryAtMs: ms(nowMs + waitMs), avoid }
}
