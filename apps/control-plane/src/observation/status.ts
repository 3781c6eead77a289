import {
  type DeploymentState,
  deploymentStates,
  type Handlers,
  type MachineState,
  machineStates,
  money,
  type Routes,
  type Status,
} from '@deos/api'
import type { OrganisationId, ReplicaId } from '@deos/domain'
import { currency } from '@deos/ledger'
import { and, eq, gte, sql } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { gateways, requestRecords, usageDays } from '../database/schema/index.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import { gatewayLifeMs } from './gateway-handlers.ts'
import type { Sample } from './samples.ts'
import { seriesOf } from './series.ts'
import { currencyOf } from './usage-handlers.ts'

/** What an organisation's rings do now, from heartbeats. */
export interface Activity {
  readonly tokensPerSecond: number
  readonly lastTokenAt: Date | null
  readonly replicas: readonly ReplicaId[]
  readonly deployments: readonly {
    readonly name: string
    readonly state: DeploymentState
    readonly reason: string
  }[]
  /** Of all machines that hold stages, in millionths of the currency's unit. */
  readonly pricePerHourMicros: bigint
}

export interface StatusParts {
  readonly database: Database
  readonly version: string
  readonly now: () => Date
  readonly activityOf: (organisation: OrganisationId) => Activity
  readonly machineStatesOf: (organisation: OrganisationId) => readonly MachineState[]
  readonly organisations: () => Promise<readonly OrganisationId[]>
}

const latencyWindowMs = 5 * 60_000
const rateWindowMs = 60_000
const freshMs = 900

/** Everything at a glance, worked out at most once a second for each organisation however many look. */
export class StatusBoard {
  readonly #parts: StatusParts
  readonly #boards = new Map<OrganisationId, { readonly atMs: number; readonly status: Promise<Status> }>()

  constructor(parts: StatusParts) {
    this.#parts = parts
  }

  of(organisation: OrganisationId): Promise<Status> {
    const nowMs = this.#parts.now().getTime()
    const known = this.#boards.get(organisation)
    if (known && nowMs - known.atMs < freshMs) return known.status
    const status = this.#workOut(organisation)
    this.#boards.set(organisation, { atMs: nowMs, status })
    // A failure is told to those who asked, and not kept.
    status.catch(() => this.#boards.delete(organisation))
    return status
  }

  /** What charts of the overview draw. */
  async samples(): Promise<readonly Sample[]> {
    const organisations = await this.#parts.organisations()
    return Promise.all(
      organisations.map(async (organisation) => {
        const status = await this.of(organisation)
        return {
          subject: subjectOf(organisation),
          values: {
            tokens_per_second: status.tokensPerSecond,
            requests_per_second: status.requestsPerSecond,
            active_requests: status.activeRequests,
            queued_requests: status.queuedRequests,
            ttft_p50_ms: status.ttftMs?.p50 ?? null,
            ttft_p95_ms: status.ttftMs?.p95 ?? null,
            ttft_p99_ms: status.ttftMs?.p99 ?? null,
            tpot_p50_ms: status.tpotMs?.p50 ?? null,
            tpot_p95_ms: status.tpotMs?.p95 ?? null,
            tpot_p99_ms: status.tpotMs?.p99 ?? null,
            ready_machines: status.machines.ready,
            ready_deployments: status.deployments.ready,
          },
        }
      }),
    )
  }

  async #workOut(organisation: OrganisationId): Promise<Status> {
    const { database, version, now, activityOf, machineStatesOf } = this.#parts
    const at = now()
    const { queries } = database
    const activity = activityOf(organisation)
    const [ttftMs, tpotMs, requests, load, of] = await Promise.all([
      percentiles(queries, organisation, 'ttftMs', at),
      percentiles(queries, organisation, 'tpotMs', at),
      requestsWithin(queries, organisation, rateWindowMs, at),
      gatewayLoad(queries, new Set(activity.replicas), at),
      currencyOf(database, organisation).then(currency),
    ])
    const spend = await spentBy(queries, organisation, at)
    const states = machineStatesOf(organisation)
    return {
      at: at.toISOString(),
      version,
      health: health(activity, load.gateways),
      lastTokenAt: activity.lastTokenAt?.toISOString() ?? null,
      tokensPerSecond: activity.tokensPerSecond,
      requestsPerSecond: requests / (rateWindowMs / 1000),
      activeRequests: load.active,
      queuedRequests: load.queued,
      ttftMs,
      tpotMs,
      machines: countStates(machineStates, states),
      deployments: countStates(
        deploymentStates,
        activity.deployments.map(({ state }) => state),
      ),
      spend: {
        today: money(spend.today, of),
        month: money(spend.month, of),
        perHour: money(activity.pricePerHourMicros, of),
      },
    } as Status
  }
}

const subjectOf = (organisation: OrganisationId): string => `organisation:${organisation}`

const countStates = <S extends string>(all: readonly S[], states: readonly S[]): Record<S, number> =>
  Object.fromEntries(all.map((state) => [state, states.filter((each) => each === state).length])) as Record<
    S,
    number
  >

async function percentiles(
  queries: Queries,
  organisation: OrganisationId,
  quantity: 'ttftMs' | 'tpotMs',
  at: Date,
): Promise<{ p50: number; p95: number; p99: number; samples: number } | null> {
  const column = requestRecords[quantity]
  const [row] = await queries
    .select({
      samples: sql<number>`count(${column})::int`,
      ranks: sql<number[] | null>`percentile_cont(array[0.5, 0.95, 0.99]) within group (order by ${column})`,
    })
    .from(requestRecords)
    .where(
      and(
        eq(requestRecords.organisationId, organisation),
        gte(requestRecords.at, new Date(at.getTime() - latencyWindowMs)),
      ),
    )
  if (!row || row.samples === 0 || row.ranks === null) return null
  const [p50, p95, p99] = row.ranks
  return { p50: p50!, p95: p95!, p99: p99!, samples: row.samples }
}

async function requestsWithin(
  queries: Queries,
  organisation: OrganisationId,
  withinMs: number,
  at: Date,
): Promise<number> {
  const [row] = await queries
    .select({ count: sql<number>`count(*)::int` })
    .from(requestRecords)
    .where(
      and(
        eq(requestRecords.organisationId, organisation),
        gte(requestRecords.at, new Date(at.getTime() - withinMs)),
      ),
    )
  return row!.count
}

interface ReportedReplica {
  readonly replicaId: ReplicaId
  readonly open: number
  readonly queued: number
}

async function gatewayLoad(queries: Queries, replicas: ReadonlySet<ReplicaId>, at: Date) {
  const rows = await queries
    .select({ report: gateways.report })
    .from(gateways)
    .where(gte(gateways.reportedAt, new Date(at.getTime() - gatewayLifeMs)))
  const own = rows
    .flatMap(({ report }) => (report as { replicas: readonly ReportedReplica[] }).replicas)
    .filter(({ replicaId }) => replicas.has(replicaId))
  return {
    gateways: rows.length,
    active: own.reduce((sum, { open }) => sum + open, 0),
    queued: own.reduce((sum, { queued }) => sum + queued, 0),
  }
}

async function spentBy(queries: Queries, organisation: OrganisationId, at: Date) {
  const today = at.toISOString().slice(0, 10)
  const month = `${today.slice(0, 8)}01`
  const [row] = await queries
    .select({
      today: sql<string>`coalesce(sum(${usageDays.costMicros}) filter (where ${usageDays.day} = ${today}), 0)::text`,
      month: sql<string>`coalesce(sum(${usageDays.costMicros}), 0)::text`,
    })
    .from(usageDays)
    .where(and(eq(usageDays.organisationId, organisation), gte(usageDays.day, month)))
  return { today: BigInt(row!.today), month: BigInt(row!.month) }
}

function health({ deployments }: Activity, livingGateways: number): Status['health'] {
  const wanted = deployments.filter(({ state }) => state !== 'paused' && state !== 'removing')
  const serving = wanted.filter(({ state }) => state === 'ready')
  const reasons = [
    ...(livingGateways === 0 ? ['No gateway reports, so requests may not be answered.'] : []),
    ...wanted.filter(({ state }) => state !== 'ready').map(({ name, reason }) => `${name}: ${reason}`),
  ]
  if (reasons.length === 0) {
    return {
      state: 'ok',
      reasons: [wanted.length === 0 ? 'Nothing is deployed.' : 'Every deployment is ready.'],
    }
  }
  const down = livingGateways === 0 || (wanted.length > 0 && serving.length === 0)
  return { state: down ? 'down' : 'degraded', reasons }
}

export interface StatusHandlerParts {
  readonly database: Database
  readonly board: StatusBoard
  readonly now: () => Date
  /** Resolves after a time, or when the signal aborts. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>
}

export const statusHandlers = ({
  database,
  board,
  now,
  pause,
}: StatusHandlerParts): Pick<Handlers<Routes, Caller>, 'status'> => ({
  status: {
    show: (_, caller) => board.of(organisationOf(caller)),
    async *follow(_, caller) {
      const organisation = organisationOf(caller)
      while (!caller.signal.aborted) {
        yield { id: null, data: await board.of(organisation) }
        await pause(1000, caller.signal)
      }
    },
    series: ({ query }, caller) =>
      seriesOf(database.queries, subjectOf(organisationOf(caller)), query.window, now()),
  },
})
