import type { AnswerOf, Deployment as ApiDeployment, Routes } from '@deos/api'
import type { Milliseconds } from '@deos/domain'
import {
  activeSpec,
  type Deployment,
  deploymentStatus,
  type Replica,
  type ReplicaStage,
  refusalOf,
} from '@deos/fleet'
import { type DeployableFleet, pricePerHourOf, withMachineNames } from './deployable-fleet.ts'
import { apiSpec } from './spec.ts'

export type DeploymentAnswer = AnswerOf<Routes['deployments']['scale']>
export type ReplicaAnswer = AnswerOf<Routes['deployments']['show']>['replicas'][number]

/** What a deployment is beside what its events say. */
export interface Details {
  readonly servedAs: string
  readonly createdBy: string | null
}

export const iso = (atMs: number): string => new Date(atMs).toISOString()

export function deploymentAnswer(
  deployment: Deployment,
  { servedAs, createdBy }: Details,
  currency: string,
  fleet: DeployableFleet,
): DeploymentAnswer {
  const { condition, desired, ready, updated, updating, draining, prefill, sentence } =
    deploymentStatus(deployment)
  const since = sinceMs(deployment, condition)
  return {
    id: deployment.id,
    projectId: deployment.project,
    name: deployment.name,
    servedAs,
    state: condition,
    reason: {
      message: withMachineNames(fleet, sentence),
      since: since === null ? null : iso(since),
    },
    spec: apiSpec(activeSpec(deployment), currency),
    revision: deployment.activeRevision,
    replicas: { wanted: desired, ready, updated, starting: updating, draining },
    prefillReplicas: { wanted: prefill.desired, ready: prefill.ready },
    pricePerHour: pricePerHourOf(fleet, deployment.replicas.flatMap(machinesOf)),
    createdBy: createdBy as ApiDeployment['createdBy'],
    createdAt: iso(deployment.createdAtMs),
    updatedAt: iso(deployment.updatedAtMs),
  }
}

const machinesOf = ({ stages }: Replica) => stages.map(({ machine }) => machine)

function sinceMs({ replicas, refusal }: Deployment, condition: ApiDeployment['state']): Milliseconds | null {
  if (condition === 'lacking') return refusal!.atMs
  const phases = { ready: 'ready', failing: 'failed' } as const
  const phase = condition === 'ready' || condition === 'failing' ? phases[condition] : null
  const times = replicas.filter((replica) => replica.phase === phase).map(({ phaseSinceMs }) => phaseSinceMs)
  return times.toSorted((a, b) => b - a)[0] ?? null
}

export function replicaAnswer(
  deployment: Deployment,
  replica: Replica,
  lastTokenAtMs: number | null,
  fleet: DeployableFleet,
): ReplicaAnswer {
  const { id, revision, generation, phase, phaseSinceMs, stages, placementReasons, tokenMs, forecast } =
    replica
  const names = (text: string) => withMachineNames(fleet, text)
  return {
    id,
    deploymentId: deployment.id,
    role: roleOf(deployment, replica),
    revision,
    generation,
    state: phase,
    reason: { message: names(whyInPhase(deployment, replica)), since: iso(phaseSinceMs) },
    stages: stages.map((stage, position) => stageAnswer(stage, position, fleet)),
    placementReasons: placementReasons.map(names),
    predictedTokenMs: tokenMs,
    // Snapshots of an earlier version have none.
    predicted: forecast ? { ...forecast, handOverMs: forecast.handOverMs ?? null } : null,
    pricePerHour: pricePerHourOf(fleet, machinesOf(replica)),
    createdAt: iso(replica.createdAtMs),
    readyAt: phase === 'ready' ? iso(phaseSinceMs) : null,
    lastTokenAt: lastTokenAtMs === null ? null : iso(lastTokenAtMs),
  }
}

/** What the replica does as things stand: whoever answers also computes prompts where nobody else does. */
export const roleOf = (deployment: Deployment, { role }: Pick<Replica, 'role'>): ReplicaAnswer['role'] =>
  role === 'decode' && activeSpec(deployment).split === null ? 'both' : role

function whyInPhase(deployment: Deployment, { phase, role, stages, failure, drain }: Replica): string {
  const before = failure === null ? '' : ` Before, it failed: ${failure.reason}`
  const refusal = refusalOf(deployment, role)
  switch (phase) {
    case 'placing':
      return refusal === null ? `It looks for machines.${before}` : `No place: ${refusal.reasons.join(' ')}`
    case 'loading': {
      const loaded = stages.filter(({ state }) => state.type === 'loaded').length
      return `${loaded} of ${stages.length} stages are loaded.${before}`
    }
    case 'verifying':
      return `A first token is to go all the way around.${before}`
    case 'ready':
      return role === 'prefill' ? 'It computes prompts for those that answer.' : 'It takes requests.'
    case 'draining':
      return drain!.reason
    case 'failed':
      return failure!.reason
  }
}

const stageReasons: Readonly<Record<ReplicaStage['state']['type'], string>> = {
  assigned: 'Its machine has not begun to load it.',
  loading: 'Its machine loads it.',
  loaded: 'It can compute.',
  failed: 'It failed.',
}

function stageAnswer(
  stage: ReplicaStage,
  position: number,
  fleet: DeployableFleet,
): ReplicaAnswer['stages'][number] {
  const { id, machine, device, layers, weightBytes, kvBytes, state, changedAtMs } = stage
  const { name, location } = placeOf(machine, fleet)
  const message = state.type === 'failed' ? state.reason : stageReasons[state.type]
  return {
    id,
    position,
    machineId: machine,
    machineName: name,
    device,
    location,
    layers,
    weightBytes,
    kvBytes,
    state: state.type,
    reason: { message, since: iso(changedAtMs) },
    loadedFraction: state.type === 'loading' ? state.fraction : null,
  }
}

/** A machine that was removed a moment ago has no name any more. */
export function placeOf(machine: ReplicaStage['machine'], fleet: DeployableFleet) {
  const unknown = { name: 'removed', location: { region: 'unknown', provider: 'unknown' } }
  return fleet.details(machine) ?? unknown
}
