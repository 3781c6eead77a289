import { type Milliseconds, ms, organisationId, type Random } from '@deos/domain'
import {
  decideFleet,
  emptyFleet,
  evolveFleet,
  expireLeases,
  type FleetCommand,
  type FleetContext,
  FleetError,
  type FleetEvent,
  type FleetState,
  foldFleet,
  incarnationOf,
  type Lease,
  Leases,
  type Machine,
  type MachineState,
  missingReport,
  receiveHeartbeat,
  restoreFleet,
  type SequencedHeartbeat,
  type StoredFleet,
  storeFleet,
  type VersionPolicy,
} from '@deos/fleet'

/** What a process is told: how its machine stands, or why it was refused. */
export type Answer =
  | { readonly refusal: FleetError }
  | { readonly incarnation: number }
  | {
      readonly machine: Machine
      readonly state: MachineState
      readonly missing: 'inventory' | 'benchmark' | null
    }

export const leasePolicy = { durationMs: ms(10_000), graceMs: ms(15_000) }
const versions: VersionPolicy = { version: '1.4.0', protocol: { min: 2, max: 3 }, olderMinors: 1 }

const json = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

/** What outlives a crash. */
interface Disk {
  readonly log: FleetEvent[]
  snapshot: StoredFleet
  /** `null` if leases are kept in memory only. */
  leases: readonly Lease[] | null
}

/** The shipped decisions and folds with a log, now and then a snapshot, and crashes that forget everything else. */
export class ControlPlane {
  readonly problems: string[] = []
  /** The state after each event of the log, as it was while the control plane ran. */
  readonly history: FleetState[] = []
  readonly #disk: Disk
  #state: FleetState = emptyFleet
  #leases: Leases
  #up = true
  #startedAtMs: number
  #ids = 0
  restarts = 0
  /** Length of the log when a process last asked how things stand. */
  readonly #askedAt = new Map<string, number>()
  /** Length of the log behind the latest join of a machine. */
  readonly #joinedAt = new Map<string, number>()
  /** The highest heartbeat of each incarnation since the start. */
  #heard = new Map<string, number>()

  constructor(
    private readonly now: () => Milliseconds,
    private readonly random: Random,
    private readonly note: (text: string) => void,
  ) {
    this.#disk = { log: [], snapshot: json(storeFleet(emptyFleet)), leases: null }
    this.#leases = new Leases(leasePolicy, now())
    this.#startedAtMs = now()
  }

  get up(): boolean {
    return this.#up
  }

  get state(): FleetState {
    return this.#state
  }

  get log(): readonly FleetEvent[] {
    return this.#disk.log
  }

  incarnationOf(fingerprint: string, process: string): Answer {
    this.#askedAt.set(process, this.log.length)
    return { incarnation: incarnationOf(this.#state, fingerprint) }
  }

  command(command: FleetCommand): readonly FleetEvent[] | FleetError {
    const decision = decideFleet(this.#state, command, this.#context)
    if (decision instanceof FleetError) return decision
    this.#append(decision)
    return decision
  }

  /** For commands of a process, which ends up as a machine. */
  serve(fingerprint: string, command: FleetCommand): Answer {
    const decision = this.command(command)
    return decision instanceof FleetError ? { refusal: decision } : this.#standing(fingerprint)
  }

  heartbeat(fingerprint: string, process: string, heartbeat: SequencedHeartbeat): Answer {
    const decision = receiveHeartbeat(this.#state, this.#leases, heartbeat, this.#context)
    if (decision instanceof FleetError) return { refusal: decision }
    this.#append(decision)
    const key = `${heartbeat.machine}/${heartbeat.incarnation}`
    const heard = this.#heard.get(key) ?? -1
    if (decision.length > 0 && heartbeat.sequence <= heard) {
      this.problems.push(`${heartbeat.machine} came back by heartbeat ${heartbeat.sequence} after ${heard}`)
    }
    this.#heard.set(key, Math.max(heard, heartbeat.sequence))
    const machine = this.#state.machines.get(heartbeat.machine)!
    if (machine.process !== process) {
      this.problems.push(`a heartbeat of ${process} counted for ${machine.id}, which is ${machine.process}`)
    }
    return this.#standing(fingerprint)
  }

  /** What a control plane does by itself from time to time. */
  tick(): void {
    if (!this.#up) return
    const expired = expireLeases(this.#state, this.#leases, this.now())
    if (expired.length > 0 && this.restarts > 0 && this.now() < this.#startedAtMs + leasePolicy.graceMs) {
      this.problems.push(`${expired.length} leases ran out within the grace of restart ${this.restarts}`)
    }
    this.#append(expired)
    if (this.random.next() < 0.1) this.#disk.snapshot = json(storeFleet(this.#state))
    if (this.random.next() < 0.1) this.#disk.leases = json(this.#leases.list())
    if (this.random.next() < 0.01) this.#disk.leases = null
  }

  crash(): void {
    this.#up = false
  }

  restart(): void {
    const before = JSON.stringify(storeFleet(this.#state))
    const snapshot = restoreFleet(json(this.#disk.snapshot))!
    this.#state = foldFleet(this.#disk.log.slice(snapshot.version), snapshot)
    if (JSON.stringify(storeFleet(this.#state)) !== before) {
      this.problems.push(`restart ${this.restarts} lost or made up something`)
    }
    this.#leases = new Leases(leasePolicy, this.now())
    for (const lease of this.#disk.leases ?? []) this.#leases.merge(lease)
    this.#startedAtMs = this.now()
    this.#heard = new Map()
    this.#up = true
    this.restarts += 1
  }

  #standing(fingerprint: string): Answer {
    const machine = this.#state.machines.get(this.#state.byFingerprint.get(fingerprint)!)!
    return { machine, state: machine.state, missing: missingReport(machine) }
  }

  #append(events: readonly FleetEvent[]): void {
    for (const event of events) {
      this.#disk.log.push(json(event))
      this.#state = evolveFleet(this.#state, event)
      this.history.push(this.#state)
      this.note(JSON.stringify(event))
      this.#checkFollows(event)
    }
  }

  /** Nobody is fenced by a process that knew nothing of it, and nobody returns from a goodbye. */
  #checkFollows(event: FleetEvent): void {
    if (event.type === 'machineJoined') {
      const { machine, process } = event
      if ((this.#askedAt.get(process) ?? 0) < (this.#joinedAt.get(machine) ?? 0)) {
        this.problems.push(`${process} became ${machine} by a join from before another's`)
      }
      this.#joinedAt.set(machine, this.log.length)
    }
    if (event.type === 'machineReturned') {
      const before = this.history.at(-2)!.machines.get(event.machine)!.presence
      if (before.online || !before.resumable) {
        this.problems.push(`${event.machine} returned, though "${before.reason}"`)
      }
    }
  }

  get #context(): FleetContext {
    return { nowMs: this.now(), versions, ids: { next: (prefix) => `${prefix}-${++this.#ids}` } }
  }
}

export const organisations = [organisationId('acme'), organisationId('umbrella')] as const
