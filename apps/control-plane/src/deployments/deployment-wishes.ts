import { ProblemError, type RequestOf, type Routes } from '@deos/api'
import type { DeploymentId, ModelId, OrganisationId, ProjectId } from '@deos/domain'
import { activeSpec, type Deployment, type DeploymentSpec, type DeploymentWish } from '@deos/fleet'
import { and, asc, eq, isNull } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { deploymentDetails, projects } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { settingsOf } from '../people/settings-table.ts'
import type { DeployedModel, DeployedModels } from './deployed-models.ts'
import type { DeploymentLog } from './deployment-log.ts'
import { lockServedNames, refuseAlias, refuseServed } from './served-names.ts'
import { specChanges } from './spec.ts'

type BodyOf<Name extends 'create' | 'revise' | 'preview'> = RequestOf<Routes['deployments'][Name]>['body']

export interface WishParts {
  readonly log: DeploymentLog
  readonly database: Database
  readonly models: DeployedModels
}

/** What people and their programs wish of the deployments of their organisation. */
export class DeploymentWishes {
  constructor(private readonly parts: WishParts) {}

  /** @throws ProblemError if the caller's organisation has none with this id */
  async of(id: DeploymentId, caller: Caller): Promise<Deployment> {
    const { log } = this.parts
    const organisation = organisationOf(caller)
    // Another control plane may have created it a moment ago.
    if (log.find(id, organisation) === null) await log.refresh()
    const deployment = log.find(id, organisation)
    if (deployment !== null) return deployment
    throw new ProblemError('not-found', `There is no deployment ${id}.`, {
      hint: 'Check the id in the list of deployments.',
    })
  }

  async create(body: BodyOf<'create'>, caller: Caller): Promise<Deployment> {
    const { log, database } = this.parts
    const organisation = organisationOf(caller)
    const spec = await this.spec(body.spec, organisation)
    const model = this.check(spec, organisation)
    const project = await projectFor(database.queries, organisation, body.projectId)
    const servedAs = body.servedAs ?? model.name
    const wish = {
      type: 'create',
      organisation,
      project,
      name: body.name,
      spec,
      ...(body.replicas !== undefined && { replicas: body.replicas }),
    } as const
    const events = await log.execute(caller.cause, [wish], async (queries, [event]) => {
      await lockServedNames(queries)
      await refuseServed(queries, organisation, servedAs)
      await refuseAlias(queries, organisation, servedAs)
      await queries.insert(deploymentDetails).values({
        id: event!.deployment,
        organisationId: organisation,
        projectId: project,
        servedAs,
        createdBy: caller.userId,
      })
    })
    return this.of(events[0]!.deployment, caller)
  }

  /** A whole spec; where none of its policy is stated, the organisation's holds. */
  async spec(given: BodyOf<'preview'>['spec'], organisation: OrganisationId): Promise<DeploymentSpec> {
    const { currency, placementPolicy } = await settingsOf(this.parts.database.queries, organisation)
    const { regions, providers } = given.policy
    const policy = regions === null && providers === null ? placementPolicy : given.policy
    // The schema has filled in every field.
    return specChanges({ ...given, policy }, currency) as DeploymentSpec
  }

  async revise(id: DeploymentId, body: BodyOf<'revise'>, caller: Caller): Promise<Deployment> {
    const deployment = await this.of(id, caller)
    const { organisation } = deployment
    const { currency } = await settingsOf(this.parts.database.queries, organisation)
    const changes = specChanges(body.changes, currency)
    this.check({ ...activeSpec(deployment), ...changes }, organisation)
    return this.wish({ type: 'revise', deployment: id, changes }, caller)
  }

  /** @param revision - without one, the newest before the active one */
  async rollback(id: DeploymentId, revision: number | undefined, caller: Caller): Promise<Deployment> {
    const { name, activeRevision } = await this.of(id, caller)
    if (revision === undefined && activeRevision === 1) {
      throw new ProblemError('conflict', `${name} is at its first revision.`, {
        hint: 'There is none before it: make a new revision, or state a later one if there is any.',
      })
    }
    const wish = { type: 'rollback', deployment: id, revision: revision ?? activeRevision - 1 } as const
    return this.wish(wish, caller)
  }

  async wish(wish: Exclude<DeploymentWish, { type: 'create' }>, caller: Caller): Promise<Deployment> {
    await this.of(wish.deployment, caller)
    await this.parts.log.execute(caller.cause, [wish])
    return this.of(wish.deployment, caller)
  }

  /**
   * Whether the spec makes sense for its model, as far as that is known already.
   *
   * @returns the model
   */
  check(spec: DeploymentSpec, organisation: OrganisationId): DeployedModel {
    const { models } = this.parts
    const model = models.modelOf(spec.model)
    if (model === null || model.organisation !== organisation) throw unknownModel(spec.model)
    if (model.state === 'failed') {
      throw new ProblemError('conflict', `The registration of ${model.name} has failed.`, {
        hint: 'Look at why, and let it be tried again first.',
      })
    }
    if (model.state === 'ready' && models.footprint(spec.model, spec.precision) === null) {
      throw invalid(`${model.name} cannot be held as ${spec.precision}.`, 'Choose "native" or another type.')
    }
    const longest = model.shape?.contextTokens ?? Number.POSITIVE_INFINITY
    if (spec.contextTokens !== null && spec.contextTokens > longest) {
      throw invalid(
        `spec.contextTokens is ${spec.contextTokens}, but ${model.name} was made for ${longest}.`,
        'Choose a shorter context, or null for the longest.',
      )
    }
    return model
  }
}

const unknownModel = (id: ModelId): ProblemError =>
  new ProblemError('not-found', `There is no model ${id}.`, {
    code: 'MODEL_UNKNOWN',
    hint: 'Register it first, or check the id in the list of models.',
  })

const invalid = (detail: string, hint: string): ProblemError =>
  new ProblemError('validation', detail, { hint })

/** @throws ProblemError if the organisation has no such project */
async function projectFor(
  queries: Queries,
  organisation: OrganisationId,
  wanted: ProjectId | undefined,
): Promise<ProjectId> {
  const [row] = await queries
    .select({ id: projects.id })
    .from(projects)
    .where(
      and(
        eq(projects.organisationId, organisation),
        isNull(projects.removedAt),
        wanted === undefined ? undefined : eq(projects.id, wanted),
      ),
    )
    .orderBy(asc(projects.createdAt), asc(projects.id))
    .limit(1)
  if (row !== undefined) return row.id as ProjectId
  throw new ProblemError(
    'not-found',
    wanted ? `There is no project ${wanted}.` : 'There is no project yet.',
    {
      hint: 'Create a project first, or check its id in the list.',
    },
  )
}
