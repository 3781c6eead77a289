import { ProblemError, type Role, type UserId } from '@deos/api'
import { type IdSource, type OrganisationId, organisationId, type ProjectId, projectId } from '@deos/domain'
import { asc, eq, isNull, like } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { isUniqueViolation } from '../database/errors.ts'
import { type EventCause, members, organisations, projects, settings } from '../database/schema/index.ts'
import { type EventTeller, toldEvent } from './told-events.ts'

export interface FoundedOrganisation {
  readonly id: OrganisationId
  readonly slug: string
  readonly name: string
  readonly createdAt: Date
  readonly firstProject: ProjectId
}

export interface Founding {
  readonly slug: string
  readonly name: string
  /** Null leaves it to the first owner, see {@link adoptOrphan}. */
  readonly owner: UserId | null
  readonly cause: EventCause
  readonly at: Date
}

const firstProjectName = 'default'
const currency = 'USD'
const requestLogDays = 30
const eventDays = 90

export const unlimited = { requestsPerMinute: null, tokensPerMinute: null } as const

const owner: Role = 'owner'

/**
 * An organisation with its owner, a first project and settings.
 *
 * @throws ProblemError if the slug is taken
 */
export async function found(
  queries: Queries,
  { slug, name, owner: userId, cause, at }: Founding,
  { events, ids }: { readonly events: EventTeller; readonly ids: IdSource },
): Promise<FoundedOrganisation> {
  const id = organisationId(ids.next('org'))
  const firstProject = projectId(ids.next('project'))
  await queries
    .insert(organisations)
    .values({ id, slug, name, createdAt: at })
    .catch((error: unknown) => {
      if (!isUniqueViolation(error)) throw error
      throw new ProblemError('conflict', `The name ${slug} is taken.`, {
        code: 'NAME_TAKEN',
        hint: 'Choose another slug; the name that people see may be any.',
      })
    })
  if (userId !== null) {
    await queries.insert(members).values({ organisationId: id, userId, role: owner, joinedAt: at })
  }
  await queries.insert(projects).values({
    id: firstProject,
    organisationId: id,
    name: firstProjectName,
    title: 'Default',
    rateLimit: unlimited,
    createdAt: at,
  })
  await queries.insert(settings).values({
    organisationId: id,
    currency,
    placementPolicy: { regions: null, providers: null },
    requestLogDays,
    eventDays,
    updatedAt: at,
  })
  const circumstance = { organisation: id, cause, at }
  await events.tell(queries, [
    ...(userId === null ? [] : [toldEvent('member.joined', { userId, role: owner }, circumstance)]),
    toldEvent('project.created', { projectId: firstProject }, circumstance),
  ])
  return { id, slug, name, createdAt: at, firstProject }
}

/**
 * Gives an organisation that was made before there were people to its first owner, with the name that they choose.
 *
 * @returns null if there is none
 */
export async function adoptOrphan(
  queries: Queries,
  { name, owner: userId, cause, at }: Omit<Founding, 'slug' | 'owner'> & { readonly owner: UserId },
  events: EventTeller,
): Promise<FoundedOrganisation | null> {
  const [orphan] = await queries
    .select({ organisation: organisations })
    .from(organisations)
    .leftJoin(members, eq(members.organisationId, organisations.id))
    .where(isNull(members.userId))
    .orderBy(asc(organisations.createdAt))
    .limit(1)
  if (orphan === undefined) return null
  const { slug, createdAt, ...row } = orphan.organisation
  const id = organisationId(row.id)
  await queries.update(organisations).set({ name }).where(eq(organisations.id, id))
  await queries.insert(members).values({ organisationId: id, userId, role: owner, joinedAt: at })
  const [first] = await queries
    .select({ id: projects.id })
    .from(projects)
    .where(eq(projects.organisationId, id))
    .orderBy(asc(projects.createdAt))
    .limit(1)
  await events.tell(queries, [
    toldEvent('member.joined', { userId, role: owner }, { organisation: id, cause, at }),
  ])
  return { id, slug, name, createdAt, firstProject: projectId(first!.id) }
}

const maxSlugLength = 48

/** What remains of a name in addresses: `Ünïversal Labs, Inc.` is `universal-labs-inc`. */
export function slugOf(name: string): string {
  const slug = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, maxSlugLength)
    .replace(/^-+|-+$/g, '')
  return slug === '' ? 'organisation' : slug
}

/** The slug of a name, with a number if others have it. */
export async function freeSlug(queries: Queries, name: string): Promise<string> {
  const slug = slugOf(name)
  const rows = await queries
    .select({ slug: organisations.slug })
    .from(organisations)
    .where(like(organisations.slug, `${slug}%`))
  const taken = new Set(rows.map((row) => row.slug))
  if (!taken.has(slug)) return slug
  let number = 2
  while (taken.has(`${slug}-${number}`)) number += 1
  return `${slug}-${number}`
}
