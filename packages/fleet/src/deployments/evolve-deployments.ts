import type { DeploymentId, MachineId, ReplicaId, StageId } from '@deos/domain'
import { machinesConcerned } from './assignment-versions.ts'
import {
  type AssignedStage,
  type Deployment,
  type DeploymentsState,
  type LeavingStage,
  noDeployments,
  placedStage,
  type Replica,
  type ReplicaPhase,
  type ReplicaStage,
} from './deployment.ts'
import type { DeploymentEvent } from './deployment-events.ts'

type ReplicaEvent = Extract<DeploymentEvent, { readonly replica: ReplicaId }>
type StageEvent = Extract<ReplicaEvent, { readonly stage: StageId }>

/** The state after one more event. */
export function evolveDeployments(state: DeploymentsState, event: DeploymentEvent): DeploymentsState {
  const version = state.version + 1
  const deployments = new Map(state.deployments)
  if (event.type === 'deploymentCreated') deployments.set(event.deployment, created(event))
  else if (event.type === 'deploymentRemoved') deployments.delete(event.deployment)
  else {
    const changed = evolved(known(state, event.deployment), event, version)
    deployments.set(event.deployment, { ...changed, updatedAtMs: event.atMs })
  }
  const concerned = machinesConcerned(state, { deployments }, event)
  if (concerned.size === 0) return { ...state, version, deployments }
  const assignmentVersions = new Map(state.assignmentVersions)
  for (const machine of concerned) assignmentVersions.set(machine, version)
  return { version, deployments, assignmentVersions }
}

export const foldDeployments = (
  events: Iterable<DeploymentEvent>,
  from: DeploymentsState = noDeployments,
): DeploymentsState => {
  let state = from
  for (const event of events) state = evolveDeployments(state, event)
  return state
}

function known(state: DeploymentsState, id: DeploymentId): Deployment {
  const deployment = state.deployments.get(id)
  if (!deployment) throw new Error(`An event speaks of ${id}, which was never created or is gone.`)
  return deployment
}

function created(event: Extract<DeploymentEvent, { readonly type: 'deploymentCreated' }>): Deployment {
  return {
    id: event.deployment,
    organisation: event.organisation,
    project: event.project,
    name: event.name,
    createdAtMs: event.atMs,
    updatedAtMs: event.atMs,
    revisions: [{ number: 1, spec: event.spec, createdAtMs: event.atMs }],
    activeRevision: 1,
    desiredReplicas: event.desiredReplicas,
    paused: null,
    removing: null,
    replicas: [],
    leaving: [],
    refusal: null,
    squeeze: null,
  }
}

function evolved(
  deployment: Deployment,
  event: Exclude<DeploymentEvent, { readonly type: 'deploymentCreated' | 'deploymentRemoved' }>,
  version: number,
): Deployment {
  switch (event.type) {
    case 'deploymentRevised': {
      const { revision: number, spec, atMs: createdAtMs } = event
      const revisions = [...deployment.revisions, { number, spec, createdAtMs }]
      return activated({ ...deployment, revisions }, number, event.desiredReplicas)
    }
    case 'revisionActivated':
      return activated(deployment, event.revision, event.desiredReplicas)
    case 'deploymentScaled':
      return { ...deployment, desiredReplicas: event.desiredReplicas }
    case 'deploymentPaused':
      return { ...deployment, paused: { reason: event.reason }, refusal: null, squeeze: null }
    case 'deploymentResumed':
      return { ...deployment, paused: null }
    case 'removalBegun':
      return { ...deployment, removing: { reason: event.reason }, refusal: null, squeeze: null }
    case 'placementRefused': {
      const { role, reasons, fleetKey, atMs, count, retryAtMs } = event
      return { ...deployment, refusal: { role, reasons, fleetKey, atMs, count, retryAtMs } }
    }
    case 'updateSqueezed':
      return { ...deployment, squeeze: event.reason }
    case 'stageUnloaded':
      return { ...deployment, leaving: deployment.leaving.filter(({ id }) => id !== event.stage) }
    case 'replicaAdded':
      return { ...deployment, replicas: [...deployment.replicas, added(event)] }
    case 'replicaGone': {
      const replica = replicaOf(deployment, event.replica)
      const replicas = deployment.replicas.filter(({ id }) => id !== event.replica)
      return { ...deployment, replicas, leaving: leavingAfter(deployment, replica, event) }
    }
    case 'replicaFailed': {
      const leaving = leavingAfter(deployment, replicaOf(deployment, event.replica), event)
      return withReplica({ ...deployment, leaving }, event, version)
    }
    case 'replicaPlaced':
      return withReplica({ ...deployment, refusal: null }, event, version)
    case 'replicaReady':
      return withReplica({ ...deployment, squeeze: null }, event, version)
    default:
      return withReplica(deployment, event, version)
  }
}

const activated = (deployment: Deployment, activeRevision: number, desiredReplicas: number): Deployment => ({
  ...deployment,
  activeRevision,
  desiredReplicas,
  refusal: null,
  squeeze: null,
})

const added = (event: Extract<DeploymentEvent, { readonly type: 'replicaAdded' }>): Replica => ({
  id: event.replica,
  role: event.role,
  revision: event.revision,
  createdAtMs: event.atMs,
  phase: 'placing',
  phaseSinceMs: event.atMs,
  generation: 0,
  stages: [],
  tokenMs: null,
  forecast: null,
  placementReasons: [],
  failures: 0,
  failure: null,
  avoid: [],
  drains: 0,
  drain: null,
})

const heldBy = ({ stages }: Replica): NonNullable<Replica['held']> =>
  stages
    .filter(({ state }) => state.type === 'loaded')
    .map(({ machine, device, layers }) => ({ machine, device, layers }))

function replicaOf({ id, replicas }: Deployment, wanted: ReplicaId): Replica {
  const replica = replicas.find((candidate) => candidate.id === wanted)
  if (!replica) throw new Error(`An event speaks of ${wanted}, which ${id} does not have.`)
  return replica
}

function withReplica(
  deployment: Deployment,
  event: Exclude<ReplicaEvent, { readonly type: 'replicaAdded' | 'replicaGone' }>,
  version: number,
): Deployment {
  const changed = evolvedReplica(replicaOf(deployment, event.replica), event, version)
  const replicas = deployment.replicas.map((replica) => (replica.id === event.replica ? changed : replica))
  return { ...deployment, replicas }
}

function evolvedReplica(
  replica: Replica,
  event: Exclude<ReplicaEvent, { readonly type: 'replicaAdded' | 'replicaGone' }>,
  version: number,
): Replica {
  const entered = (phase: ReplicaPhase) => ({ ...replica, phase, phaseSinceMs: event.atMs })
  switch (event.type) {
    case 'replicaPlaced':
      return {
        ...entered('loading'),
        generation: event.generation,
        stages: event.stages.map((stage) => ({
          ...assigned(stage),
          state: { type: 'assigned' },
          changedAtMs: event.atMs,
          linkAddress: null,
        })),
        tokenMs: event.tokenMs,
        forecast: event.forecast ?? null,
        placementReasons: event.reasons,
      }
    case 'stageProgressed':
      return withStage(replica, event, { state: { type: 'loading', fraction: event.fraction } })
    case 'stageLoaded':
      return withStage(replica, event, { state: { type: 'loaded' } })
    case 'stageFailed':
      return withStage(replica, event, { state: { type: 'failed', reason: event.reason } })
    case 'stageListening':
      return withStage(replica, event, { linkAddress: event.linkAddress })
    case 'replicaVerifying':
      return entered('verifying')
    case 'replicaReady':
      return { ...entered('ready'), failure: null, avoid: [] }
    case 'replicaFailed': {
      const { reason, failures, retryAtMs } = event
      const avoid = [...new Set([...replica.avoid, ...event.avoid])].slice(-8)
      const failure = { reason, retryAtMs }
      return {
        ...entered('failed'),
        ...(replica.stages.length === 0 ? {} : { held: heldBy(replica) }),
        stages: [],
        tokenMs: null,
        forecast: null,
        failures,
        failure,
        avoid,
        drain: null,
      }
    }
    case 'replicaDraining': {
      const { cause, reason } = event
      return { ...entered('draining'), drains: replica.drains + 1, drain: { cause, reason, version } }
    }
    case 'replicaReturned':
      return { ...entered('ready'), drain: null }
  }
}

function withStage(
  replica: Replica,
  { stage: wanted, atMs }: StageEvent,
  change: Partial<Pick<ReplicaStage, 'state' | 'linkAddress'>>,
): Replica {
  const stages = replica.stages.map((stage) =>
    stage.id === wanted ? { ...stage, ...change, changedAtMs: atMs } : stage,
  )
  return { ...replica, stages }
}

const assigned = (stage: AssignedStage): AssignedStage => ({
  ...placedStage(stage),
  incarnation: stage.incarnation,
})

/** What a replica had, but for what went with a lost machine, is to be unloaded. */
function leavingAfter(
  { leaving }: Deployment,
  { id: replica, generation, stages }: Replica,
  { lost, atMs: sinceMs }: { readonly lost: readonly MachineId[]; readonly atMs: LeavingStage['sinceMs'] },
): readonly LeavingStage[] {
  return [
    ...leaving,
    ...stages
      .filter(({ machine }) => !lost.includes(machine))
      .map((stage) => ({ ...assigned(stage), replica, generation, sinceMs })),
  ]
}
