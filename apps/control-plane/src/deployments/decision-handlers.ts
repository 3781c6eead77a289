import {
  type AnswerOf,
  cursorFormat,
  type decisionKinds,
  type Handlers,
  ProblemError,
  type Routes,
} from '@deos/api'
import { and, desc, eq, inArray, lt, or } from 'drizzle-orm'
import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { decisions } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { listing } from '../people/listing.ts'

type DecisionAnswer = AnswerOf<Routes['decisions']['show']>

const cursors = cursorFormat('decisions', z.tuple([z.int(), z.string()]))

export const decisionHandlers = ({
  database: { queries },
}: {
  readonly database: Database
}): Pick<Handlers<Routes, Caller>, 'decisions'> => ({
  decisions: {
    async list({ query: { cursor, limit, kind, deployment } }, caller) {
      const rows = await queries
        .select()
        .from(decisions)
        .where(
          and(
            eq(decisions.organisationId, organisationOf(caller)),
            kind === undefined ? undefined : inArray(decisions.kind, kind),
            deployment === undefined ? undefined : eq(decisions.deploymentId, deployment),
            cursor === undefined ? undefined : before(cursors.decode(cursor)),
          ),
        )
        .orderBy(desc(decisions.at), desc(decisions.id))
        .limit(limit + 1)
      return listing(rows, limit, decisionAnswer, ({ at, id }) => cursors.encode([at.getTime(), id]))
    },
    async show({ params }, caller) {
      const [row] = await queries
        .select()
        .from(decisions)
        .where(and(eq(decisions.id, params.decision), eq(decisions.organisationId, organisationOf(caller))))
      if (row !== undefined) return decisionAnswer(row)
      throw new ProblemError('not-found', `There is no decision ${params.decision}.`)
    },
  },
})

const before = ([atMs, id]: readonly [number, string]) =>
  or(lt(decisions.at, new Date(atMs)), and(eq(decisions.at, new Date(atMs)), lt(decisions.id, id)))

const decisionAnswer = ({
  id,
  at,
  kind,
  deploymentId,
  replicaId,
  summary,
  reasons,
  rejected,
}: typeof decisions.$inferSelect): DecisionAnswer => ({
  id: id as DecisionAnswer['id'],
  at: at.toISOString(),
  kind: kind as (typeof decisionKinds)[number],
  deploymentId: deploymentId as DecisionAnswer['deploymentId'],
  replicaId: replicaId as DecisionAnswer['replicaId'],
  summary,
  reasons,
  rejected,
})
