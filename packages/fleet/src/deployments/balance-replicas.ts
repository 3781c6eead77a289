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
import { type ReplicaRole, replicaRoles } from './replica-role.ts'

/** Replicas of one role of a deployment that have not begun to go, and what becomes of them. */
export interface Sorted {
  /** Serve the active revision and may stay where they are. */
  readonly staying: readonly Replica[]
  /** To be replaced, in this order: on machines that drain first, then of another revision. */
  readonly leaving: readonly Replica[]
}

export function sortReplicas(run: Reconciliation, deployment: Deployment, role: ReplicaRole): Sorted {
  const live = deployment.replicas.filter((replica) => replica.role === role && replica.phase !== 'draining')
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
 * Brings the number of replicas of each role where it should be: never publishes fewer than before for the sake of an
 * update or a move, and has at most one replica more than wanted meanwhile.
 */
export function balanceReplicas(run: Reconciliation, id: DeploymentId): void {
  for (const role of replicaRoles) {
    takeBack(run, id, role)
    dropUnfinished(run, id, role)
    dropSurplus(run, id, role)
    addMissing(run, id, role)
    retire(run, id, role)
  }
}

const isReady = ({ phase }: Replica) => phase === 'ready'

/** Instant rollback: what is draining and serves the active revision is better than what has yet to load. */
function takeBack(run: Reconciliation, id: DeploymentId, role: ReplicaRole): void {
  const deployment = run.deployment(id)
  const { staying } = sortReplicas(run, deployment, role)
  let missing = wantedReplicas(deployment, role) - staying.filter(isReady).length
  for (const replica of deployment.replicas) {
    if (missing <= 0) return
    if (replica.role !== role || replica.phase !== 'draining' || !isCurrent(deployment, replica)) continue
    if (replica.stages.some((stage) => run.isDraining(stage))) continue
    const reason = 'It is wanted again before it was gone.'
    run.emit({ type: 'replicaReturned', deployment: id, atMs: run.nowMs, replica: replica.id, reason })
    missing -= 1
  }
}

/** What is not ready and will not be wanted when it is. */
function dropUnfinished(run: Reconciliation, id: DeploymentId, role: ReplicaRole): void {
  const deployment = run.deployment(id)
  for (const replica of sortReplicas(run, deployment, role).leaving) {
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
function dropSurplus(run: Reconciliation, id: DeploymentId, role: ReplicaRole): void {
  const deployment = run.deployment(id)
  const { staying } = sortReplicas(run, deployment, role)
  const wanted = wantedReplicas(deployment, role)
  const surplus = [...staying]
    .reverse()
    .sort((a, b) => worth[a.phase] - worth[b.phase])
    .slice(0, Math.max(0, staying.length - wanted))
  for (const replica of surplus) {
    if (isReady(replica)) drain(run, id, replica, ...whyFewer(deployment, role))
    else drop(run, id, replica.id, whyFewer(deployment, role)[1])
  }
}

function addMissing(run: Reconciliation, id: DeploymentId, role: ReplicaRole): void {
  const deployment = run.deployment(id)
  const { staying, leaving } = sortReplicas(run, deployment, role)
  const wanted = wantedReplicas(deployment, role)
  const most = Math.min(wanted - staying.length, wanted + 1 - staying.length - leaving.length)
  for (let count = 0; count < most; count += 1) {
    const replica = run.input.ids.next('replica') as ReplicaId
    const { activeRevision: revision } = deployment
    run.emit({ type: 'replicaAdded', deployment: id, atMs: run.nowMs, replica, revision, role })
  }
}

/** Lets go of what is replaced, as far as enough is published without it. */
function retire(run: Reconciliation, id: DeploymentId, role: ReplicaRole): void {
  const deployment = run.deployment(id)
  const { staying, leaving } = sortReplicas(run, deployment, role)
  const spare = staying.filter(isReady).length + leaving.length - wantedReplicas(deployment, role)
  for (const replica of leaving.slice(0, Math.max(0, spare))) {
    drain(run, id, replica, ...whyReplaced(run, deployment, replica))
  }
}

function whyFewer(deployment: Deployment, role: ReplicaRole): readonly [DrainCause, string] {
  const { removing, paused } = deployment
  if (removing) return ['removal', `The deployment is removed: ${removing.reason}`]
  if (paused) return ['pause', `The deployment is paused: ${paused.reason}`]
  const purpose = role === 'prefill' ? ' to compute prompts' : ''
  return ['scale', `Only ${wantedReplicas(deployment, role)} are wanted${purpose}.`]
}

function whyReplaced(
  run: Reconciliation,
  deployment: Deployment,
  { stages, revision, role }: Replica,
): readonly [DrainCause, string] {
  if (wantedReplicas(deployment, role) === 0) return whyFewer(deployment, role)
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
