import { DomainError, describeError, type MachineId, ms } from '@deos/domain'
import { type Deployment, type DeploymentFact, type Replica, requireRevision } from '@deos/fleet'
import type { Logger } from '@deos/service'
import { every, type Timers } from '@deos/transport'
import type { Claims } from '../cluster/claims.ts'
import type { DeployableFleet } from './deployable-fleet.ts'
import type { DeployedModels } from './deployed-models.ts'
import type { DeploymentLog } from './deployment-log.ts'
import type { RingAccess } from './ring-access.ts'
import type { RingActivity } from './ring-activity.ts'
import type { GenerateToken, RingTarget } from './ring-token.ts'

export interface RingProverParts {
  readonly log: DeploymentLog
  readonly fleet: DeployableFleet
  readonly models: DeployedModels
  readonly rings: RingAccess
  readonly activity: RingActivity
  readonly generateToken: GenerateToken
  readonly claims: Pick<Claims, 'tryRun'>
  readonly timers: Timers
  readonly logger: Logger
}

/** A machine behind a NAT cannot be a part of a ring: its neighbours and gateways dial. */
class OutOfReachError extends DomainError {
  readonly code = 'RING_MEMBER_OUT_OF_REACH'
  readonly retriable = false

  constructor(
    readonly machine: MachineId,
    name: string,
  ) {
    super(
      `${name} tells no address where its stage can be reached: it is behind a NAT.`,
      'Give it an address that the others reach, or let machines that have one hold the model.',
    )
  }
}

interface Ring {
  readonly deployment: Deployment
  readonly replica: Replica
}

const isAsked = ({ replica: { phase } }: Ring): boolean => phase === 'verifying' || phase === 'ready'

const lookMs = 500
const timeoutMs = 30_000
const mostAtOnce = 4

/**
 * Lets rings prove themselves with a real token: before they are published, and now and then while nobody uses them.
 * Of several control planes one does it for each ring.
 */
export class RingProver {
  readonly #busy = new Map<string, { readonly done: Promise<void>; readonly unwanted: AbortController }>()
  /** When a ring was asked for a token last while it is published, by its id. */
  readonly #probedAtMs = new Map<string, number>()
  readonly #stopping = new AbortController()
  #stopLooking: () => void = () => undefined
  #unsubscribe: () => void = () => undefined

  constructor(private readonly parts: RingProverParts) {}

  start(): void {
    const { log, timers } = this.parts
    this.#stopLooking = every(timers, lookMs, () => this.look())
    this.#unsubscribe = log.onChange(() => this.look())
  }

  async stop(): Promise<void> {
    this.#stopLooking()
    this.#unsubscribe()
    this.#stopping.abort()
    for (const { unwanted } of this.#busy.values()) unwanted.abort()
    await this.whenIdle()
  }

  /** Until every ring that was asked has answered or failed. */
  async whenIdle(): Promise<void> {
    await Promise.all([...this.#busy.values()].map(({ done }) => done))
  }

  look(): void {
    if (this.#stopping.signal.aborted) return
    const rings = [...this.parts.log.state.deployments.values()].flatMap((deployment) =>
      deployment.replicas.map((replica) => ({ deployment, replica })),
    )
    this.#forget(rings)
    for (const ring of rings)
      if (ring.replica.phase === 'verifying') this.#begin(ring, (unwanted) => this.#verify(ring, unwanted))
    // It looks at all rings.
    const { probeAfterMs } = this.parts.activity
    for (const ring of rings) {
      if (this.#isQuiet(ring, probeAfterMs)) this.#begin(ring, (unwanted) => this.#probe(ring, unwanted))
    }
  }

  #isQuiet({ replica }: Ring, probeAfterMs: number): boolean {
    if (replica.phase !== 'ready') return false
    const { activity, log, rings } = this.parts
    const probedAtMs = this.#probedAtMs.get(rings.idOf(replica)) ?? Number.NEGATIVE_INFINITY
    const lastMs = Math.max(activity.lastTokenAtMs(replica) ?? Number.NEGATIVE_INFINITY, probedAtMs)
    return log.nowMs - lastMs >= probeAfterMs
  }

  #begin({ replica }: Ring, work: (unwanted: AbortSignal) => Promise<void>): void {
    const ring = this.parts.rings.idOf(replica)
    if (this.#busy.has(ring) || this.#busy.size >= mostAtOnce) return
    const unwanted = new AbortController()
    const done = this.parts.claims
      .tryRun(`verify:${ring}`, () => work(unwanted.signal), { remembers: false })
      .then(
        () => undefined,
        (error: unknown) => {
          this.parts.logger.error({ err: error, ring }, 'A ring could not be asked for a token.')
        },
      )
      .then(() => {
        this.#busy.delete(ring)
      })
    this.#busy.set(ring, { done, unwanted })
  }

  async #verify({ deployment, replica }: Ring, unwanted: AbortSignal): Promise<void> {
    const { log } = this.parts
    const about = { deployment: deployment.id, replica: replica.id, generation: replica.generation }
    // Another control plane may have been done with it just before.
    await log.refresh()
    if (!this.#stillVerifying({ deployment, replica })) return
    const fact = await this.#prove(deployment, replica, unwanted).then(
      (firstTokenMs): DeploymentFact => ({ type: 'tokenVerified', ...about, firstTokenMs: ms(firstTokenMs) }),
      (error: unknown): DeploymentFact => ({
        type: 'verificationFailed',
        ...about,
        reason: describeError(error),
        ...(error instanceof OutOfReachError && { blamed: [error.machine] }),
      }),
    )
    if (unwanted.aborted && fact.type === 'verificationFailed') return
    await log.note({ kind: 'system' }, [fact])
  }

  #stillVerifying({ deployment, replica }: Ring): boolean {
    const now = this.parts.log.state.deployments.get(deployment.id)
    return (
      now?.replicas.some(
        ({ id, generation, phase }) =>
          id === replica.id && generation === replica.generation && phase === 'verifying',
      ) ?? false
    )
  }

  async #probe({ deployment, replica }: Ring, unwanted: AbortSignal): Promise<void> {
    const { log, rings, logger } = this.parts
    const ring = rings.idOf(replica)
    this.#probedAtMs.set(ring, log.nowMs)
    try {
      await this.#prove(deployment, replica, unwanted)
    } catch (error) {
      if (unwanted.aborted) return
      logger.warn(
        { ring, deployment: deployment.name },
        `A published ring gives no token: ${describeError(error)}`,
      )
    }
  }

  async #prove(deployment: Deployment, replica: Replica, unwanted: AbortSignal): Promise<number> {
    const { activity, generateToken } = this.parts
    const firstTokenMs = await generateToken(this.#target(deployment, replica), timeoutMs, unwanted)
    activity.tokenGenerated(replica)
    return firstTokenMs
  }

  #target(deployment: Deployment, replica: Replica): RingTarget {
    const { fleet, models, rings } = this.parts
    const hidden = replica.stages.find(({ linkAddress }) => linkAddress === null)
    if (hidden !== undefined) {
      const name = fleet.details(hidden.machine)?.name ?? hidden.machine
      throw new OutOfReachError(hidden.machine, name)
    }
    const { spec } = requireRevision(deployment, replica.revision)
    const { linkAddress: leader } = replica.stages[0]!
    const { linkAddress: tail } = replica.stages.at(-1)!
    return {
      ring: rings.idOf(replica),
      secret: rings.secretOf(replica),
      leader: leader!,
      tail: replica.stages.length === 1 ? null : tail,
      vocabulary: models.modelOf(spec.model)?.shape?.vocabulary ?? 1,
    }
  }

  #forget(rings: readonly Ring[]): void {
    const present = new Set<string>(rings.map(({ replica }) => this.parts.rings.idOf(replica)))
    for (const ring of this.#probedAtMs.keys()) if (!present.has(ring)) this.#probedAtMs.delete(ring)
    // Whoever still waits for a ring that was let go keeps others from being asked.
    const wanted = new Set<string>(rings.filter(isAsked).map(({ replica }) => this.parts.rings.idOf(replica)))
    for (const [ring, { unwanted }] of this.#busy) if (!wanted.has(ring)) unwanted.abort()
  }
}
