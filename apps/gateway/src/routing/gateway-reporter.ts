import type { ApiClient } from '@deos/api'
import { describeError } from '@deos/domain'
import type { Logger } from '@deos/service'
import type { Replica } from './replica.ts'
import type { RoutingFollower } from './routing-follower.ts'

export interface ReporterParts {
  readonly client: Pick<ApiClient['gateway'], 'report'>
  readonly logger: Logger
  readonly follower: Pick<RoutingFollower, 'state'>
  readonly replicas: () => Iterable<Replica>
  /** Requests being answered, and those among them that wait for a replica. */
  readonly load: () => { readonly active: number; readonly waiting: number }
  /** Where clients reach this gateway. */
  readonly url: () => string
}

const EVERY_MS = 1_000
const ANSWER_LIMIT_MS = 5_000
/** As many as a report may hold. */
const MAX_REPLICAS = 5_000

/** Tells the control plane every second what this gateway does, and learns how many gateways there are. */
export class GatewayReporter {
  readonly #id: string
  readonly #parts: ReporterParts
  readonly #stop = new AbortController()
  #gateways = 1
  #timer: NodeJS.Timeout | null = null
  #failing = false

  /** @param id - of this gateway, 8 to 64 letters, digits, `_` and `-` */
  constructor(id: string, parts: ReporterParts) {
    this.#id = id
    this.#parts = parts
  }

  /** Gateways that share limits, this one included; what was last heard. */
  get gateways(): number {
    return this.#gateways
  }

  start(): void {
    void this.#tick()
  }

  stop(): void {
    this.#stop.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  async #tick(): Promise<void> {
    await this.#report()
    if (this.#stop.signal.aborted) return
    this.#timer = setTimeout(() => void this.#tick(), EVERY_MS)
    this.#timer.unref()
  }

  async #report(): Promise<void> {
    const state = this.#parts.follower.state
    if (state === null) return
    try {
      const { active, waiting } = this.#parts.load()
      const { gateways } = await this.#parts.client.report({
        body: {
          gateway: this.#id,
          url: this.#parts.url(),
          routingVersion: state.version,
          activeRequests: Math.max(0, active - waiting),
          queuedRequests: Math.min(waiting, active),
          replicas: replicasOf(this.#parts.replicas()),
        },
        signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ANSWER_LIMIT_MS)]),
      })
      this.#gateways = gateways
      this.#failing = false
    } catch (error) {
      if (this.#stop.signal.aborted) return
      if (!this.#failing) this.#parts.logger.warn(`A report was not taken: ${describeError(error)}`)
      this.#failing = true
    }
  }
}

/** One row a generation, even while the connection to an older address of it still finishes what it began. */
function replicasOf(replicas: Iterable<Replica>) {
  const rows = new Map<string, { replica: Replica; open: number; ready: boolean }>()
  for (const replica of replicas) {
    const name = `${replica.id} ${replica.generation}`
    const row = rows.get(name)
    rows.set(name, {
      replica,
      open: (row?.open ?? 0) + replica.open,
      ready: row?.ready === true || (replica.listed && replica.ready),
    })
  }
  return [...rows.values()].slice(0, MAX_REPLICAS).map(({ replica, open, ready }) => ({
    replicaId: replica.id,
    generation: replica.generation,
    open,
    ready,
  }))
}
