import type { RouteTarget } from '@deos/api'
import type { Clock } from '@deos/domain'
import type { Logger } from '@deos/service'
import { type OpenRing, Replica, type RoutedReplica } from './replica.ts'
import { RingNotes } from './ring-notes.ts'

export interface ReplicaPoolParts {
  readonly openRing: OpenRing
  readonly clock: Clock
  readonly logger: Logger
}

/**
 * What tells one connection from another: a ring that listens elsewhere, or begins to take prompts over, is dialled
 * anew.
 */
const nameOf = ({ ring, leader, tail, ringSecret, role, stages }: RoutedReplica): string =>
  [ring, leader, tail, ringSecret, ...(role === 'both' ? [] : stages)].join(' ')

const none: readonly Replica[] = []

/** Connections to every replica that is routed to, and to those that still finish what they began. */
export class ReplicaPool {
  readonly #parts: ReplicaPoolParts
  readonly #byName = new Map<string, Replica>()
  #listed: ReadonlyMap<string, readonly Replica[]> = new Map()
  readonly #waiters = new Set<() => void>()
  readonly #closing = new Set<Promise<void>>()

  constructor(parts: ReplicaPoolParts) {
    this.#parts = parts
  }

  /** Connected replicas, those included that are no longer routed to. */
  get all(): Iterable<Replica> {
    return this.#byName.values()
  }

  /** Those that a deployment's new requests may go to, ready or not. */
  of(deploymentId: string): readonly Replica[] {
    return this.#listed.get(deploymentId) ?? none
  }

  /** Requests that wait for a change. */
  get waiting(): number {
    return this.#waiters.size
  }

  /** Opens what is new and lets go of what is gone. */
  sync(targets: readonly RouteTarget[]): void {
    const listed = new Map<string, readonly Replica[]>()
    for (const { deploymentId, model, replicas } of targets) {
      listed.set(
        deploymentId,
        replicas.map((listing) => this.#take(deploymentId, model.fingerprint, listing)),
      )
    }
    const kept = new Set([...listed.values()].flat())
    this.#listed = listed
    for (const replica of this.#byName.values()) {
      if (!kept.has(replica)) {
        replica.unlist()
        this.#closeIfIdle(replica)
      }
    }
    this.#tell()
  }

  /** An answer of a replica ended, or went elsewhere. */
  released(replica: Replica): void {
    replica.released()
    this.#closeIfIdle(replica)
  }

  /** Resolves at the next change of any replica, after a time at the latest, or when `signal` aborts. */
  async changed(limitMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#waiters.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, limitMs)
      this.#waiters.add(done)
      signal.addEventListener('abort', done)
    })
  }

  async stop(): Promise<void> {
    this.#listed = new Map()
    for (const replica of this.#byName.values()) this.#close(replica)
    await Promise.all(this.#closing)
  }

  #take(deploymentId: string, model: string, listing: RoutedReplica): Replica {
    const name = nameOf(listing)
    const known = this.#byName.get(name)
    if (known !== undefined) {
      known.relist(listing)
      return known
    }
    const replica = new Replica(deploymentId, model, listing, this.#open(listing), this.#parts.clock)
    this.#byName.set(name, replica)
    replica.session?.start()
    return replica
  }

  #open(listing: RoutedReplica) {
    const { leader, tail, ring } = listing
    if (leader === null || tail === null) return null
    const notes = new RingNotes(this.#parts.logger.child({ ring }))
    return this.#parts.openRing(
      { ...listing, leader, tail },
      {
        onNote: (level, text) => notes.note(level, text),
        onStatus: (ready, status) => {
          if (notes.status(ready, status?.epoch ?? null)) this.#tell()
        },
      },
    )
  }

  #closeIfIdle(replica: Replica): void {
    if (!replica.listed && replica.open === 0) this.#close(replica)
  }

  #close(replica: Replica): void {
    for (const [name, each] of this.#byName) if (each === replica) this.#byName.delete(name)
    const closing = (replica.session?.stop() ?? Promise.resolve())
      .catch((error: unknown) => this.#parts.logger.warn({ err: error }, 'A connection did not end well.'))
      .finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }

  #tell(): void {
    for (const wake of [...this.#waiters]) wake()
  }
}
