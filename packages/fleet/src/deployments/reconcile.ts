import { type DeploymentId, type Milliseconds, ms } from '@deos/domain'
import { balanceReplicas } from './balance-replicas.ts'
import { type Deployment, type DeploymentsState, type Replica, refusalOf } from './deployment.ts'
import type { DeploymentEvent } from './deployment-events.ts'
import { deadlineMs, noticeLosses, noticeProgress } from './notice-losses.ts'
import { type DeploymentAction, outstandingActions } from './outstanding-actions.ts'
import { placeReplicas, retryAtMs } from './place-replicas.ts'
import { defaultReconcilerSettings, type ReconcilerSettings } from './reconciler-settings.ts'
import { type ReconcileInput, Reconciliation } from './reconciliation.ts'

export interface ReconcileResult {
  readonly events: readonly DeploymentEvent[]
  /** After the events. */
  readonly state: DeploymentsState
  /** Everything there is to do after the events, not only what is new. */
  readonly actions: readonly DeploymentAction[]
  /** When to reconcile again at the latest, even if nothing is heard; `null` if there is no such time. */
  readonly wakeAtMs: Milliseconds | null
}

/** More than any chain of causes within one run; a run that does not settle is a bug. */
const mostPasses = 100

/**
 * Compares what is with what is wished and takes the next steps. Looks at everything each time, not at what changed, so
 * nothing depends on being called for every change; run again with the same input it gives no further events.
 */
export function reconcile(
  state: DeploymentsState,
  input: ReconcileInput,
  settings: ReconcilerSettings = defaultReconcilerSettings,
): ReconcileResult {
  const run = new Reconciliation(state, input, settings)
  for (let pass = 0, settled = false; !settled; pass += 1) {
    if (pass === mostPasses) throw new Error(`Reconciling did not settle in ${mostPasses} passes.`)
    const before = run.events.length
    // What was lost and what goes first, in all deployments, so that nothing is placed where it cannot stay.
    for (const id of run.state.deployments.keys()) noticeLosses(run, id)
    for (const id of run.state.deployments.keys()) {
      noticeProgress(run, id)
      balanceReplicas(run, id)
    }
    for (const id of run.state.deployments.keys()) {
      placeReplicas(run, id)
      forgetRemoved(run, id)
    }
    settled = run.events.length === before
  }
  return {
    events: run.events,
    state: run.state,
    actions: outstandingActions(run.state),
    wakeAtMs: nextWake(run),
  }
}

function forgetRemoved(run: Reconciliation, id: DeploymentId): void {
  const { organisation, removing, replicas, leaving } = run.deployment(id)
  if (!removing || replicas.length > 0 || leaving.length > 0) return
  run.emit({ type: 'deploymentRemoved', deployment: id, atMs: run.nowMs, organisation })
}

function nextWake(run: Reconciliation): Milliseconds | null {
  let wake = Number.POSITIVE_INFINITY
  for (const deployment of run.state.deployments.values()) {
    for (const replica of deployment.replicas) {
      wake = Math.min(wake, deadlineMs(replica, run), placingMs(run, deployment, replica))
    }
  }
  return wake === Number.POSITIVE_INFINITY ? null : ms(wake)
}

/** When a replica without a place is tried next. */
function placingMs(run: Reconciliation, deployment: Deployment, { phase, failure, role }: Replica): number {
  if (phase !== 'placing' && phase !== 'failed') return Number.POSITIVE_INFINITY
  const ownMs = failure?.retryAtMs ?? run.nowMs
  const refusal = refusalOf(deployment, role)
  return refusal ? Math.max(ownMs, retryAtMs(deployment, refusal, run)) : ownMs
}
