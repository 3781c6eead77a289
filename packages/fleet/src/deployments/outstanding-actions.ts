import type { DeploymentId, MachineId, ModelId, PlacedStage, ReplicaId, StageId, Tokens } from '@deos/domain'
import {
  type Deployment,
  type DeploymentsState,
  type PublishedReplica,
  placedStage,
  publishedReplicas,
  type Replica,
  requireRevision,
} from './deployment.ts'

interface OnReplica {
  readonly deployment: DeploymentId
  readonly replica: ReplicaId
}

/** Something the outside has to see to. Doing it twice must do no harm; a machine does what it is told in order. */
export type DeploymentAction =
  | (OnReplica & { readonly type: 'unpublish' })
  | (PublishedReplica & { readonly type: 'publish' })
  /** Answered with the fact `drained` of the same number when nothing runs any more. */
  | (OnReplica & { readonly type: 'drain'; readonly drain: number })
  /** Answered with `stageUnloaded`, also if the stage is not there or was never loaded. */
  | (OnReplica & {
      readonly type: 'unload'
      readonly generation: number
      readonly machine: MachineId
      readonly device: string
      readonly stage: StageId
    })
  /** Answered with `stageProgress` at 0 when it begins, then `stageLoaded` or `stageFailed`. */
  | (OnReplica & {
      readonly type: 'load'
      readonly generation: number
      readonly stage: PlacedStage
      /** Position in the ring, of so many. */
      readonly position: number
      readonly stages: number
      readonly model: ModelId
      readonly precision: string
      /** `null` is what the model was made for. */
      readonly contextTokens: Tokens | null
      readonly sessions: number
    })
  /** Generate a token end to end; answered with `tokenVerified` or `verificationFailed`. */
  | (OnReplica & {
      readonly type: 'verify'
      readonly generation: number
      readonly stages: readonly PlacedStage[]
    })

const urgency: Readonly<Record<DeploymentAction['type'], number>> = {
  unpublish: 0,
  publish: 1,
  drain: 2,
  unload: 3,
  load: 4,
  verify: 5,
}

/**
 * Everything the outside has to see to as things stand, most urgent first. It stays in the list until a fact says that
 * it is done, and `publish` as long as the replica is published, so that nothing depends on any one being noticed.
 */
export function outstandingActions(state: DeploymentsState): readonly DeploymentAction[] {
  const actions: DeploymentAction[] = publishedReplicas(state).map((replica) => ({
    type: 'publish',
    ...replica,
  }))
  for (const deployment of state.deployments.values()) {
    for (const stage of deployment.leaving) {
      const { replica, generation, machine, device, id } = stage
      actions.push({
        type: 'unload',
        deployment: deployment.id,
        replica,
        generation,
        machine,
        device,
        stage: id,
      })
    }
    for (const replica of deployment.replicas) actions.push(...actionsOf(deployment, replica))
  }
  return actions.sort((a, b) => urgency[a.type] - urgency[b.type])
}

function actionsOf(deployment: Deployment, replica: Replica): readonly DeploymentAction[] {
  const about = { deployment: deployment.id, replica: replica.id }
  const { generation, stages, phase, drains } = replica
  const unpublish: readonly DeploymentAction[] = mayBePublished(replica)
    ? [{ type: 'unpublish', ...about }]
    : []
  switch (phase) {
    case 'draining':
      return [...unpublish, { type: 'drain', ...about, drain: drains }]
    case 'verifying':
      return [...unpublish, { type: 'verify', ...about, generation, stages: stages.map(placedStage) }]
    case 'loading':
      return [...unpublish, ...loadsOf(deployment, replica)]
    default:
      return unpublish
  }
}

/** Somebody may still send requests to it: it was published before, in this placement or in an earlier one. */
const mayBePublished = ({ phase, generation }: Replica): boolean =>
  phase === 'draining' || phase === 'failed' || (phase !== 'ready' && generation > 1)

/** The last stage first; each as soon as the one behind it has begun, so that it finds its successor. */
export const mayLoad = ({ stages }: Replica, position: number): boolean =>
  stages[position + 1]?.state.type !== 'assigned'

function loadsOf(deployment: Deployment, replica: Replica): readonly DeploymentAction[] {
  const { spec } = requireRevision(deployment, replica.revision)
  const { stages, generation } = replica
  return stages.flatMap((stage, position): readonly DeploymentAction[] => {
    if (stage.state.type !== 'assigned' || !mayLoad(replica, position)) return []
    return [
      {
        type: 'load',
        deployment: deployment.id,
        replica: replica.id,
        generation,
        stage: placedStage(stage),
        position,
        stages: stages.length,
        model: spec.model,
        precision: spec.precision,
        contextTokens: spec.contextTokens,
        sessions: spec.sessions,
      },
    ]
  })
}
