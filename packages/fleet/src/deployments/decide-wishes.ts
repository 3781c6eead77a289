import type { DeploymentId, ProjectId } from '@deos/domain'
import {
  activeSpec,
  type Deployment,
  type DeploymentsState,
  requireDeployment,
  requireRevision,
} from './deployment.ts'
import type { DeploymentContext, DeploymentWish } from './deployment-commands.ts'
import { DeploymentError } from './deployment-error.ts'
import type { DeploymentEvent } from './deployment-events.ts'
import {
  checkInteger,
  checkName,
  checkSpec,
  checkText,
  type DeploymentSpec,
  sameSpec,
} from './deployment-spec.ts'

type Wish<T extends DeploymentWish['type']> = Extract<DeploymentWish, { readonly type: T }>

/** @throws DeploymentError if the wish cannot be granted */
export function decideWish(
  state: DeploymentsState,
  wish: DeploymentWish,
  context: DeploymentContext,
): readonly DeploymentEvent[] {
  if (wish.type === 'create') return create(state, wish, context)
  const deployment = requireDeployment(state, wish.deployment)
  const about = { deployment: deployment.id, atMs: context.nowMs }
  if (wish.type === 'remove') {
    const reason = checkText('reason', wish.reason, 500)
    return deployment.removing ? [] : [{ type: 'removalBegun', ...about, reason }]
  }
  if (deployment.removing) {
    throw new DeploymentError('DEPLOYMENT_REMOVING', `${deployment.name} is being removed.`)
  }
  switch (wish.type) {
    case 'revise':
      return revise(deployment, wish, about)
    case 'rollback':
      return rollback(deployment, wish, about)
    case 'scale':
      return scale(deployment, wish, about)
    case 'pause': {
      const reason = checkText('reason', wish.reason, 500)
      return deployment.paused ? [] : [{ type: 'deploymentPaused', ...about, reason }]
    }
    case 'resume':
      return deployment.paused ? [{ type: 'deploymentResumed', ...about }] : []
  }
}

type About = Pick<DeploymentEvent, 'deployment' | 'atMs'>

function create(
  state: DeploymentsState,
  { organisation, project, name: wanted, spec: given, replicas }: Wish<'create'>,
  { nowMs, ids }: DeploymentContext,
): readonly DeploymentEvent[] {
  checkText('organisation', organisation, 200)
  checkText('project', project, 200)
  const name = checkName(wanted)
  const spec = checkSpec(given)
  if (replicas !== undefined) checkReplicas(spec, replicas)
  assertNameFree(state, project, name)
  const deployment = ids.next('deployment') as DeploymentId
  if (state.deployments.has(deployment)) throw new Error(`The source of ids gave ${deployment} twice.`)
  const desiredReplicas = replicas ?? Math.max(1, spec.minReplicas)
  return [
    {
      type: 'deploymentCreated',
      deployment,
      atMs: nowMs,
      organisation,
      project,
      name,
      spec,
      desiredReplicas,
    },
  ]
}

function revise(
  deployment: Deployment,
  { changes }: Wish<'revise'>,
  about: About,
): readonly DeploymentEvent[] {
  const before = activeSpec(deployment)
  const spec = checkSpec({ ...before, ...changes })
  if (sameSpec(before, spec)) return []
  const revision = deployment.revisions.length + 1
  const desiredReplicas = withinBounds(spec, deployment.desiredReplicas)
  return [{ type: 'deploymentRevised', ...about, revision, spec, desiredReplicas }]
}

function rollback(
  deployment: Deployment,
  { revision }: Wish<'rollback'>,
  about: About,
): readonly DeploymentEvent[] {
  const { spec } = requireRevision(deployment, revision)
  if (revision === deployment.activeRevision) return []
  const desiredReplicas = withinBounds(spec, deployment.desiredReplicas)
  return [{ type: 'revisionActivated', ...about, revision, desiredReplicas }]
}

function scale(
  deployment: Deployment,
  { replicas }: Wish<'scale'>,
  about: About,
): readonly DeploymentEvent[] {
  checkReplicas(activeSpec(deployment), replicas)
  if (replicas === deployment.desiredReplicas) return []
  return [{ type: 'deploymentScaled', ...about, desiredReplicas: replicas }]
}

function checkReplicas({ minReplicas, maxReplicas }: DeploymentSpec, replicas: number): void {
  checkInteger('replicas', replicas, 0, Number.MAX_SAFE_INTEGER)
  if (replicas >= minReplicas && replicas <= maxReplicas) return
  throw new DeploymentError(
    'REPLICAS_OUT_OF_BOUNDS',
    `${replicas} replicas are outside the deployment's bounds of ${minReplicas} to ${maxReplicas}.`,
  )
}

const withinBounds = ({ minReplicas, maxReplicas }: DeploymentSpec, replicas: number): number =>
  Math.min(maxReplicas, Math.max(minReplicas, replicas))

function assertNameFree({ deployments }: DeploymentsState, project: ProjectId, name: string): void {
  for (const deployment of deployments.values()) {
    if (deployment.project !== project || deployment.name !== name) continue
    if (deployment.removing) {
      throw new DeploymentError('DEPLOYMENT_REMOVING', `${name} of before is still being removed.`)
    }
    throw new DeploymentError('DEPLOYMENT_NAME_TAKEN', `The project already has a deployment ${name}.`)
  }
}
