import {
  bytes,
  bytesPerSecond,
  type MachineBenchmark,
  type MachineId,
  type MachineInventory,
  ms,
  organisationId,
} from '@deos/domain'
import { decideFleet } from '../decide-fleet.ts'
import { incarnationOf } from '../decide-join.ts'
import type { FleetCommand, JoinMachine } from '../fleet-commands.ts'
import { FleetError } from '../fleet-error.ts'
import type { FleetEvent } from '../fleet-events.ts'
import { emptyFleet, type FleetState, foldFleet } from '../fleet-state.ts'
import type { Machine } from '../machine.ts'
import type { VersionPolicy } from '../version-policy.ts'

/** A digest that is easy to tell apart: `digest(7)` is `000…07`. */
export const digest = (n: number): string => n.toString(16).padStart(64, '0')

export const acme = organisationId('acme')

export const inventory: MachineInventory = {
  hostname: 'box',
  platform: 'linux',
  architecture: 'x64',
  cpuModel: 'Some CPU',
  cpuCores: 8,
  memoryBytes: bytes(64e9),
  diskFreeBytes: bytes(1e12),
  devices: [
    { name: 'CPU', description: 'Some CPU', kind: 'cpu', memoryBytes: bytes(64e9) },
    { name: 'CUDA0', description: 'Some GPU', kind: 'gpu', memoryBytes: bytes(24e9) },
  ],
}

export const benchmark: MachineBenchmark = {
  devices: [
    {
      device: 'CPU',
      weightBytesPerSecond: bytesPerSecond(25e9),
      flopsPerSecond: { F16: 2e11, Q8_0: 3e11 },
      hostBytesPerSecond: null,
    },
    {
      device: 'CUDA0',
      weightBytesPerSecond: bytesPerSecond(900e9),
      flopsPerSecond: { F16: 8e13 },
      hostBytesPerSecond: bytesPerSecond(20e9),
    },
  ],
  diskReadBytesPerSecond: bytesPerSecond(2e9),
}

/** A fleet with one token for any number of machines, and a clock that goes a second further with each command. */
export class TestFleet {
  state: FleetState = emptyFleet
  readonly log: FleetEvent[] = []
  nowMs = 1_000_000
  versions: VersionPolicy = { version: '1.4.0', protocol: { min: 2, max: 3 }, olderMinors: 1 }
  readonly token = { id: 'join-token-1', secretDigest: digest(1) }
  #ids = 0

  constructor() {
    this.do({
      type: 'createJoinToken',
      organisation: acme,
      label: 'all',
      secretDigest: digest(1),
      expiresAtMs: ms(1e12),
      maxUses: null,
    })
  }

  decide(command: FleetCommand): readonly FleetEvent[] | FleetError {
    this.nowMs += 1_000
    const ids = { next: (prefix: string) => `${prefix}-${++this.#ids}` }
    return decideFleet(this.state, command, { nowMs: ms(this.nowMs), ids, versions: this.versions })
  }

  /** @throws FleetError if it is refused */
  do(command: FleetCommand): readonly FleetEvent[] {
    const decision = this.decide(command)
    if (decision instanceof FleetError) throw decision
    this.append(decision)
    return decision
  }

  append(events: readonly FleetEvent[]): void {
    this.state = foldFleet(events, this.state)
    this.log.push(...events)
  }

  /** @throws Error if it is not refused */
  refusal(command: FleetCommand): FleetError {
    const decision = this.decide(command)
    if (decision instanceof FleetError) return decision
    throw new Error(`${command.type} was not refused: ${JSON.stringify(decision)}`)
  }

  /** A join by a process of its own, of the key with the given number, that knows how things stand. */
  joinCommand(key: number, changes: Partial<JoinMachine> = {}): JoinMachine {
    const fingerprint = digest(key)
    return {
      type: 'join',
      fingerprint,
      process: `process-${this.nowMs}`,
      after: incarnationOf(this.state, fingerprint),
      token: this.token,
      name: `box-${key}`,
      location: { region: 'eu', provider: 'home' },
      software: { version: '1.4.0', protocol: { min: 3, max: 3 } },
      ...changes,
    }
  }

  join(key: number, changes: Partial<JoinMachine> = {}): Machine {
    this.do(this.joinCommand(key, changes))
    return this.machine(this.state.byFingerprint.get(digest(key))!)
  }

  machine(id: MachineId): Machine {
    return this.state.machines.get(id)!
  }

  reportInventory(id: MachineId, changed: Partial<MachineInventory> = {}): Machine {
    const { incarnation } = this.machine(id)
    this.do({ type: 'reportInventory', machine: id, incarnation, inventory: { ...inventory, ...changed } })
    return this.machine(id)
  }

  reportBenchmark(id: MachineId, changed: Partial<MachineBenchmark> = {}): Machine {
    const { incarnation } = this.machine(id)
    this.do({ type: 'reportBenchmark', machine: id, incarnation, benchmark: { ...benchmark, ...changed } })
    return this.machine(id)
  }

  /** A machine that has joined, reported and measured. */
  readyMachine(key: number): Machine {
    const { id } = this.join(key)
    this.reportInventory(id)
    return this.reportBenchmark(id)
  }

  /** As when its lease runs out. */
  lose(id: MachineId): Machine {
    this.nowMs += 1_000
    const { incarnation } = this.machine(id)
    const reason = 'No heartbeat for 20 s; its lease lasted 15 s'
    const atMs = ms(this.nowMs)
    this.append([{ type: 'machineWentOffline', atMs, machine: id, incarnation, cause: 'lease', reason }])
    return this.machine(id)
  }
}
