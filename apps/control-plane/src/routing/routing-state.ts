import type { RoutingState } from '@deos/api'
import { tokens } from '@deos/domain'
import { activeSpec, type Deployment, type DeploymentsState } from '@deos/fleet'
import type { DeployedModels } from '../deployments/deployed-models.ts'
import { roleOf } from '../deployments/deployment-answers.ts'
import type { RingAccess } from '../deployments/ring-access.ts'

export type RouteTarget = RoutingState['targets'][number]
export type TokenPrices = NonNullable<RouteTarget['prices']>

/** What lies beside the events of deployments. */
export interface RoutingRows {
  /** By deployment. */
  readonly servedAs: ReadonlyMap<string, string>
  /** By deployment, sorted. */
  readonly aliases: ReadonlyMap<string, readonly string[]>
  /** By organisation; those that are missing let requests be free. */
  readonly prices: ReadonlyMap<string, TokenPrices>
}

/** All names that requests may use, and the rings that answer them; in the order in which they were created. */
export function routeTargets(
  { deployments }: DeploymentsState,
  rows: RoutingRows,
  models: DeployedModels,
  rings: RingAccess,
): readonly RouteTarget[] {
  return [...deployments.values()].flatMap((deployment) => {
    const target = targetOf(deployment, rows, models, rings)
    return target === null ? [] : [target]
  })
}

/** Null while nothing can be served under its name, or never again. */
function targetOf(
  deployment: Deployment,
  { servedAs, aliases, prices }: RoutingRows,
  models: DeployedModels,
  rings: RingAccess,
): RouteTarget | null {
  const spec = activeSpec(deployment)
  const model = models.modelOf(spec.model)
  const name = servedAs.get(deployment.id)
  if (deployment.removing !== null || name === undefined) return null
  if (model === null || model.fingerprint === null || model.shape === null) return null
  return {
    organisationId: deployment.organisation,
    projectId: deployment.project,
    deploymentId: deployment.id,
    name,
    aliases: [...(aliases.get(deployment.id) ?? [])],
    model: {
      id: model.id,
      name: model.name,
      fingerprint: model.fingerprint,
      files: model.files.map((file) => ({ ...file })),
    },
    contextTokens: tokens(spec.contextTokens ?? model.shape.contextTokens),
    split: spec.split,
    prices: prices.get(deployment.organisation) ?? null,
    replicas: deployment.replicas
      .filter(({ phase }) => phase === 'ready')
      .map((replica) => ({
        replicaId: replica.id,
        generation: replica.generation,
        role: roleOf(deployment, replica),
        ring: rings.idOf(replica),
        ringSecret: rings.secretOf(replica),
        leader: replica.stages[0]!.linkAddress,
        tail: replica.stages.at(-1)!.linkAddress,
        machines: replica.stages.map(({ machine }) => machine),
        stages: replica.stages.map(({ linkAddress }) => linkAddress),
        predictedTokenMs: replica.tokenMs,
      })),
    createdAt: new Date(deployment.createdAtMs).toISOString(),
  }
}
