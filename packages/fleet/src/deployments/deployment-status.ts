import { type Deployment, isCurrent, type Replica, wantedReplicas } from './deployment.ts'
import type { ReplicaRole } from './replica-role.ts'

/**
 * - `ready`: as wished
 * - `progressing`: on its way
 * - `lacking`: no place is found for what is missing
 * - `failing`: something failed and is tried again
 * - `paused`, `removing`: not wished to run
 */
export type DeploymentCondition = 'ready' | 'progressing' | 'lacking' | 'failing' | 'paused' | 'removing'

/** A deployment for people. */
export interface DeploymentStatus {
  readonly condition: DeploymentCondition
  /** Of those that answer: how many should be published. */
  readonly desired: number
  /** Published, of whatever revision. */
  readonly ready: number
  /** Published and serving the active revision as it is. */
  readonly updated: number
  /** On their way to be published. */
  readonly updating: number
  /** No longer published, but not finished. */
  readonly draining: number
  /** Of those that compute prompts: how many should be published, and are. */
  readonly prefill: { readonly desired: number; readonly ready: number }
  /** Why it is not as wished, or that it is. */
  readonly sentence: string
}

export function deploymentStatus(deployment: Deployment): DeploymentStatus {
  const replicas = deployment.replicas.filter(({ role }) => role === 'decode')
  const published = replicas.filter(({ phase }) => phase === 'ready')
  const draining = replicas.filter(({ phase }) => phase === 'draining').length
  const counts = {
    desired: wantedReplicas(deployment, 'decode'),
    ready: published.length,
    updated: published.filter((replica) => isCurrent(deployment, replica)).length,
    updating: replicas.length - published.length - draining,
    draining,
    prefill: prefillOf(deployment),
  }
  const condition = conditionOf(deployment, counts)
  return { condition, ...counts, sentence: sentenceFor(deployment, condition, counts) }
}

const prefillOf = (deployment: Deployment): DeploymentStatus['prefill'] => ({
  desired: wantedReplicas(deployment, 'prefill'),
  ready: deployment.replicas.filter(({ role, phase }) => role === 'prefill' && phase === 'ready').length,
})

type Counts = Omit<DeploymentStatus, 'condition' | 'sentence'>

function conditionOf(
  deployment: Deployment,
  { desired, ready, updated, updating, prefill }: Counts,
): DeploymentCondition {
  if (deployment.removing) return 'removing'
  if (deployment.paused) return 'paused'
  const answering = updated === desired && ready === desired && updating === 0
  if (answering && prefill.ready === prefill.desired && !isUpdatingPrefill(deployment)) return 'ready'
  if (deployment.refusal) return 'lacking'
  return deployment.replicas.some(({ phase }) => phase === 'failed') ? 'failing' : 'progressing'
}

const isUpdatingPrefill = (deployment: Deployment): boolean =>
  deployment.replicas.some(
    (replica) =>
      replica.role === 'prefill' &&
      replica.phase !== 'draining' &&
      (replica.phase !== 'ready' || !isCurrent(deployment, replica)),
  )

function sentenceFor(deployment: Deployment, condition: DeploymentCondition, counts: Counts): string {
  const { removing, paused, refusal, squeeze, activeRevision } = deployment
  const { desired, ready, updated, prefill } = counts
  const forPrompts = prefill.desired === 0 ? '' : `, and ${prefill.ready} of ${prefill.desired} for prompts`
  const share = `${ready} of ${desired} ${desired === 1 ? 'replica' : 'replicas'} ready${forPrompts}`
  switch (condition) {
    case 'removing':
      return `Being removed: ${removing!.reason} ${whatIsLeft(deployment)}`.trim()
    case 'paused':
      return `Paused: ${paused!.reason} ${whatIsLeft(deployment)}`.trim()
    case 'ready':
      if (desired === 0) return 'Scaled to none.'
      return `${desired === 1 ? 'Its replica is' : `All ${desired} replicas are`} ready at revision ${activeRevision}${forPrompts}.`
    default: {
      const update = ready > updated ? `, ${updated} of them at revision ${activeRevision}` : ''
      const why =
        condition === 'lacking'
          ? `No place for ${nameless(refusal!.role, ready < desired)}: ${refusal!.reasons.join(' ')}`
          : condition === 'failing'
            ? whyFailing(deployment)
            : whatGoesOn(deployment.replicas)
      return [`${share}${update}.`, squeeze ?? '', why].filter((part) => part !== '').join(' ')
    }
  }
}

const nameless = (role: ReplicaRole, isShort: boolean): string =>
  role === 'prefill' ? 'one that computes prompts' : isShort ? 'the rest' : 'the next'

function whatIsLeft({ replicas, leaving }: Deployment): string {
  const going = replicas.length > 0 ? [`${replicas.length} still to finish`] : []
  const machines = [...new Set(leaving.map(({ machine }) => machine))].sort()
  const unloading = machines.length > 0 ? [`unloading on ${machines.join(', ')}`] : []
  const left = [...going, ...unloading].join(', ')
  return left === '' ? '' : `(${left})`
}

function whyFailing({ replicas }: Deployment): string {
  const failed = replicas.find(({ phase }) => phase === 'failed')!
  const times = failed.failures > 1 ? ` ${failed.failures} times in a row, last` : ''
  return `${failed.id} failed${times}: ${failed.failure!.reason}`
}

function whatGoesOn(replicas: readonly Replica[]): string {
  const busy = replicas.find(({ phase }) => phase !== 'ready' && phase !== 'draining')
  if (!busy) {
    return replicas.length === 0 ? 'Replicas are about to be placed.' : 'Replicas of before still serve.'
  }
  switch (busy.phase) {
    case 'loading': {
      const loaded = busy.stages.filter(({ state }) => state.type === 'loaded').length
      return `${busy.id} loads: ${loaded} of ${busy.stages.length} stages are there.${cause(busy)}`
    }
    case 'verifying':
      return `${busy.id} is to prove itself with a first token.${cause(busy)}`
    default:
      return `${busy.id} looks for machines.${cause(busy)}`
  }
}

const cause = ({ failure }: Replica): string => (failure ? ` Before, it failed: ${failure.reason}` : '')
