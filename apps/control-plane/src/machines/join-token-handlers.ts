import {
  type AnswerOf,
  cursorFormat,
  type Handlers,
  type JoinTokenId,
  ProblemError,
  type Routes,
} from '@deos/api'
import { type MachineLocation, type Milliseconds, ms } from '@deos/domain'
import { type JoinToken, joinTokenStatus, listJoinTokens } from '@deos/fleet'
import { inArray } from 'drizzle-orm'
import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { joinTokenDetails } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { digestOf, newSecret, shownPrefix } from '../http/secrets.ts'
import type { MachineService } from './machine-service.ts'
import { iso } from './machine-view.ts'

type TokenAnswer = AnswerOf<Routes['joinTokens']['list']>['items'][number]

interface TokenDetails {
  readonly prefix: string
  readonly location: MachineLocation | null
}

const cursors = cursorFormat('join-tokens', z.tuple([z.number(), z.string()]))
const hourMs = 60 * 60_000
const revokedByOperator = 'An operator revoked it.'

export const joinTokenHandlers = (
  service: MachineService,
  database: Database,
): Handlers<Routes, Caller>['joinTokens'] => ({
  async list({ query: { cursor, limit, all } }, caller) {
    const { state, nowMs } = service.log
    const after = cursor === undefined ? null : cursors.decode(cursor)
    const tokens = listJoinTokens(state, organisationOf(caller))
      .filter((token) => all || joinTokenStatus(token, nowMs) === 'usable')
      .sort(newestFirst)
      .filter(({ createdAtMs, id }) => after === null || isOlder(createdAtMs, id, after))
    const shown = tokens.slice(0, limit)
    const details = await detailsOf(database, shown)
    const last = tokens.length > limit ? shown.at(-1) : undefined
    return {
      items: shown.map((token) => tokenAnswer(token, details.get(token.id), nowMs)),
      nextCursor: last ? cursors.encode([last.createdAtMs, last.id]) : null,
    }
  },
  async create({ body: { name, location, maxMachines, validHours } }, caller) {
    const organisation = organisationOf(caller)
    const secret = newSecret('deos_j_')
    const prefix = shownPrefix(secret)
    const command = {
      type: 'createJoinToken',
      organisation,
      label: name,
      secretDigest: digestOf(secret).replace('sha256:', ''),
      expiresAtMs: ms(service.log.nowMs + validHours * hourMs),
      maxUses: maxMachines,
    } as const
    const [event] = await service.log.execute(caller.cause, command, async (queries, [created]) => {
      if (created?.type !== 'joinTokenCreated') return
      await queries
        .insert(joinTokenDetails)
        .values({ id: created.token, organisationId: organisation, prefix, location })
    })
    if (event?.type !== 'joinTokenCreated') throw new Error('A join token was made without an event.')
    const token = service.log.state.tokens.get(event.token)!
    return {
      joinToken: tokenAnswer(token, { prefix, location }, service.log.nowMs),
      secret,
      command: `npx deos join ${service.publicUrl} --token ${secret}`,
    }
  },
  async revoke({ params: { joinToken } }, caller) {
    const token = service.log.state.tokens.get(joinToken)
    if (token?.organisation !== organisationOf(caller)) {
      throw new ProblemError('not-found', `There is no join token ${joinToken}.`)
    }
    const command = { type: 'revokeJoinToken', token: token.id, reason: revokedByOperator } as const
    await service.log.execute(caller.cause, command)
    return undefined
  },
})

const newestFirst = (a: JoinToken, b: JoinToken): number =>
  b.createdAtMs - a.createdAtMs || (a.id < b.id ? -1 : 1)

const isOlder = (createdAtMs: number, id: string, [afterMs, afterId]: readonly [number, string]): boolean =>
  createdAtMs < afterMs || (createdAtMs === afterMs && id > afterId)

async function detailsOf(
  database: Database,
  tokens: readonly JoinToken[],
): Promise<ReadonlyMap<string, TokenDetails>> {
  if (tokens.length === 0) return new Map()
  const ids = tokens.map(({ id }) => id)
  const rows = await database.queries.select().from(joinTokenDetails).where(inArray(joinTokenDetails.id, ids))
  return new Map(rows.map((row) => [row.id, row]))
}

function tokenAnswer(token: JoinToken, details: TokenDetails | undefined, nowMs: Milliseconds): TokenAnswer {
  return {
    id: token.id as JoinTokenId,
    name: token.label,
    prefix: details?.prefix ?? '',
    location: details?.location ?? null,
    maxMachines: token.maxUses,
    joinedMachines: token.uses,
    createdAt: iso(token.createdAtMs),
    expiresAt: iso(token.expiresAtMs),
    revokedAt: token.revoked === null ? null : iso(token.revoked.atMs),
    status: joinTokenStatus(token, nowMs),
  }
}
