import type { AccessGrant, KeyId, UserId } from '@deos/api'
import { organisationId, projectId } from '@deos/domain'
import { and, eq, isNull } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { apiKeys, projects } from '../database/schema/index.ts'
import { type ApiKeys, isUsable } from './api-keys.ts'

/** What a secret of this digest allows at gateways: one query. */
export const accessOf =
  (database: Database, keys: ApiKeys, now: () => Date) =>
  /** @param digest - `sha256:…`; null if the secret is unknown, expired or revoked */
  async (digest: string): Promise<AccessGrant | null> => {
    const [row] = await database.queries
      .select({ key: apiKeys, projectRateLimit: projects.rateLimit })
      .from(apiKeys)
      .innerJoin(projects, and(eq(projects.id, apiKeys.projectId), isNull(projects.removedAt)))
      .where(eq(apiKeys.digest, digest))
    if (row === undefined || !isUsable(row.key, now())) return null
    const { key, projectRateLimit } = row
    await keys.noteUse(key.id)
    return {
      organisationId: organisationId(key.organisationId),
      projectId: projectId(key.projectId),
      keyId: key.userId === null ? (key.id as KeyId) : null,
      userId: key.userId as UserId | null,
      scopes: key.scopes,
      expiresAt: key.expiresAt?.toISOString() ?? null,
      keyRateLimit: key.rateLimit,
      projectRateLimit,
    }
  }
