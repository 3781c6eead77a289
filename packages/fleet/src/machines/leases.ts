import { type MachineId, type Milliseconds, ms } from '@deos/domain'
import { decideFleet } from './decide-fleet.ts'
import { checkInteger } from './field-checks.ts'
import type { FleetContext, Heartbeat } from './fleet-commands.ts'
import { FleetError, invalidField, orRefusal } from './fleet-error.ts'
import type { FleetEvent, MachineWentOffline } from './fleet-events.ts'
import type { FleetState } from './fleet-state.ts'
import type { Machine } from './machine.ts'

/** Until when a machine counts as present without being heard of again. Plain JSON. */
export interface Lease {
  readonly machine: MachineId
  readonly incarnation: number
  /** Of the latest heartbeat. */
  readonly sequence: number
  readonly renewedAtMs: Milliseconds
}

export interface LeasePolicy {
  readonly durationMs: Milliseconds
  /** After the start of a control plane nothing expires for so long, since it did not listen before. */
  readonly graceMs: Milliseconds
}

export interface SequencedHeartbeat extends Omit<Heartbeat, 'type'> {
  /** Counts the heartbeats of this incarnation upwards; one that arrives late or twice renews nothing. */
  readonly sequence: number
}

/**
 * Who was heard of when. Lies beside the log of events, since heartbeats are many and mean nothing once they are old;
 * losing all of it costs no more than a grace period.
 */
export class Leases {
  readonly #leases = new Map<MachineId, Lease>()

  /** @throws FleetError if a duration makes no sense */
  constructor(
    readonly policy: LeasePolicy,
    /** When this control plane began to listen, by the clock that later calls use. */
    readonly startedAtMs: Milliseconds,
  ) {
    const { durationMs, graceMs } = policy
    if (!(durationMs > 0 && Number.isFinite(durationMs))) {
      throw invalidField('durationMs', durationMs, 'positive and finite')
    }
    if (!(graceMs >= 0 && Number.isFinite(graceMs)))
      throw invalidField('graceMs', graceMs, '0 or more, and finite')
  }

  /** False, without any effect, if a later heartbeat of the machine was counted already. */
  renew({ machine, incarnation, sequence }: SequencedHeartbeat, nowMs: Milliseconds): boolean {
    checkInteger('sequence', sequence, 0, Number.MAX_SAFE_INTEGER)
    return this.merge({ machine, incarnation, sequence, renewedAtMs: nowMs })
  }

  /** Takes over a lease that was stored, or counted by another control plane, unless a later one is known. */
  merge(lease: Lease): boolean {
    const known = this.#leases.get(lease.machine)
    if (known !== undefined && !isLater(lease, known)) return false
    this.#leases.set(lease.machine, lease)
    return true
  }

  /** When the machine was last heard of: joining and coming back count. */
  heardAtMs({ id, incarnation, presence }: Machine): Milliseconds {
    const lease = this.#leases.get(id)
    const renewedAtMs = lease?.incarnation === incarnation ? lease.renewedAtMs : presence.atMs
    return ms(Math.max(renewedAtMs, presence.atMs))
  }

  expiresAtMs(machine: Machine): Milliseconds {
    const { durationMs, graceMs } = this.policy
    return ms(Math.max(this.heardAtMs(machine) + durationMs, this.startedAtMs + graceMs))
  }

  list(): readonly Lease[] {
    return [...this.#leases.values()]
  }
}

const isLater = (a: Lease, b: Lease): boolean =>
  a.incarnation > b.incarnation || (a.incarnation === b.incarnation && a.sequence > b.sequence)

/**
 * Renews the lease of whoever is entitled to one. Nearly always there are no events; if appending one fails because
 * somebody else was faster, the next heartbeat brings the machine back as well.
 */
export function receiveHeartbeat(
  state: FleetState,
  leases: Leases,
  heartbeat: SequencedHeartbeat,
  context: FleetContext,
): readonly FleetEvent[] | FleetError {
  const { machine, incarnation } = heartbeat
  return orRefusal(() => {
    const decision = decideFleet(state, { type: 'heartbeat', machine, incarnation }, context)
    if (decision instanceof FleetError) throw decision
    return leases.renew(heartbeat, context.nowMs) ? decision : []
  })
}

/** Machines that were not heard of for too long, by id. */
export function expireLeases(
  state: FleetState,
  leases: Leases,
  nowMs: Milliseconds,
): readonly MachineWentOffline[] {
  return [...state.machines.values()]
    .filter((machine) => machine.presence.online && nowMs >= leases.expiresAtMs(machine))
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map((machine) => ({
      type: 'machineWentOffline',
      atMs: nowMs,
      machine: machine.id,
      incarnation: machine.incarnation,
      cause: 'lease',
      reason: `No heartbeat for ${seconds(nowMs - leases.heardAtMs(machine))}; a lease lasts ${seconds(leases.policy.durationMs)}`,
    }))
}

const seconds = (durationMs: number): string => `${Number((durationMs / 1000).toFixed(1))} s`
