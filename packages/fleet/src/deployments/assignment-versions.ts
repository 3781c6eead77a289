import type { MachineId, ReplicaId } from '@deos/domain'
import type { DeploymentsState, Replica } from './deployment.ts'
import type { DeploymentEvent } from './deployment-events.ts'

type Deployments = Pick<DeploymentsState, 'deployments'>

const nobody: ReadonlySet<MachineId> = new Set()

/**
 * Machines whose assignments an event changes: all of a replica's ring whenever its stages come or go, one begins to
 * load or to listen, or it stops or starts taking requests.
 */
export function machinesConcerned(
  before: Deployments,
  after: Deployments,
  event: DeploymentEvent,
): ReadonlySet<MachineId> {
  switch (event.type) {
    case 'replicaPlaced':
    case 'replicaDraining':
    case 'replicaReturned':
    case 'replicaFailed':
    case 'replicaGone':
    case 'stageListening':
      return ringOf(before, after, event)
    case 'stageProgressed':
    case 'stageLoaded': {
      const stage = replicaIn(before, event)?.stages.find(({ id }) => id === event.stage)
      return stage?.state.type === 'assigned' ? ringOf(before, after, event) : nobody
    }
    default:
      return nobody
  }
}

type OfReplica = Extract<DeploymentEvent, { readonly replica: ReplicaId }>

const replicaIn = ({ deployments }: Deployments, { deployment, replica }: OfReplica): Replica | undefined =>
  deployments.get(deployment)?.replicas.find(({ id }) => id === replica)

function ringOf(before: Deployments, after: Deployments, event: OfReplica): ReadonlySet<MachineId> {
  const stages = [...(replicaIn(before, event)?.stages ?? []), ...(replicaIn(after, event)?.stages ?? [])]
  return new Set(stages.map(({ machine }) => machine))
}
