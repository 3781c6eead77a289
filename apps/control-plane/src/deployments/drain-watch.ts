import type { Deployment, DeploymentFact, Replica } from '@deos/fleet'
import type { Logger } from '@deos/service'
import { every, type Timers } from '@deos/transport'
import { and, eq, inArray } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { events } from '../database/schema/index.ts'
import type { DeploymentLog } from './deployment-log.ts'
import { type GatewayReport, type GatewayReports, requestsAt } from './gateway-reports.ts'

export interface DrainWatchParts {
  readonly log: DeploymentLog
  readonly database: Database
  readonly gateways: GatewayReports
  readonly timers: Timers
  readonly logger: Logger
}

const lookMs = 1000

/**
 * Whether nothing runs on a replica any more: every living gateway follows a routing state that no longer has it, and
 * has no request open there.
 *
 * @param unroutedVersion - first version of the routing state without the replica
 */
export const isDrained = (
  { id, generation }: Pick<Replica, 'id' | 'generation'>,
  unroutedVersion: number,
  gateways: readonly GatewayReport[],
): boolean =>
  gateways.every(({ routingVersion }) => routingVersion >= unroutedVersion) &&
  requestsAt(gateways, id, generation).open === 0

/** Says when draining replicas have finished what they had. */
export class DrainWatch {
  readonly #sequences = new Map<number, number>()
  #stop: () => void = () => undefined
  #looking: Promise<void> | null = null

  constructor(private readonly parts: DrainWatchParts) {}

  start(): void {
    this.#stop = every(this.parts.timers, lookMs, () => {
      this.#looking ??= this.look()
        .catch((error: unknown) => {
          this.parts.logger.error({ err: error }, 'Draining replicas could not be looked at.')
        })
        .then(() => {
          this.#looking = null
        })
    })
  }

  async stop(): Promise<void> {
    this.#stop()
    await this.#looking
  }

  async look(): Promise<void> {
    const { log, gateways } = this.parts
    const draining = drainingReplicas([...log.state.deployments.values()])
    if (draining.length === 0) return
    // First when they went, then what gateways say: the other way round something newer could be missed.
    const sequences = await this.#sequencesOf(draining.map(({ replica }) => replica.drain!.version))
    const reports = await gateways.living()
    const facts = draining.flatMap(({ deployment, replica }): readonly DeploymentFact[] => {
      const unroutedVersion = sequences.get(replica.drain!.version)
      if (unroutedVersion === undefined || !isDrained(replica, unroutedVersion, reports)) return []
      return [{ type: 'drained', deployment: deployment.id, replica: replica.id, drain: replica.drains }]
    })
    await log.note({ kind: 'system' }, facts)
  }

  /** Versions of the routing state are sequence numbers of events. */
  async #sequencesOf(versions: readonly number[]): Promise<ReadonlyMap<number, number>> {
    const unknown = versions.filter((version) => !this.#sequences.has(version))
    if (unknown.length > 0) {
      const rows = await this.parts.database.queries
        .select({ version: events.version, sequence: events.sequence })
        .from(events)
        .where(and(eq(events.stream, 'deployments'), inArray(events.version, unknown)))
      for (const { version, sequence } of rows) this.#sequences.set(version!, sequence)
    }
    for (const version of this.#sequences.keys()) {
      if (!versions.includes(version)) this.#sequences.delete(version)
    }
    return this.#sequences
  }
}

function drainingReplicas(
  deployments: readonly Deployment[],
): readonly { readonly deployment: Deployment; readonly replica: Replica }[] {
  return deployments.flatMap((deployment) =>
    deployment.replicas
      .filter(({ phase }) => phase === 'draining')
      .map((replica) => ({ deployment, replica })),
  )
}
