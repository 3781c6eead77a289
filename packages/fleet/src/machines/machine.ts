import type {
  MachineBenchmark,
  MachineId,
  MachineInventory,
  MachineLocation,
  Milliseconds,
  OrganisationId,
} from '@deos/domain'
import type { MachineSoftware } from './version-policy.ts'

/** Something that was decided about a machine, why and when. */
export interface Note {
  readonly reason: string
  readonly atMs: Milliseconds
}

/**
 * - `joining`: this process has not said what the machine consists of
 * - `benchmarking`: it is to measure that
 * - `ready`: may hold stages, unless cordoned
 * - `draining`: keeps its stages until others have taken over, gets no new ones
 * - `quarantined`: present but not to be trusted with stages
 * - `offline`: does not answer, or said goodbye
 * - `removed`: forgotten by an operator; only its key and id are remembered
 */
export type MachineState =
  | 'joining'
  | 'benchmarking'
  | 'ready'
  | 'draining'
  | 'quarantined'
  | 'offline'
  | 'removed'

export type QuarantineCause = 'operator' | 'benchmark' | 'version'

export interface Quarantine extends Note {
  readonly cause: QuarantineCause
}

export interface Presence extends Note {
  readonly online: boolean
  /** Whether this process may come back by a heartbeat; after a goodbye only a join brings the machine back. */
  readonly resumable: boolean
}

/** Everything that is true of a machine at once. Its state is what follows from that. */
export interface MachineFacts {
  readonly id: MachineId
  readonly organisation: OrganisationId
  /** SHA-256 of the public key: the machine's identity. */
  readonly fingerprint: string
  readonly name: string
  readonly location: MachineLocation
  readonly software: MachineSoftware
  /** Agreed between machine and control plane; `null` if there is none that both speak. */
  readonly protocol: number | null
  /** Counts the processes that were this machine, from 1. Only the latest is listened to. */
  readonly incarnation: number
  /** What the latest process calls itself: random, new with each start. */
  readonly process: string
  readonly firstJoinedAtMs: Milliseconds
  readonly presence: Presence
  readonly inventory: MachineInventory | null
  /** Whose inventory that is; the present process may not have sent its own yet. */
  readonly inventoryIncarnation: number
  readonly benchmark: MachineBenchmark | null
  readonly benchmarkedAtMs: Milliseconds | null
  /** Gets no new stages. */
  readonly cordon: Note | null
  /** Loses its stages, too; always cordoned meanwhile. */
  readonly drain: Note | null
  /** One for each cause at most. */
  readonly quarantines: readonly Quarantine[]
  readonly removal: Note | null
}

export interface Machine extends MachineFacts {
  readonly state: MachineState
  /** For people: why it is in this state. */
  readonly reason: string
  readonly stateSinceMs: Milliseconds
}

/** What follows from the facts. */
export function machineState(facts: MachineFacts): MachineState {
  if (facts.removal !== null) return 'removed'
  if (!facts.presence.online) return 'offline'
  if (facts.quarantines.length > 0) return 'quarantined'
  if (facts.inventoryIncarnation !== facts.incarnation) return 'joining'
  if (facts.benchmark === null) return 'benchmarking'
  return facts.drain === null ? 'ready' : 'draining'
}

/** A sentence or more for people; what lies behind an absence is told with it. */
export function stateReason(facts: MachineFacts): string {
  const quarantines = facts.quarantines.map(({ reason }) => sentence(reason)).join(' ')
  const cordon = facts.cordon === null ? '' : `Cordoned: ${sentence(facts.cordon.reason)}`
  switch (machineState(facts)) {
    case 'removed':
      return `Removed: ${sentence(facts.removal!.reason)}`
    case 'offline':
      return joined(
        sentence(facts.presence.reason),
        quarantines && `Also quarantined: ${quarantines}`,
        cordon,
      )
    case 'quarantined':
      return joined(quarantines, cordon)
    case 'joining':
      return joined('It has joined and is to say what it consists of.', cordon)
    case 'benchmarking':
      return joined('It is to measure its devices.', cordon)
    case 'draining':
      return `Draining: ${sentence(facts.drain!.reason)}`
    case 'ready':
      return facts.cordon === null ? 'Measured and free to hold stages.' : cordon
  }
}

/** What the present process still owes, if anything; it may be told so with every answer to a heartbeat. */
export function missingReport(machine: MachineFacts): 'inventory' | 'benchmark' | null {
  if (machine.removal !== null || !machine.presence.online || machine.protocol === null) return null
  if (machine.inventoryIncarnation !== machine.incarnation) return 'inventory'
  const refused = machine.quarantines.some(({ cause }) => cause === 'benchmark')
  return machine.benchmark === null && !refused ? 'benchmark' : null
}

/** Ends with exactly one mark. */
export const sentence = (text: string): string => (/[.!?…]$/.test(text) ? text : `${text}.`)

const joined = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(' ')
