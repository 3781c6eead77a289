import type { FleetState } from './fleet-state.ts'
import type { JoinToken } from './join-token.ts'
import type { Machine } from './machine.ts'

/** Raised whenever a stored fleet of before can no longer be read as it is. */
const FORMAT = 1

/** A fleet as plain JSON. It spares folding the events up to its version, nothing else depends on it. */
export interface StoredFleet {
  readonly format: number
  readonly version: number
  /** Sorted by id. */
  readonly tokens: readonly JoinToken[]
  /** Sorted by id. */
  readonly machines: readonly Machine[]
}

export function storeFleet(state: FleetState): StoredFleet {
  const { version, tokens, machines } = state
  return { format: FORMAT, version, tokens: sorted(tokens.values()), machines: sorted(machines.values()) }
}

/** `null` if it was stored in another format: then the events must be folded from the first. */
export function restoreFleet(stored: StoredFleet): FleetState | null {
  if (stored.format !== FORMAT) return null
  return {
    version: stored.version,
    tokens: new Map(stored.tokens.map((token) => [token.id, token])),
    machines: new Map(stored.machines.map((machine) => [machine.id, machine])),
    byFingerprint: new Map(stored.machines.map(({ fingerprint, id }) => [fingerprint, id])),
  }
}

const sorted = <T extends { readonly id: string }>(items: Iterable<T>): readonly T[] =>
  [...items].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
