import type { DeploymentId, ReplicaId } from '@deos/domain'
import {
  type Deployment,
  type DrainCause,
  isCurrent,
  type Replica,
  type ReplicaPhase,
  wantedReplicas,
} from './deployment.ts'
import type { Reconciliation } from './reconciliation.ts'

/** Replicas of a deployment that have not begun to go, and what becomes of them. */
export interface Sorted {
  /** Serve the active revision and may stay where they are. */
  readonly staying: readonly Replica[]
  /** To be replaced, in this order: on machines that drain first, then of another revision. */
  readonly leaving: readonly Replica[]
}

export function sortReplicas(run: Reconciliation, deployment: Deployment): Sorted {
  const live = deployment.replicas.filter(({ phase }) => phase !== 'draining')
  const moves = (replica: Replica) => replica.stages.some((stage) => run.isDraining(stage))
  const outdated = (replica: Replica) => !isCurrent(deployment, replica)
  return {
    staying: live.filter((replica) => !moves(replica) && !outdated(replica)),
    leaving: [
      ...live.filter((replica) => moves(replica)),
      ...live.filter((replica) => !moves(replica) && outdated(replica)),
    ],
  }
}

/**
 * Brings the number of replicas where it should be: never publishes fewer than before for the sake of an update or
 * a move, and has at most one replica more than wanted meanwhile.
 */
export function balanceReplicas(run: Reconciliation, id: DeploymentId): void {
  takeBack(run, id)
  dropUnfinished(run, id)
  dropSurplus(run, id)
  addMissing(run, id)
  retire(run, id)
}

const isReady = ({ phase }: Replica) => phase === 'ready'

/** Instant rollback: what is draining and serves the active revision is better than what has yet to load. */
function takeBack(run: Reconciliation, id: DeploymentId): void {
  const deployment = run.deployment(id)
  let missing = wantedReplicas(deployment) - sortReplicas(run, deployment).staying.filter(isReady).length
  for (const replica of deployment.replicas) {
    if (missing <= 0) return
    if (replica.phase !== 'draining' || !isCurrent(deployment, replica)) continue
    if (replica.stages.some((stage) => run.isDraining(stage))) continue
    const reason = 'It is wanted again before it was gone.'
    run.emit({ type: 'replicaReturned', deployment: id, atMs: run.nowMs, replica: replica.id, reason })
    missing -= 1
  }
}

/** What is not ready and will not be wanted when it is. */
function dropUnfinished(run: Reconciliation, id: DeploymentId): void {
  const deployment = run.deployment(id)
  for (const replica of sortReplicas(run, deployment).leaving) {
    if (isReady(replica)) continue
    const why = isCurrent(deployment, replica)
      ? 'One of its machines drains before it was ready.'
      : `Revision ${deployment.activeRevision} took over before it was ready.`
    drop(run, id, replica.id, why)
  }
}

const worth: Readonly<Record<ReplicaPhase, number>> = {
  draining: 0,
  failed: 1,
  placing: 2,
  loading: 3,
  verifying: 4,
  ready: 5,
}

/** The least advanced first, of those the newest. */
function dropSurplus(run: Reconciliation, id: DeploymentId): void {
  const deployment = run.deployment(id)
  const { staying } = sortReplicas(run, deployment)
  const wanted = wantedReplicas(deployment)
  const surplus = [...staying]
    .reverse()
    .sort((a, b) => worth[a.phase] - worth[b.phase])
    .slice(0, Math.max(0, staying.length - wanted))
  for (const replica of surplus) {
    if (isReady(replica)) drain(run, id, replica, ...whyFewer(deployment))
    else drop(run, id, replica.id, whyFewer(deployment)[1])
  }
}

function addMissing(run: Reconciliation, id: DeploymentId): void {
  const deployment = run.deployment(id)
  const { staying, leaving } = sortReplicas(run, deployment)
  const wanted = wantedReplicas(deployment)
  const most = Math.min(wanted - staying.length, wanted + 1 - staying.length - leaving.length)
  for (let count = 0; count < most; count += 1) {
    const replica = run.input.ids.next('replica') as ReplicaId
    const { activeRevision: revision } = deployment
    run.emit({ type: 'replicaAdded', deployment: id, atMs: run.nowMs, replica, revision })
  }
}

/** Lets go of what is replaced, as far as enough is published without it. */
function retire(run: Reconciliation, id: DeploymentId): void {
  const deployment = run.deployment(id)
  const { staying, leaving } = sortReplicas(run, deployment)
  const spare = staying.filter(isReady).length + leaving.length - wantedReplicas(deployment)
  for (const replica of leaving.slice(0, Math.max(0, spare))) {
    drain(run, id, replica, ...whyReplaced(run, deployment, replica))
  }
}

function whyFewer({ removing, paused, desiredReplicas }: Deployment): readonly [DrainCause, string] {
  if (removing) return ['removal', `The deployment is removed: ${removing.reason}`]
  if (paused) return ['pause', `The deployment is paused: ${paused.reason}`]
  return ['scale', `Only ${desiredReplicas} are wanted.`]
}

function whyReplaced(
  run: Reconciliation,
  deployment: Deployment,
  { stages, revision }: Replica,
): readonly [DrainCause, string] {
  if (wantedReplicas(deployment) === 0) return whyFewer(deployment)
  const draining = stages.find((stage) => run.isDraining(stage))
  if (draining) {
    return ['machine', `${draining.machine} drains: ${run.machine(draining.machine)!.reason}`]
  }
  return ['update', `Revision ${deployment.activeRevision} replaces revision ${revision}.`]
}

export function drain(
  run: Reconciliation,
  deployment: DeploymentId,
  { id: replica }: Replica,
  cause: DrainCause,
  reason: string,
): void {
  run.emit({ type: 'replicaDraining', deployment, atMs: run.nowMs, replica, cause, reason })
}

function drop(run: Reconciliation, deployment: DeploymentId, replica: ReplicaId, reason: string): void {
  run.emit({ type: 'replicaGone', deployment, atMs: run.nowMs, replica, reason, lost: [] })
}
