import { type IdSource, type Milliseconds, ms } from '@deos/domain'
import {
  decideFleet,
  type FleetCommand,
  type FleetContext,
  FleetError,
  type FleetEvent,
  type FleetState,
  foldFleet,
  type VersionPolicy,
} from '@deos/fleet'
import type { EventCause } from '../database/schema/index.ts'
import type { Also, EventSourced } from '../events/event-sourced.ts'

export interface FleetLogParts {
  readonly fleet: EventSourced<FleetState, FleetEvent>
  readonly now: () => Date
  readonly ids: IdSource
  readonly versions: VersionPolicy
}

/** Runs in the transaction that appends the events; `state` is the one after them. */
export type Beside = Also<FleetState, FleetEvent>

/** Commands to the fleet, and how it stands. */
export class FleetLog {
  readonly #parts: FleetLogParts

  constructor(parts: FleetLogParts) {
    this.#parts = parts
  }

  get state(): FleetState {
    return this.#parts.fleet.state
  }

  get version(): number {
    return this.#parts.fleet.version
  }

  get nowMs(): Milliseconds {
    return ms(this.#parts.now().getTime())
  }

  get context(): FleetContext {
    const { ids, versions } = this.#parts
    return { nowMs: this.nowMs, ids, versions }
  }

  refresh(): Promise<void> {
    return this.#parts.fleet.refresh()
  }

  onChange(listener: () => void): () => void {
    return this.#parts.fleet.onChange(listener)
  }

  /** @throws FleetError if it is refused */
  execute(cause: EventCause, command: FleetCommand, beside?: Beside): Promise<readonly FleetEvent[]> {
    return this.change(cause, (state) => this.decide(state, command), beside)
  }

  /** As {@link EventSourced.change}: decided on everything committed so far. */
  change(
    cause: EventCause,
    decide: (state: FleetState) => readonly FleetEvent[],
    beside?: Beside,
  ): Promise<readonly FleetEvent[]> {
    return this.#parts.fleet.change(cause, decide, beside)
  }

  /**
   * What the commands make happen one after another.
   *
   * @throws FleetError if one is refused
   */
  decide(state: FleetState, ...commands: readonly FleetCommand[]): readonly FleetEvent[] {
    const { context } = this
    const events: FleetEvent[] = []
    let after = state
    for (const command of commands) {
      const decision = decideFleet(after, command, context)
      if (decision instanceof FleetError) throw decision
      events.push(...decision)
      if (commands.length > 1) after = foldFleet(decision, after)
    }
    return events
  }
}
