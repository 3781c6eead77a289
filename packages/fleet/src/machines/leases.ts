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
  /** What was promised with it. */
  readonly durationMs: Milliseconds
}

export interface LeasePolicy {
  /** At least; in a large fleet leases last longer. */
  readonly durationMs: Milliseconds
  /** After the start of a control plane nothing expires for so long, or for a lease, since it did not listen before. */
  readonly graceMs: Milliseconds
}

/** What a machine is told with every answer. */
export interface LeaseTerms {
  /** Until it is to be heard of again. */
  readonly heartbeatMs: Milliseconds
  readonly durationMs: Milliseconds
}

export interface HeartbeatPace extends LeaseTerms {
  /** What all machines together send at most, so that liveness costs the same however many there are. */
  readonly heartbeatsPerSecond: number
}

/** The terms for each of so many machines: longer ones where there are many, with the same number of heartbeats a lease. */
export function leaseTerms(
  { heartbeatMs, durationMs, heartbeatsPerSecond }: HeartbeatPace,
  machines: number,
): LeaseTerms {
  const stretch = Math.max(1, (machines * 1000) / (heartbeatsPerSecond * heartbeatMs))
  return {
    heartbeatMs: ms(Math.ceil(heartbeatMs * stretch)),
    durationMs: ms(Math.ceil(durationMs * stretch)),
  }
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
  /** When a connection that the machine keeps open broke, if that was after it was last heard of. */
  readonly #brokenAtMs = new Map<MachineId, Milliseconds>()

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

  /**
   * False, without any effect, if a later heartbeat of the machine was counted already.
   *
   * @param durationMs - what the machine is told
   */
  renew(
    { machine, incarnation, sequence }: SequencedHeartbeat,
    nowMs: Milliseconds,
    durationMs: Milliseconds = this.policy.durationMs,
  ): boolean {
    checkInteger('sequence', sequence, 0, Number.MAX_SAFE_INTEGER)
    return this.merge({ machine, incarnation, sequence, renewedAtMs: nowMs, durationMs })
  }

  /** The connection that a machine keeps open broke: unless it is heard of again, it has no more than the shortest lease. */
  suspect(machine: MachineId, nowMs: Milliseconds): void {
    this.#brokenAtMs.set(machine, nowMs)
  }

  isSuspected(machine: MachineId): boolean {
    return this.#brokenAtMs.has(machine)
  }

  /** Takes over a lease that was stored, or counted by another control plane, unless a later one is known. */
  merge(lease: Lease): boolean {
    const known = this.#leases.get(lease.machine)
    if (known !== undefined && !isLater(lease, known)) return false
    this.#leases.set(lease.machine, lease)
    this.#brokenAtMs.delete(lease.machine)
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
    const leaseMs = this.#durationMsOf(machine)
    const promisedMs = this.heardAtMs(machine) + leaseMs
    const brokenAtMs = this.#brokenAtMs.get(machine.id)
    const believedMs = brokenAtMs === undefined ? promisedMs : Math.min(promisedMs, brokenAtMs + durationMs)
    return ms(Math.max(believedMs, this.startedAtMs + Math.max(graceMs, leaseMs)))
  }

  list(): readonly Lease[] {
    return [...this.#leases.values()]
  }

  #durationMsOf({ id, incarnation }: Machine): Milliseconds {
    const lease = this.#leases.get(id)
    return lease?.incarnation === incarnation ? lease.durationMs : this.policy.durationMs
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
  durationMs?: Milliseconds,
): readonly FleetEvent[] | FleetError {
  const { machine, incarnation } = heartbeat
  return orRefusal(() => {
    const decision = decideFleet(state, { type: 'heartbeat', machine, incarnation }, context)
    if (decision instanceof FleetError) throw decision
    return leases.renew(heartbeat, context.nowMs, durationMs) ? decision : []
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
      reason: silenceOf(machine, leases, nowMs),
    }))
}

function silenceOf(machine: Machine, leases: Leases, nowMs: Milliseconds): string {
  const silentMs = nowMs - leases.heardAtMs(machine)
  return leases.isSuspected(machine.id)
    ? `Its connection broke, and no heartbeat came for ${seconds(silentMs)}`
    : `No heartbeat for ${seconds(silentMs)}; its lease lasted ${seconds(leases.expiresAtMs(machine) - leases.heardAtMs(machine))}`
}

const seconds = (durationMs: number): string => `${Number((durationMs / 1000).toFixed(1))} s`
