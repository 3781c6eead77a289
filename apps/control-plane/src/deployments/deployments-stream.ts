import type { EventType } from '@deos/api'
import type { MachineId, OrganisationId } from '@deos/domain'
import {
  type DeploymentEvent,
  type DeploymentsState,
  evolveDeployments,
  noDeployments,
  restoreDeployments,
  type StoredDeployments,
  storeDeployments,
} from '@deos/fleet'
import type { StreamDefinition } from '../events/event-sourced.ts'

const types: Readonly<Record<DeploymentEvent['type'], EventType>> = {
  deploymentCreated: 'deployment.created',
  deploymentRevised: 'deployment.revised',
  revisionActivated: 'deployment.rolled-back',
  deploymentScaled: 'deployment.scaled',
  deploymentPaused: 'deployment.paused',
  deploymentResumed: 'deployment.resumed',
  removalBegun: 'deployment.removing',
  deploymentRemoved: 'deployment.removed',
  replicaAdded: 'replica.added',
  placementRefused: 'deployment.placement-refused',
  updateSqueezed: 'deployment.update-squeezed',
  replicaPlaced: 'replica.placed',
  stageProgressed: 'stage.progressed',
  stageListening: 'stage.listening',
  stageLoaded: 'stage.loaded',
  stageFailed: 'stage.failed',
  replicaVerifying: 'replica.verifying',
  replicaReady: 'replica.ready',
  replicaFailed: 'replica.failed',
  replicaDraining: 'replica.draining',
  replicaReturned: 'replica.returned',
  replicaGone: 'replica.gone',
  stageUnloaded: 'stage.unloaded',
}

/** How deployments lie in the log of events. */
export const deploymentsStream: StreamDefinition<DeploymentsState, DeploymentEvent> = {
  stream: 'deployments',
  empty: noDeployments,
  evolve: evolveDeployments,
  store: storeDeployments,
  restore: (stored) => restoreDeployments(stored as StoredDeployments),
  describe: (event, state) => ({
    type: types[event.type],
    organisation: organisationOf(event, state),
    machine: machineOf(event, state),
    deployment: event.deployment,
    atMs: event.atMs,
  }),
}

function organisationOf(event: DeploymentEvent, { deployments }: DeploymentsState): OrganisationId {
  return event.type === 'deploymentRemoved'
    ? event.organisation
    : deployments.get(event.deployment)!.organisation
}

/** The machine of the stage that it is about, as far as that is still known afterwards. */
function machineOf(event: DeploymentEvent, { deployments }: DeploymentsState): MachineId | null {
  if (!('stage' in event)) return null
  const { replicas, leaving } = deployments.get(event.deployment)!
  const stages = [...replicas.flatMap(({ stages }) => stages), ...leaving]
  return stages.find(({ id }) => id === event.stage)?.machine ?? null
}
