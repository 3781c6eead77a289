import { cursorFormat, type Handlers, type Routes, type UserId } from '@deos/api'
import type { DeploymentId, OrganisationId, Placer } from '@deos/domain'
import { activeSpec, type Deployment, deploymentStatus } from '@deos/fleet'
import type { Timers } from '@deos/transport'
import { and, asc, eq, inArray } from 'drizzle-orm'
import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { deploymentDetails, events } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { seriesOf } from '../observation/series.ts'
import { listing } from '../people/listing.ts'
import { currencyOf } from '../people/settings-table.ts'
import type { DeployableFleet } from './deployable-fleet.ts'
import type { DeployedModels } from './deployed-models.ts'
import {
  type DeploymentAnswer,
  type Details,
  deploymentAnswer,
  iso,
  replicaAnswer,
} from './deployment-answers.ts'
import type { DeploymentLog } from './deployment-log.ts'
import type { DeploymentWishes } from './deployment-wishes.ts'
import type { GatewayReports } from './gateway-reports.ts'
import { latest } from './latest.ts'
import { liveAnswer } from './live.ts'
import { LogFollower, logPage } from './log-lines.ts'
import { preview } from './preview.ts'
import type { RingActivity } from './ring-activity.ts'
import { apiSpec } from './spec.ts'

export interface DeploymentHandlerParts {
  readonly log: DeploymentLog
  readonly wishes: DeploymentWishes
  readonly fleet: DeployableFleet
  readonly models: DeployedModels
  readonly placer: Placer
  readonly activity: RingActivity
  readonly gateways: GatewayReports
  readonly database: Database
  readonly timers: Timers
  readonly now: () => Date
}

const liveMs = 1000
const logLookMs = 5000
const logGapMs = 200
const cursors = cursorFormat('deployments', z.tuple([z.string(), z.string()]))
const revisionCursors = cursorFormat('revisions', z.int())

/** Nothing tells of changes. */
const byTheClock = () => () => undefined

export const deploymentHandlers = (
  parts: DeploymentHandlerParts,
): Pick<Handlers<Routes, Caller>, 'deployments'> => {
  const { log, wishes, fleet, activity, gateways, database, timers, now } = parts
  const { queries } = database

  const answers = async (
    organisation: OrganisationId,
    deployments: readonly Deployment[],
  ): Promise<readonly DeploymentAnswer[]> => {
    const details = await detailsOf(database, deployments)
    const currency = await currencyOf(queries, organisation)
    return deployments.map((deployment) =>
      deploymentAnswer(deployment, details.get(deployment.id)!, currency, fleet),
    )
  }
  const answer = async (deployment: Deployment): Promise<DeploymentAnswer> =>
    (await answers(deployment.organisation, [deployment]))[0]!

  return {
    deployments: {
      async list({ query }, caller) {
        const organisation = organisationOf(caller)
        const after = query.cursor === undefined ? null : cursors.decode(query.cursor)
        const wanted = [...log.state.deployments.values()]
          .filter((deployment) => deployment.organisation === organisation)
          .filter(({ name }) => query.name === undefined || name === query.name)
          .filter(({ project }) => query.project === undefined || project === query.project)
          .filter((deployment) => query.model === undefined || activeSpec(deployment).model === query.model)
          .filter((deployment) => query.state?.includes(deploymentStatus(deployment).condition) ?? true)
          .filter(({ name, id }) => after === null || isAfter([name, id], after))
          .sort((a, b) => (isAfter([a.name, a.id], [b.name, b.id]) ? 1 : -1))
        const page = listing(
          wanted.slice(0, query.limit + 1),
          query.limit,
          (deployment) => deployment,
          ({ name, id }) => cursors.encode([name, id]),
        )
        return { ...page, items: await answers(organisation, page.items) }
      },
      async preview({ body }, caller) {
        const organisation = organisationOf(caller)
        const spec = await wishes.spec(body.spec, organisation)
        wishes.check(spec, organisation)
        return preview(spec, organisation, { ...parts, stages: log.stages })
      },
      async create({ body }, caller) {
        return answer(await wishes.create(body, caller))
      },
      async show({ params }, caller) {
        const deployment = await wishes.of(params.deployment, caller)
        return {
          deployment: await answer(deployment),
          replicas: deployment.replicas.map((replica) =>
            replicaAnswer(deployment, replica, activity.lastTokenAtMs(replica), fleet),
          ),
        }
      },
      async scale({ params: { deployment }, body: { replicas } }, caller) {
        return answer(await wishes.wish({ type: 'scale', deployment, replicas }, caller))
      },
      async revise({ params, body }, caller) {
        return answer(await wishes.revise(params.deployment, body, caller))
      },
      async revisions({ params, query: { cursor, limit } }, caller) {
        const deployment = await wishes.of(params.deployment, caller)
        const before = cursor === undefined ? Number.POSITIVE_INFINITY : revisionCursors.decode(cursor)
        const authors = await authorsOf(database, deployment)
        const currency = await currencyOf(queries, deployment.organisation)
        const newestFirst = deployment.revisions.filter(({ number }) => number < before).toReversed()
        return listing(
          newestFirst.slice(0, limit + 1),
          limit,
          ({ number, spec, createdAtMs }) => ({
            deploymentId: deployment.id,
            number,
            spec: apiSpec(spec, currency),
            active: number === deployment.activeRevision,
            createdBy: authors[number - 1] ?? null,
            createdAt: iso(createdAtMs),
          }),
          ({ number }) => revisionCursors.encode(number),
        )
      },
      async rollback({ params, body }, caller) {
        return answer(await wishes.rollback(params.deployment, body.revision, caller))
      },
      async pause({ params: { deployment }, body }, caller) {
        const reason = body.reason ?? 'No reason was given.'
        return answer(await wishes.wish({ type: 'pause', deployment, reason }, caller))
      },
      async resume({ params: { deployment } }, caller) {
        return answer(await wishes.wish({ type: 'resume', deployment }, caller))
      },
      async remove({ params: { deployment }, query }, caller) {
        const reason = query.reason ?? 'No reason was given.'
        return answer(await wishes.wish({ type: 'remove', deployment, reason }, caller))
      },
      async *live({ params }, caller) {
        const { id, organisation } = await wishes.of(params.deployment, caller)
        const watch = { onChange: byTheClock, timers, signal: caller.signal, gapMs: 0, idleMs: liveMs }
        const read = async () => ({ deployment: log.find(id, organisation), now: now().getTime() })
        for await (const { deployment, now: atMs } of latest(watch, read)) {
          if (deployment === null) return
          yield {
            id: null,
            data: liveAnswer(deployment, activity, fleet, await gateways.living(), atMs),
          }
        }
      },
      async series({ params, query }, caller) {
        const { id } = await wishes.of(params.deployment, caller)
        return seriesOf(queries, `deployment:${id}`, query.window, now())
      },
      async logs({ params, query }, caller) {
        const { id } = await wishes.of(params.deployment, caller)
        return logPage(database, id, query)
      },
      async *followLogs({ params, query, lastEventId }, caller) {
        const { id } = await wishes.of(params.deployment, caller)
        const after = lastEventId !== null && /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : null
        const follower = await LogFollower.open(database, id, query, after)
        const watch = {
          onChange: (listener: () => void) => database.listen('logs', listener),
          timers,
          signal: caller.signal,
          gapMs: logGapMs,
          idleMs: logLookMs,
        }
        const read = async () => {
          const lines = await follower.next()
          return lines.length === 0 ? null : lines
        }
        for await (const lines of latest(watch, read)) {
          for (const line of lines) yield { id: String(line.sequence), data: line }
        }
      },
    },
  }
}

const isAfter = (a: readonly [string, string], b: readonly [string, string]): boolean =>
  a[0] > b[0] || (a[0] === b[0] && a[1] > b[1])

async function detailsOf(
  { queries }: Database,
  deployments: readonly Deployment[],
): Promise<ReadonlyMap<DeploymentId, Details>> {
  if (deployments.length === 0) return new Map()
  const rows = await queries
    .select()
    .from(deploymentDetails)
    .where(
      inArray(
        deploymentDetails.id,
        deployments.map(({ id }) => id),
      ),
    )
  return new Map(rows.map(({ id, servedAs, createdBy }) => [id as DeploymentId, { servedAs, createdBy }]))
}

/** Who made each revision, in order; null for programs. */
async function authorsOf({ queries }: Database, { id, organisation }: Deployment) {
  const rows = await queries
    .select({ cause: events.cause })
    .from(events)
    .where(
      and(
        eq(events.organisationId, organisation),
        eq(events.deploymentId, id),
        inArray(events.type, ['deployment.created', 'deployment.revised']),
      ),
    )
    .orderBy(asc(events.sequence))
  return rows.map(({ cause }) => (cause.kind === 'user' ? (cause.id as UserId) : null))
}
