import type {
  DeploymentId,
  HeldLayers,
  MachineId,
  Milliseconds,
  OrganisationId,
  PlacedStage,
  PlacementForecast,
  ProjectId,
  ReplicaId,
  StageId,
} from '@deos/domain'
import { DeploymentError } from './deployment-error.ts'
import { type DeploymentSpec, sameRuntime } from './deployment-spec.ts'
import type { ReplicaRole } from './replica-role.ts'

export interface Revision {
  /** From 1 on, without gaps. */
  readonly number: number
  readonly spec: DeploymentSpec
  readonly createdAtMs: Milliseconds
}

/**
 * - `assigned`: it has a place; its machine has not said that it loads
 * - `loading`: `fraction` of its bytes are there
 * - `loaded`: it can compute
 * - `failed`: it never will
 */
export type StageState =
  | { readonly type: 'assigned' }
  | { readonly type: 'loading'; readonly fraction: number }
  | { readonly type: 'loaded' }
  | { readonly type: 'failed'; readonly reason: string }

/** A stage on a process of a machine: a later process of it holds nothing of this one. */
export interface AssignedStage extends PlacedStage {
  readonly incarnation: number
}

export interface ReplicaStage extends AssignedStage {
  readonly state: StageState
  readonly changedAtMs: Milliseconds
  /** `host:port` where it listens, as its machine said last; `null` before that, and behind a NAT. */
  readonly linkAddress: string | null
}

/** A stage that no replica wants any more, but which its machine has not given back. */
export interface LeavingStage extends AssignedStage {
  readonly replica: ReplicaId
  readonly generation: number
  readonly sinceMs: Milliseconds
}

/**
 * - `placing`: looks for machines
 * - `loading`: its stages load, the last one first
 * - `verifying`: all are loaded; a real token is generated end to end
 * - `ready`: published
 * - `draining`: not published, finishes what it has
 * - `failed`: waits before it looks for machines again
 *
 * When it is gone it is no longer in the deployment; its stages are leaving.
 */
export type ReplicaPhase = 'placing' | 'loading' | 'verifying' | 'ready' | 'draining' | 'failed'

export type DrainCause = 'scale' | 'update' | 'machine' | 'room' | 'pause' | 'removal'

export interface Replica {
  readonly id: ReplicaId
  /** Never changes. */
  readonly role: ReplicaRole
  readonly revision: number
  readonly createdAtMs: Milliseconds
  readonly phase: ReplicaPhase
  readonly phaseSinceMs: Milliseconds
  /** Counts placements, from 1; 0 before the first. What is said of an earlier one is not listened to. */
  readonly generation: number
  /** In the order of the ring; empty while `placing` or `failed`. */
  readonly stages: readonly ReplicaStage[]
  /** Predicted by the placer. */
  readonly tokenMs: Milliseconds | null
  /** Of requests, by the placer; as long as it is placed. */
  readonly forecast: PlacementForecast | null
  readonly placementReasons: readonly string[]
  /** In a row, not counting lost machines. */
  readonly failures: number
  /** Why it failed last, until it is ready again. */
  readonly failure: { readonly reason: string; readonly retryAtMs: Milliseconds } | null
  /** What had been loaded when it failed last, in the order of its ring; its weights may still be there. */
  readonly held?: readonly HeldLayers[]
  /** Machines that let it down since it was last ready. */
  readonly avoid: readonly MachineId[]
  /** How often it has begun to drain. */
  readonly drains: number
  /** `version`: of the state in which it was first no longer published. */
  readonly drain: { readonly cause: DrainCause; readonly reason: string; readonly version: number } | null
}

/** The placer found no place. */
export interface Refusal {
  /** For what. Replicas that answer do not wait for those that only compute prompts. */
  readonly role: ReplicaRole
  readonly reasons: readonly string[]
  /** Tells whether the fleet has changed since. */
  readonly fleetKey: string
  readonly atMs: Milliseconds
  /** In a row with an unchanged fleet. */
  readonly count: number
  readonly retryAtMs: Milliseconds
}

export interface Deployment {
  readonly id: DeploymentId
  /** Only its machines are used. */
  readonly organisation: OrganisationId
  readonly project: ProjectId
  readonly name: string
  readonly createdAtMs: Milliseconds
  readonly updatedAtMs: Milliseconds
  readonly revisions: readonly Revision[]
  readonly activeRevision: number
  /** That answer. */
  readonly desiredReplicas: number
  readonly paused: { readonly reason: string } | null
  readonly removing: { readonly reason: string } | null
  /** Oldest first. */
  readonly replicas: readonly Replica[]
  readonly leaving: readonly LeavingStage[]
  readonly refusal: Refusal | null
  /** Why fewer are published than before, while an update has no room for a spare. */
  readonly squeeze: string | null
}

/** All deployments over one fleet: those of one organisation share its memory. */
export interface DeploymentsState {
  /** Events folded in. */
  readonly version: number
  readonly deployments: ReadonlyMap<DeploymentId, Deployment>
  /** In which version of the state it last changed what a machine is to hold, or who its neighbours are. */
  readonly assignmentVersions: ReadonlyMap<MachineId, number>
}

export const noDeployments: DeploymentsState = {
  version: 0,
  deployments: new Map(),
  assignmentVersions: new Map(),
}

/** @throws DeploymentError if there is none with this id */
export function requireDeployment(state: DeploymentsState, id: DeploymentId): Deployment {
  const deployment = state.deployments.get(id)
  if (deployment) return deployment
  throw new DeploymentError('DEPLOYMENT_UNKNOWN', `There is no deployment ${id}.`)
}

/** @throws DeploymentError if there is none with this number */
export function requireRevision({ name, revisions }: Deployment, number: number): Revision {
  const revision = revisions.find((candidate) => candidate.number === number)
  if (revision) return revision
  const last = revisions.length
  throw new DeploymentError(
    'REVISION_UNKNOWN',
    `${name} has no revision ${number}; its revisions are 1 to ${last}.`,
  )
}

export const activeSpec = (deployment: Deployment): DeploymentSpec =>
  requireRevision(deployment, deployment.activeRevision).spec

/** Whether the replica serves the active revision as it is. */
export const isCurrent = (deployment: Deployment, replica: Replica): boolean =>
  sameRuntime(requireRevision(deployment, replica.revision).spec, activeSpec(deployment))

/** How many replicas of the role should be published now. Without any that answer, none computes prompts. */
export function wantedReplicas(deployment: Deployment, role: ReplicaRole): number {
  const { paused, removing, desiredReplicas } = deployment
  if (paused || removing) return 0
  if (role === 'decode' || desiredReplicas === 0) return desiredReplicas
  return activeSpec(deployment).split?.prefillReplicas ?? 0
}

/** What keeps replicas of the role from being placed: those that answer wait for no others. */
export const refusalOf = ({ refusal }: Deployment, role: ReplicaRole): Refusal | null =>
  refusal?.role === 'prefill' && role === 'decode' ? null : refusal

/** Every stage that has memory of a machine promised to it. */
export function* promisedStages(state: DeploymentsState): Generator<AssignedStage> {
  for (const { replicas, leaving } of state.deployments.values()) {
    for (const { stages } of replicas) yield* stages
    yield* leaving
  }
}

/** A replica that takes requests. */
export interface PublishedReplica {
  readonly deployment: DeploymentId
  readonly replica: ReplicaId
  readonly revision: number
  readonly generation: number
  readonly stages: readonly PlacedStage[]
}

/** All that take requests; whatever is not among them must not. */
export function publishedReplicas(state: DeploymentsState): readonly PublishedReplica[] {
  return [...state.deployments.values()].flatMap(({ id, replicas }) =>
    replicas
      .filter(({ phase }) => phase === 'ready')
      .map(({ id: replica, revision, generation, stages }) => ({
        deployment: id,
        replica,
        revision,
        generation,
        stages: stages.map(placedStage),
      })),
  )
}

export const placedStage = ({
  id,
  machine,
  device,
  layers,
  weightBytes,
  kvBytes,
}: PlacedStage): PlacedStage => ({
  id,
  machine,
  device,
  layers,
  weightBytes,
  kvBytes,
})

/**
 * Of the stages that a machine says it holds, those that nothing speaks of any more: it was out of reach when they
 * were given up. It should unload them before anything new is placed there.
 */
export function strayStages(
  state: DeploymentsState,
  machine: MachineId,
  held: readonly StageId[],
): readonly StageId[] {
  const known = new Set<StageId>()
  for (const stage of promisedStages(state)) if (stage.machine === machine) known.add(stage.id)
  return held.filter((id) => !known.has(id))
}
