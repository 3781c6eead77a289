import type { RoutingState } from '@deos/api'
import type { DeploymentsState } from '@deos/fleet'
import type { Logger } from '@deos/service'
import type { Timers } from '@deos/transport'
import { and, eq, isNotNull, isNull, max } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { aliases, deploymentDetails, events, settings } from '../database/schema/index.ts'
import type { DeployedModels } from '../deployments/deployed-models.ts'
import type { DeploymentLog } from '../deployments/deployment-log.ts'
import type { RingAccess } from '../deployments/ring-access.ts'
import { type RouteTarget, type RoutingRows, routeTargets, type TokenPrices } from './routing-state.ts'

export interface RoutingFeedParts {
  readonly log: DeploymentLog
  readonly models: DeployedModels
  readonly rings: RingAccess
  readonly database: Database
  readonly timers: Timers
  readonly now: () => Date
  readonly logger: Logger
}

/** Changes within it are told together. */
const gatherMs = 20
/** Told at most so often. */
const gapMs = 100
/** Words get lost: it is looked at again after so long. */
const lookMs = 5000

/**
 * What gateways route by, kept up to date.
 *
 * Its version is the number of the newest event that it takes account of, the same on every control plane: one that is
 * not less than the number of some event shows what followed from it.
 */
export class RoutingFeed {
  readonly #listeners = new Set<() => void>()
  #state: RoutingState = { version: 0, accessVersion: 0, targets: [] }
  #mark = ''
  /** From the clock, so that gateways which change over to another control plane see another number there. */
  #accessVersion: number
  #working: Promise<void> | null = null
  #again = false
  #stopped = true
  #cancelWait: () => void = () => undefined
  #unsubscribe: readonly (() => void)[] = []

  constructor(private readonly parts: RoutingFeedParts) {
    this.#accessVersion = parts.now().getTime()
  }

  async start(): Promise<void> {
    const { log, models, database, now } = this.parts
    this.#stopped = false
    const poke = () => this.#poke()
    this.#unsubscribe = [
      log.onChange(poke),
      models.onChange(poke),
      database.listen('routing', () => {
        this.#accessVersion = Math.max(this.#accessVersion + 1, now().getTime())
        poke()
      }),
    ]
    await this.refresh()
    this.#wait(lookMs)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelWait()
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#working
  }

  get state(): RoutingState {
    return this.#state
  }

  get version(): number {
    return this.#state.version
  }

  /** @returns stops telling */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** Works it out anew; whoever follows is told only if it differs. */
  async refresh(): Promise<void> {
    const { log, models, rings, database } = this.parts
    // First the number, then what is at least as new.
    const [row] = await database.queries.select({ sequence: max(events.sequence) }).from(events)
    await log.refresh()
    const rows = await readRows(database)
    const { state, version: folded } = log
    const accessVersion = this.#accessVersion
    const targets = routeTargets(state, rows, models, rings)
    const mark = markOf(targets, state, accessVersion)
    if (mark === this.#mark) return
    // Events that came after the first look and are in the state count too: whoever waits until gateways know of one
    // would wait until the next change, since this one is told only once.
    const [last] = await database.queries
      .select({ sequence: events.sequence })
      .from(events)
      .where(and(eq(events.stream, 'deployments'), eq(events.version, folded)))
    this.#mark = mark
    const version = Math.max(this.#state.version, row?.sequence ?? 0, last?.sequence ?? 0)
    this.#state = { version, accessVersion, targets: [...targets] }
    for (const listener of [...this.#listeners]) listener()
  }

  #poke(): void {
    this.#again = true
    if (this.#working === null) this.#wait(gatherMs)
  }

  #wait(delayMs: number): void {
    this.#cancelWait()
    this.#cancelWait = this.parts.timers.after(delayMs, () => this.#work())
  }

  #work(): void {
    if (this.#stopped || this.#working !== null) return
    this.#again = false
    this.#working = this.refresh()
      .catch((error: unknown) => {
        this.parts.logger.warn({ err: error }, 'What gateways route by could not be worked out; trying on.')
      })
      .then(() => {
        this.#working = null
        if (!this.#stopped) this.#wait(this.#again ? gapMs : lookMs)
      })
  }
}

/**
 * Differs if what gateways should know does. Replicas that drain are a part of it: gateways have to reach a version
 * without them even if they never saw them.
 */
function markOf(
  targets: readonly RouteTarget[],
  { deployments }: DeploymentsState,
  accessVersion: number,
): string {
  const draining = [...deployments.values()].flatMap(({ replicas }) =>
    replicas.filter(({ phase }) => phase === 'draining').map(({ id, drains }) => [id, drains]),
  )
  return JSON.stringify([targets, draining, accessVersion])
}

async function readRows({ queries }: Database): Promise<RoutingRows> {
  const [details, named, priced] = await Promise.all([
    queries
      .select({ id: deploymentDetails.id, servedAs: deploymentDetails.servedAs })
      .from(deploymentDetails)
      .where(isNull(deploymentDetails.removedAt)),
    queries
      .select({ deployment: aliases.deploymentId, name: aliases.name })
      .from(aliases)
      .orderBy(aliases.name),
    queries
      .select({ organisation: settings.organisationId, prices: settings.tokenPrices })
      .from(settings)
      .where(isNotNull(settings.tokenPrices)),
  ])
  const aliasesOf = new Map<string, string[]>()
  for (const { deployment, name } of named) {
    const names = aliasesOf.get(deployment) ?? []
    aliasesOf.set(deployment, [...names, name])
  }
  return {
    servedAs: new Map(details.map(({ id, servedAs }) => [id, servedAs])),
    aliases: aliasesOf,
    prices: new Map(priced.map(({ organisation, prices }) => [organisation, prices as TokenPrices])),
  }
}
