import { ProblemError } from '@deos/api'
import type { OrganisationId } from '@deos/domain'
import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Queries } from '../database/database.ts'
import { aliases, deploymentDetails } from '../database/schema/index.ts'

/** Whoever gives out names of requests does so one after another, until their transaction ends. */
export async function lockServedNames(queries: Queries): Promise<void> {
  await queries.execute(sql`select pg_advisory_xact_lock(hashtext('served names'))`)
}

/**
 * @param queries - of a transaction that has called {@link lockServedNames}
 * @throws ProblemError if requests for the name reach something already
 */
export async function refuseServed(
  queries: Queries,
  organisation: OrganisationId,
  name: string,
): Promise<void> {
  const [served] = await queries
    .select({ id: deploymentDetails.id })
    .from(deploymentDetails)
    .where(
      and(
        eq(deploymentDetails.organisationId, organisation),
        eq(deploymentDetails.servedAs, name),
        isNull(deploymentDetails.removedAt),
      ),
    )
  if (served !== undefined) throw taken(`${name} is what requests call deployment ${served.id}.`)
}

/** @throws ProblemError if the name is an alias */
export async function refuseAlias(
  queries: Queries,
  organisation: OrganisationId,
  name: string,
): Promise<void> {
  const [alias] = await queries
    .select({ deployment: aliases.deploymentId })
    .from(aliases)
    .where(and(eq(aliases.organisationId, organisation), eq(aliases.name, name)))
  if (alias !== undefined) throw taken(`${name} is an alias of deployment ${alias.deployment}.`)
}

const taken = (detail: string): ProblemError =>
  new ProblemError('conflict', detail, {
    code: 'SERVED_NAME_TAKEN',
    hint: 'Choose another name for requests, or remove what has it first.',
  })
