import { type AccessGrant, type Handlers, ProblemError, type Routes } from '@deos/api'
import { gt, lt, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { gateways } from '../database/schema/index.ts'
import type { Caller } from '../http/caller.ts'
import type { Charging } from './charging.ts'

/** A gateway that did not report for so long is gone. */
export const gatewayLifeMs = 10_000
const forgottenMs = 60 * 60_000

export interface GatewayHandlerParts {
  readonly database: Database
  readonly charging: Charging
  readonly accessOf: (digest: string) => Promise<AccessGrant | null>
  readonly routingVersion: () => number
  /** @param url - where clients reach a gateway that lives */
  readonly onReport: (url: string) => void
  readonly now: () => Date
}

type GatewayHandlers = Handlers<Routes, Caller>['gateway']

export const gatewayHandlers = ({
  database,
  charging,
  accessOf,
  routingVersion,
  onReport,
  now,
}: GatewayHandlerParts): Pick<GatewayHandlers, 'access' | 'reserve' | 'record' | 'report'> => ({
  async access({ body }) {
    const grant = await accessOf(body.digest)
    if (grant !== null) return grant
    throw new ProblemError('unauthenticated', 'The key is unknown, expired or revoked.', {
      hint: 'Create a key in the console or with "deos key create".',
    })
  },
  async reserve({ body }) {
    const expiresAt = await charging.reserve(body)
    return { requestId: body.requestId, expiresAt: expiresAt.toISOString() }
  },
  async record({ body }) {
    await charging.record(body.requests)
    return undefined
  },
  async report({ body: { gateway, url, ...report } }) {
    const reportedAt = now()
    onReport(url)
    const living = new Date(reportedAt.getTime() - gatewayLifeMs)
    const count = await database.transaction(async (queries) => {
      await queries
        .insert(gateways)
        .values({ id: gateway, url, report, reportedAt })
        .onConflictDoUpdate({ target: gateways.id, set: { url, report, reportedAt } })
      await queries
        .delete(gateways)
        .where(lt(gateways.reportedAt, new Date(reportedAt.getTime() - forgottenMs)))
      const [row] = await queries
        .select({ count: sql<number>`count(*)::int` })
        .from(gateways)
        .where(gt(gateways.reportedAt, living))
      return row!.count
    })
    return { gateways: Math.max(1, count), routingVersion: routingVersion() }
  },
})
