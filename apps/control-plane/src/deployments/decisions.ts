import type { decisionKinds } from '@deos/api'
import type { IdSource, OrganisationId, ReplicaId } from '@deos/domain'
import type { DeploymentEvent, DeploymentsState, DrainCause, ReplicaRole } from '@deos/fleet'
import type { Queries } from '../database/database.ts'
import { decisions } from '../database/schema/index.ts'

/** A choice that the reconciler made, for people. */
export interface Decided {
  readonly kind: (typeof decisionKinds)[number]
  readonly organisation: OrganisationId
  readonly deployment: string
  readonly replica: ReplicaId | null
  readonly summary: string
  readonly reasons: readonly string[]
  readonly rejected: readonly { readonly option: string; readonly reason: string }[]
  readonly atMs: number
}

const drainKinds: Readonly<Record<DrainCause, Decided['kind']>> = {
  scale: 'scaling',
  pause: 'scaling',
  removal: 'scaling',
  update: 'rollout',
  room: 'rollout',
  machine: 'healing',
}

/**
 * What of these events was a choice.
 *
 * @param before - the state in which they were decided
 * @param withNames - puts names where ids of machines stand
 */
export function decisionsOf(
  events: readonly DeploymentEvent[],
  before: DeploymentsState,
  withNames: (text: string) => string,
): readonly Decided[] {
  return events.flatMap((event) => {
    const deployment = before.deployments.get(event.deployment)
    if (deployment === undefined) return []
    const choice = choiceOf(event, deployment.name)
    if (choice === null) return []
    const { organisation, id } = deployment
    const reasons = choice.reasons.map(withNames)
    return [
      {
        ...choice,
        summary: withNames(choice.summary),
        organisation,
        deployment: id,
        replica: 'replica' in event ? event.replica : null,
        reasons,
        rejected: reasons.flatMap(rejectedIn),
        atMs: event.atMs,
      },
    ]
  })
}

type Choice = Pick<Decided, 'kind' | 'summary' | 'reasons'>

function choiceOf(event: DeploymentEvent, name: string): Choice | null {
  switch (event.type) {
    case 'replicaPlaced': {
      const machines = [...new Set(event.stages.map(({ machine }) => machine))].join(', ')
      const where = `${name}: ${count(event.stages.length, 'stage')} on ${machines}`
      return event.generation > 1
        ? { kind: 'healing', summary: `${where}, in place of what failed.`, reasons: event.reasons }
        : { kind: 'placement', summary: `${where}.`, reasons: event.reasons }
    }
    case 'placementRefused':
      // Of an unchanged fleet it is said once.
      return event.count > 1
        ? null
        : {
            kind: 'placement',
            summary: `${name}: no place was found${forPrompts(event.role)}.`,
            reasons: event.reasons,
          }
    case 'replicaAdded':
      return {
        kind: 'scaling',
        summary: `${name}: one more replica${forPrompts(event.role)}, of revision ${event.revision}.`,
        reasons: ['Fewer are there than are wished for.'],
      }
    case 'replicaDraining':
      return {
        kind: drainKinds[event.cause],
        summary: `${name}: a replica takes no more requests.`,
        reasons: [event.reason],
      }
    case 'replicaReturned':
      return {
        kind: 'rollout',
        summary: `${name}: a replica that drained takes requests again.`,
        reasons: [event.reason],
      }
    case 'replicaFailed':
      return {
        kind: 'healing',
        summary: `${name}: a replica failed and is placed anew.`,
        reasons: [event.reason],
      }
    case 'updateSqueezed':
      return {
        kind: 'rollout',
        summary: `${name}: the update goes on without a spare.`,
        reasons: [event.reason],
      }
    default:
      return null
  }
}

const forPrompts = (role: ReplicaRole): string => (role === 'prefill' ? ' to compute prompts' : '')

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`

/** Sentences of the planner that say what was not chosen. */
const refusals: readonly RegExp[] = [
  /^Not (?:in |on )?(?<option>.+?): (?<reason>.+)$/s,
  /^Left out: (?<option>.+?), (?<reason>.+)$/s,
  /^Kept away from (?<option>.+), (?<reason>so that .+)$/s,
]

function rejectedIn(sentence: string): readonly { option: string; reason: string }[] {
  if (sentence.startsWith('Not measured')) return []
  for (const form of refusals) {
    const { option, reason } = form.exec(sentence)?.groups ?? {}
    if (option && reason) return [{ option, reason }]
  }
  return []
}

/** @param queries - of the transaction that appends the events */
export async function storeDecisions(
  queries: Queries,
  decided: readonly Decided[],
  ids: IdSource,
): Promise<void> {
  if (decided.length === 0) return
  await queries.insert(decisions).values(
    decided.map(({ kind, organisation, deployment, replica, summary, reasons, rejected, atMs }) => ({
      id: ids.next('decision'),
      organisationId: organisation,
      kind,
      deploymentId: deployment,
      replicaId: replica,
      summary,
      reasons: [...reasons],
      rejected: [...rejected],
      at: new Date(atMs),
    })),
  )
}
