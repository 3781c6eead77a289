import { formatLayers, type MachineId } from '@deos/domain'
import type { Deployment, DeploymentsState, Replica, ReplicaStage } from './deployment.ts'
import type { DeploymentContext, DeploymentFact } from './deployment-commands.ts'
import { invalidValue } from './deployment-error.ts'
import type { DeploymentEvent } from './deployment-events.ts'
import type { ReconcilerSettings } from './reconciler-settings.ts'
import { failureEvent } from './replica-failure.ts'

type Fact<T extends DeploymentFact['type']> = Extract<DeploymentFact, { readonly type: T }>
type StageFact = Fact<'stageProgress' | 'stageListening' | 'stageLoaded' | 'stageFailed'>
type VerificationFact = Fact<'tokenVerified' | 'verificationFailed'>

/** Progress smaller than this is not worth an event. */
const progressStep = 0.1
const longestReason = 500

/**
 * Facts that no longer concern anything give no events.
 *
 * @throws DeploymentError if a value makes no sense
 */
export function decideFact(
  state: DeploymentsState,
  fact: DeploymentFact,
  context: DeploymentContext,
  settings: ReconcilerSettings,
): readonly DeploymentEvent[] {
  checkValues(fact)
  if (fact.type === 'machineLost') return machineLost(state, fact, context, settings)
  const deployment = state.deployments.get(fact.deployment)
  if (!deployment) return []
  const about = { deployment: deployment.id, atMs: context.nowMs }
  if (fact.type === 'stageUnloaded') {
    const { stage } = fact
    const leaving = deployment.leaving.some(({ id }) => id === stage)
    return leaving ? [{ type: 'stageUnloaded', ...about, stage, reason: 'Its machine let go of it.' }] : []
  }
  const replica = deployment.replicas.find(({ id }) => id === fact.replica)
  if (!replica) return []
  if (fact.type === 'drained') {
    const asked = replica.phase === 'draining' && replica.drains === fact.drain
    const gone = { type: 'replicaGone', ...about, replica: replica.id, lost: [] } as const
    return asked ? [{ ...gone, reason: 'It finished what it had.' }] : []
  }
  if (replica.generation !== fact.generation) return []
  return 'stage' in fact
    ? aboutStage(deployment, replica, fact, context, settings)
    : aboutVerification(deployment, replica, fact, context, settings)
}

function aboutStage(
  deployment: Deployment,
  replica: Replica,
  fact: StageFact,
  { nowMs }: DeploymentContext,
  settings: ReconcilerSettings,
): readonly DeploymentEvent[] {
  const stage = replica.stages.find(({ id }) => id === fact.stage)
  if (!stage) return []
  const about = { deployment: deployment.id, atMs: nowMs, replica: replica.id, stage: stage.id }
  const pending = stage.state.type === 'assigned' || stage.state.type === 'loading'
  switch (fact.type) {
    case 'stageProgress':
      return pending && worthAnEvent(stage, fact.fraction)
        ? [{ type: 'stageProgressed', ...about, fraction: fact.fraction }]
        : []
    case 'stageListening': {
      const { linkAddress } = fact
      return stage.linkAddress === linkAddress ? [] : [{ type: 'stageListening', ...about, linkAddress }]
    }
    case 'stageLoaded':
      return pending ? [{ type: 'stageLoaded', ...about }] : []
    case 'stageFailed': {
      const reason = tidy(fact.reason)
      const where = `Layers ${formatLayers(stage.layers)} failed on ${stage.machine}: ${reason}`
      const failure = { reason: where, lost: [], blamed: [stage.machine] }
      return [
        { type: 'stageFailed', ...about, reason },
        failureEvent(deployment, replica, failure, nowMs, settings),
      ]
    }
  }
}

function worthAnEvent({ state }: ReplicaStage, fraction: number): boolean {
  return state.type !== 'loading' || fraction >= state.fraction + progressStep
}

function aboutVerification(
  deployment: Deployment,
  replica: Replica,
  fact: VerificationFact,
  { nowMs }: DeploymentContext,
  settings: ReconcilerSettings,
): readonly DeploymentEvent[] {
  if (replica.phase !== 'verifying') return []
  if (fact.type === 'tokenVerified') {
    const { firstTokenMs } = fact
    const about = { deployment: deployment.id, atMs: nowMs, replica: replica.id }
    return [{ type: 'replicaReady', ...about, firstTokenMs }]
  }
  const reason = `No token came out of it: ${tidy(fact.reason)}`
  const blamed = fact.blamed ?? []
  return [failureEvent(deployment, replica, { reason, lost: [], blamed }, nowMs, settings)]
}

function machineLost(
  state: DeploymentsState,
  fact: Fact<'machineLost'>,
  { nowMs }: DeploymentContext,
  settings: ReconcilerSettings,
): readonly DeploymentEvent[] {
  const reason = tidy(fact.reason)
  const isLost = ({ machine, incarnation }: { readonly machine: MachineId; readonly incarnation: number }) =>
    machine === fact.machine && incarnation <= fact.incarnation
  return [...state.deployments.values()].flatMap((deployment) => [
    ...deployment.leaving.filter(isLost).map(
      ({ id: stage }): DeploymentEvent => ({
        type: 'stageUnloaded',
        deployment: deployment.id,
        atMs: nowMs,
        stage,
        reason: `Lost with ${fact.machine}: ${reason}`,
      }),
    ),
    ...deployment.replicas
      .filter(({ stages }) => stages.some(isLost))
      .map((replica) => {
        const failure = { reason: `${fact.machine} was lost: ${reason}`, lost: [fact.machine], blamed: [] }
        return failureEvent(deployment, replica, failure, nowMs, settings)
      }),
  ])
}

function checkValues(fact: DeploymentFact): void {
  if (fact.type === 'stageProgress' && !(fact.fraction >= 0 && fact.fraction <= 1)) {
    throw invalidValue('fraction', fact.fraction, 'from 0 to 1')
  }
  if (fact.type === 'stageListening' && !/^[^\s]{3,300}$/.test(fact.linkAddress)) {
    throw invalidValue('linkAddress', fact.linkAddress, 'host:port')
  }
  if (fact.type === 'tokenVerified' && !(fact.firstTokenMs >= 0 && Number.isFinite(fact.firstTokenMs))) {
    throw invalidValue('firstTokenMs', fact.firstTokenMs, 'a time from 0 on')
  }
}

/** Machines write reasons, people read them: one line of bounded length, whatever comes. */
function tidy(reason: string): string {
  const line = reason.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim()
  return line === '' ? 'no reason given' : line.slice(0, longestReason)
}
