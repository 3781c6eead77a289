import type { ApiEvent } from '@deos/api'
import type { DeploymentEvent } from '@deos/fleet'

const time = (atMs: number): string => new Date(atMs).toISOString()

/** What the API tells of an event of the deployments. */
export function deploymentEventData(event: DeploymentEvent): ApiEvent['data'] {
  const deploymentId = event.deployment
  switch (event.type) {
    case 'deploymentCreated': {
      const { project: projectId, name, desiredReplicas: replicas } = event
      return { deploymentId, projectId, name, replicas }
    }
    case 'deploymentRevised':
    case 'revisionActivated':
      return { deploymentId, revision: event.revision, replicas: event.desiredReplicas }
    case 'deploymentScaled':
      return { deploymentId, replicas: event.desiredReplicas }
    case 'deploymentPaused':
    case 'removalBegun':
    case 'updateSqueezed':
      return { deploymentId, reason: event.reason }
    case 'deploymentResumed':
    case 'deploymentRemoved':
      return { deploymentId }
    case 'placementRefused':
      return { deploymentId, reasons: [...event.reasons], retryAt: time(event.retryAtMs) }
    case 'stageUnloaded':
      return { deploymentId, stageId: event.stage, reason: event.reason }
    default:
      return replicaEventData(event)
  }
}

type ReplicaEvent = Extract<DeploymentEvent, { readonly replica: unknown }>

function replicaEventData(event: ReplicaEvent): ApiEvent['data'] {
  const about = { deploymentId: event.deployment, replicaId: event.replica }
  switch (event.type) {
    case 'replicaAdded':
      return { ...about, revision: event.revision, role: event.role === 'prefill' ? 'prefill' : 'both' }
    case 'replicaPlaced': {
      const { generation, tokenMs, reasons } = event
      const stages = event.stages.map(({ id: stageId, machine: machineId, layers }) => ({
        stageId,
        machineId,
        layers: { first: layers.first, end: layers.end },
      }))
      return { ...about, generation, tokenMs, reasons: [...reasons], stages }
    }
    case 'replicaVerifying':
      return about
    case 'replicaReady':
      return { ...about, firstTokenMs: event.firstTokenMs }
    case 'replicaFailed': {
      const { reason, failures, retryAtMs, lost } = event
      return { ...about, reason, failures, retryAt: time(retryAtMs), lostMachineIds: [...lost] }
    }
    case 'replicaDraining':
    case 'replicaReturned':
    case 'replicaGone':
      return { ...about, reason: event.reason }
    case 'stageProgressed':
      return { ...about, stageId: event.stage, loadedFraction: event.fraction }
    case 'stageListening':
      return { ...about, stageId: event.stage, linkAddress: event.linkAddress }
    case 'stageLoaded':
      return { ...about, stageId: event.stage }
    case 'stageFailed':
      return { ...about, stageId: event.stage, reason: event.reason }
  }
}
