import type { MachineId, Milliseconds } from '@deos/domain'
import type { FleetEvent, JoinTokenCreated, MachineEvent, MachineJoined } from './fleet-events.ts'
import type { JoinToken } from './join-token.ts'
import { type Machine, type MachineFacts, machineState, type Quarantine, stateReason } from './machine.ts'

/** All machines and join tokens: what the events so far amount to. */
export interface FleetState {
  /** Events folded in; the next one appended to the log gets this number, counted from 0. */
  readonly version: number
  readonly tokens: ReadonlyMap<string, JoinToken>
  /** Removed ones are kept, see {@link listMachines} for the others. */
  readonly machines: ReadonlyMap<MachineId, Machine>
  /** By the fingerprint of the key; each key is one machine. */
  readonly byFingerprint: ReadonlyMap<string, MachineId>
}

export const emptyFleet: FleetState = {
  version: 0,
  tokens: new Map(),
  machines: new Map(),
  byFingerprint: new Map(),
}

/**
 * The state after one more event. Leaves the given state as it is.
 *
 * @throws Error if the event cannot follow on this state: the log has a gap or is in disorder
 */
export const evolveFleet = (state: FleetState, event: FleetEvent): FleetState => foldFleet([event], state)

/** As {@link evolveFleet} one after another, but without a copy for each. */
export function foldFleet(events: Iterable<FleetEvent>, from: FleetState = emptyFleet): FleetState {
  const draft: Draft = {
    version: from.version,
    tokens: new Map(from.tokens),
    machines: new Map(from.machines),
    byFingerprint: new Map(from.byFingerprint),
  }
  for (const event of events) {
    apply(draft, event)
    draft.version += 1
  }
  return draft
}

interface Draft {
  version: number
  readonly tokens: Map<string, JoinToken>
  readonly machines: Map<MachineId, Machine>
  readonly byFingerprint: Map<string, MachineId>
}

function apply(draft: Draft, event: FleetEvent): void {
  switch (event.type) {
    case 'joinTokenCreated':
      draft.tokens.set(event.token, createdToken(event))
      return
    case 'joinTokenRevoked': {
      const { reason, atMs } = event
      draft.tokens.set(event.token, { ...tokenOf(draft, event.token), revoked: { reason, atMs } })
      return
    }
    case 'machineJoined':
      if (event.token !== null) useToken(draft, event.token)
      draft.byFingerprint.set(event.fingerprint, event.machine)
      settle(draft, joinedMachine(draft.machines.get(event.machine), event), event.atMs)
      return
    default: {
      const machine = draft.machines.get(event.machine)
      if (machine === undefined) {
        throw new Error(
          `Event ${draft.version} (${event.type}) is about ${event.machine}, which never joined.`,
        )
      }
      settle(draft, changedMachine(machine, event), event.atMs)
    }
  }
}

function createdToken(event: JoinTokenCreated): JoinToken {
  const { token, organisation, label, secretDigest, atMs, expiresAtMs, maxUses } = event
  return {
    id: token,
    organisation,
    label,
    secretDigest,
    createdAtMs: atMs,
    expiresAtMs,
    maxUses,
    uses: 0,
    revoked: null,
  }
}

function tokenOf(draft: Draft, id: string): JoinToken {
  const token = draft.tokens.get(id)
  if (token === undefined)
    throw new Error(`Event ${draft.version} is about join token ${id}, which was never made.`)
  return token
}

function useToken(draft: Draft, id: string): void {
  const token = tokenOf(draft, id)
  draft.tokens.set(id, { ...token, uses: token.uses + 1 })
}

function joinedMachine(before: Machine | undefined, event: MachineJoined): MachineFacts {
  if (event.incarnation !== (before?.incarnation ?? 0) + 1) {
    throw new Error(
      `${event.machine} joined as incarnation ${event.incarnation} after ${before?.incarnation ?? 0}.`,
    )
  }
  const { organisation, fingerprint, name, location, software, protocol, incarnation, process, atMs } = event
  const comesBack = before !== undefined && before.removal === null
  return {
    id: event.machine,
    organisation,
    fingerprint,
    name,
    location,
    software,
    protocol,
    incarnation,
    process,
    firstJoinedAtMs: before?.firstJoinedAtMs ?? atMs,
    presence: { online: true, resumable: true, reason: 'It has joined', atMs },
    inventory: before?.inventory ?? null,
    inventoryIncarnation: before?.inventoryIncarnation ?? 0,
    benchmark: before?.benchmark ?? null,
    benchmarkedAtMs: before?.benchmarkedAtMs ?? null,
    // A removal ends what was planned with the machine, but not the mistrust.
    cordon: comesBack ? before.cordon : null,
    drain: comesBack ? before.drain : null,
    quarantines: before?.quarantines ?? [],
    removal: null,
  }
}

function changedMachine(machine: Machine, event: Exclude<MachineEvent, MachineJoined>): MachineFacts {
  const { atMs } = event
  switch (event.type) {
    case 'inventoryReported': {
      const { inventory, incarnation: inventoryIncarnation } = event
      const kept = event.hardwareChanged ? { benchmark: null, benchmarkedAtMs: null } : {}
      return { ...machine, ...kept, inventory, inventoryIncarnation }
    }
    case 'benchmarkReported':
      return { ...machine, benchmark: event.benchmark, benchmarkedAtMs: atMs }
    case 'machineQuarantined': {
      const { cause, reason } = event
      const quarantines = [...without(machine.quarantines, [cause]), { cause, reason, atMs }]
      // What was measured before is no better than what was just found implausible.
      const kept = cause === 'benchmark' ? { benchmark: null, benchmarkedAtMs: null } : {}
      return { ...machine, ...kept, quarantines }
    }
    case 'quarantineReleased':
      return { ...machine, quarantines: without(machine.quarantines, event.causes) }
    case 'machineCordoned':
      return { ...machine, cordon: { reason: event.reason, atMs } }
    case 'machineUncordoned':
      return { ...machine, cordon: null, drain: null }
    case 'drainStarted': {
      const note = { reason: event.reason, atMs }
      return { ...machine, cordon: note, drain: note }
    }
    case 'machineDrained':
      return { ...machine, drain: null, cordon: { reason: `Drained (${machine.drain!.reason})`, atMs } }
    case 'machineWentOffline': {
      const presence = { online: false, resumable: event.cause === 'lease', reason: event.reason, atMs }
      return { ...machine, presence }
    }
    case 'machineReturned':
      return { ...machine, presence: { online: true, resumable: true, reason: 'It is heard of again', atMs } }
    case 'machineRemoved': {
      const presence = { online: false, resumable: false, reason: 'It was removed', atMs }
      return { ...machine, presence, removal: { reason: event.reason, atMs } }
    }
  }
}

const without = (quarantines: readonly Quarantine[], causes: readonly string[]): readonly Quarantine[] =>
  quarantines.filter(({ cause }) => !causes.includes(cause))

/** Keeps what follows from the facts beside them. */
function settle(draft: Draft, facts: MachineFacts, atMs: Milliseconds): void {
  const before = draft.machines.get(facts.id)
  const state = machineState(facts)
  const stateSinceMs = before?.state === state ? before.stateSinceMs : atMs
  draft.machines.set(facts.id, { ...facts, state, reason: stateReason(facts), stateSinceMs })
}
