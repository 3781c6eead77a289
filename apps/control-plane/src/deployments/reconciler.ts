import type { FleetSnapshot, IdSource, Placer } from '@deos/domain'
import {
  type DeploymentEvent,
  type DeploymentsState,
  type ReconcileInput,
  type ReconcileResult,
  reconcile,
} from '@deos/fleet'
import type { Logger } from '@deos/service'
import type { Timers } from '@deos/transport'
import { and, inArray, isNull } from 'drizzle-orm'
import type { Claims } from '../cluster/claims.ts'
import type { Queries } from '../database/database.ts'
import { aliases, deploymentDetails } from '../database/schema/index.ts'
import { decisionsOf, storeDecisions } from './decisions.ts'
import { type DeployableFleet, withMachineNames } from './deployable-fleet.ts'
import type { DeployedModels } from './deployed-models.ts'
import type { DeploymentLog } from './deployment-log.ts'

export interface ReconcilerParts {
  readonly log: DeploymentLog
  readonly fleet: DeployableFleet
  readonly models: DeployedModels
  readonly placer: Placer
  readonly claims: Pick<Claims, 'tryRun'>
  readonly ids: IdSource
  readonly timers: Timers
  readonly logger: Logger
}

/** At least so often everything is looked at, whatever was heard. */
const longestWaitMs = 1000
/** Changes that come together are looked at together. */
const gatherMs = 10

/** Brings the fleet to what is wished: one control plane at a time, whenever something has changed. */
export class Reconciler {
  #running: Promise<void> | null = null
  #again = false
  /** When there is something to do of itself, as of the last look. */
  #wakeAtMs: number | null = null
  #stopped = true
  #cancelWait: () => void = () => undefined
  #unsubscribe: readonly (() => void)[] = []

  constructor(private readonly parts: ReconcilerParts) {}

  start(): void {
    const { log, fleet, models } = this.parts
    this.#stopped = false
    const poke = () => this.#poke()
    this.#unsubscribe = [log.onChange(poke), fleet.onChange(poke), models.onChange(poke)]
    this.#poke()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelWait()
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#running
  }

  /** Takes what steps there are to take, unless another control plane is about it. True if there were any. */
  async runOnce(): Promise<boolean> {
    const { events, wakeAtMs } = this.#reconcile(this.parts.log.state)
    this.#wakeAtMs = wakeAtMs
    if (events.length === 0) return false
    const ran = await this.parts.claims.tryRun('reconcile', () => this.#take())
    return ran ?? false
  }

  #poke(): void {
    this.#again = true
    if (this.#running !== null) return
    this.#cancelWait()
    this.#cancelWait = this.parts.timers.after(gatherMs, () => this.#begin())
  }

  #begin(): void {
    if (this.#stopped || this.#running !== null) return
    this.#again = false
    this.#running = this.runOnce()
      .then(
        () => undefined,
        (error: unknown) => {
          this.parts.logger.error({ err: error }, 'Deployments could not be reconciled; it is tried again.')
        },
      )
      .then(() => {
        this.#running = null
        if (this.#stopped) return
        this.#cancelWait = this.parts.timers.after(this.#again ? gatherMs : this.#waitMs(), () =>
          this.#begin(),
        )
      })
  }

  #waitMs(): number {
    const waitMs = this.#wakeAtMs === null ? longestWaitMs : this.#wakeAtMs - this.parts.log.nowMs
    return Math.min(longestWaitMs, Math.max(gatherMs, waitMs))
  }

  async #take(): Promise<boolean> {
    const { log, fleet, ids } = this.parts
    // Whoever placed stages last may know of machines that this process has not heard of yet.
    await fleet.refresh()
    let before: DeploymentsState = log.state
    const events = await log.change(
      { kind: 'system' },
      (state) => {
        before = state
        return this.#reconcile(state).events
      },
      async (queries, appended) => {
        const withNames = (text: string) => withMachineNames(fleet, text)
        await storeDecisions(queries, decisionsOf(appended, before, withNames), ids)
        await forgetRemoved(queries, appended)
      },
    )
    return events.length > 0
  }

  #reconcile(state: DeploymentsState): ReconcileResult {
    return reconcile(state, this.#input(state))
  }

  #input(state: DeploymentsState): ReconcileInput {
    const { log, fleet, models, placer, ids } = this.parts
    const { nowMs } = log
    let snapshot: FleetSnapshot | null = null
    return {
      machines: fleet.standings(null),
      // Looked at only if something has to be placed.
      get fleet() {
        snapshot ??= snapshotOfAll(state, fleet)
        return snapshot
      },
      placer,
      footprint: (model, precision) => models.footprint(model, precision),
      contextTokens: (model) => models.modelOf(model)?.shape?.contextTokens ?? null,
      nowMs,
      ids,
    }
  }
}

/** Machines of all organisations that have deployments; the reconciler keeps them apart. */
function snapshotOfAll({ deployments }: DeploymentsState, fleet: DeployableFleet): FleetSnapshot {
  const organisations = new Set([...deployments.values()].map(({ organisation }) => organisation))
  const snapshots = [...organisations].map((organisation) => fleet.snapshot(organisation))
  if (snapshots.length === 1) return snapshots[0]!
  return {
    candidates: snapshots.flatMap(({ candidates }) => candidates),
    links: snapshots.flatMap(({ links }) => links),
  }
}

/** Names that a deployment had are free once nothing of it is left. */
async function forgetRemoved(queries: Queries, events: readonly DeploymentEvent[]): Promise<void> {
  const removed = events.filter(({ type }) => type === 'deploymentRemoved')
  if (removed.length === 0) return
  const gone = removed.map(({ deployment }) => deployment)
  await queries
    .update(deploymentDetails)
    .set({ removedAt: new Date(removed[0]!.atMs) })
    .where(and(inArray(deploymentDetails.id, gone), isNull(deploymentDetails.removedAt)))
  await queries.delete(aliases).where(inArray(aliases.deploymentId, gone))
}
