import type { RouteTarget } from '@deos/api'
import type { Clock } from '@deos/domain'
import type { RingStatus } from '@deos/protocol'
import type { RingLink } from '../inference/ring-backend.ts'
import type { SplitRing } from '../split/handover.ts'
import type { Candidate } from './replica-choice.ts'

export type RoutedReplica = RouteTarget['replicas'][number]

/** A connection to a ring, with all that was opened for it. */
export interface RingSession extends RingLink {
  /** For handing prompts over; `null` where nobody does, or not all stages can be reached. */
  readonly handover: SplitRing | null
  start(): void
  /** Ends its links; what is open on it fails. */
  stop(): Promise<void>
}

/** What a connection tells while it lives. */
export interface RingSessionHandlers {
  onNote(level: 'info' | 'warn', text: string): void
  onStatus(ready: boolean, status: RingStatus | null): void
}

/** Makes the connection to a replica whose addresses are known; it is started by its owner. */
export type OpenRing = (
  replica: RoutedReplica & { readonly leader: string; readonly tail: string },
  handlers: RingSessionHandlers,
) => RingSession

/** How much one token changes what is believed of a replica's speed. */
const LEARNING_RATE = 0.05
/** A failed replica is the last choice for so long. */
const TROUBLE_MS = 10_000

/** One generation of a replica as the gateway knows it. */
export class Replica implements Candidate {
  readonly #clock: Clock
  readonly #model: string
  #listing: RoutedReplica
  #listed = true
  #open = 0
  #observedMs: number | null = null
  #troubledUntilMs = Number.NEGATIVE_INFINITY

  /** @param session - `null` while nobody knows where the ring listens */
  constructor(
    readonly deploymentId: string,
    model: string,
    listing: RoutedReplica,
    readonly session: RingSession | null,
    clock: Clock,
  ) {
    this.#clock = clock
    this.#model = model
    this.#listing = listing
  }

  /** Of the replica; its generations share it. */
  get id(): RoutedReplica['replicaId'] {
    return this.#listing.replicaId
  }

  /** Where its stages are, in order. */
  get machines(): RoutedReplica['machines'] {
    return this.#listing.machines
  }

  get role(): RoutedReplica['role'] {
    return this.#listing.role
  }

  get generation(): number {
    return this.#listing.generation
  }

  /** Fingerprint of the model it is to hold. */
  get model(): string {
    return this.#model
  }

  /** Whether new requests may go to it. */
  get listed(): boolean {
    return this.#listed
  }

  /** Whether its ring takes requests, and holds the model it should. */
  get ready(): boolean {
    if (this.session?.ready !== true) return false
    const held = this.session.status?.reports[0]?.model
    return held === undefined || held === this.#model
  }

  /** Requests of this gateway that have no final answer yet. */
  get open(): number {
    return this.#open
  }

  /** Other gateways' requests count too, as far as the ring's leader has told. */
  get load(): number {
    const status = this.session?.status
    return status == null ? this.#open : Math.max(this.#open, status.active + status.queued)
  }

  get tokenMs(): number | null {
    return this.#observedMs ?? this.#listing.predictedTokenMs
  }

  get troubled(): boolean {
    return this.#clock.now() < this.#troubledUntilMs
  }

  relist(listing: RoutedReplica): void {
    this.#listing = listing
    this.#listed = true
  }

  unlist(): void {
    this.#listed = false
  }

  took(): void {
    this.#open += 1
  }

  released(): void {
    this.#open -= 1
  }

  observe(tokenMs: number): void {
    this.#observedMs =
      this.#observedMs === null ? tokenMs : this.#observedMs + LEARNING_RATE * (tokenMs - this.#observedMs)
  }

  failed(): void {
    this.#troubledUntilMs = this.#clock.now() + TROUBLE_MS
  }
}
