import {
  bytes,
  type DeploymentId,
  type FleetSnapshot,
  type IdSource,
  type MachineId,
  type Milliseconds,
  type ModelFootprint,
  type ModelId,
  type OrganisationId,
  type Placer,
  type StageId,
  type Tokens,
} from '@deos/domain'
import { type AssignedStage, type Deployment, type DeploymentsState, promisedStages } from './deployment.ts'
import type { DeploymentEvent } from './deployment-events.ts'
import { evolveDeployments } from './evolve-deployments.ts'
import type { ReconcilerSettings } from './reconciler-settings.ts'

/** How a machine stands towards stages. */
export interface MachineStanding {
  readonly machine: MachineId
  /** Whose stages it takes. */
  readonly organisation: OrganisationId
  /**
   * - `open`: takes new stages
   * - `closed`: keeps what it has and takes nothing new
   * - `draining`: is to be left as soon as others have taken over
   * - `lost`: what it held is gone or cannot be reached
   */
  readonly standing: 'open' | 'closed' | 'draining' | 'lost'
  /** For people. */
  readonly reason: string
  /** Grows with each new process of the machine, which begins with nothing loaded. */
  readonly incarnation: number
}

export interface ReconcileInput {
  /** A machine that is missing is lost. */
  readonly machines: readonly MachineStanding[]
  /**
   * `freeBytes` of a candidate: all that stages of deployments may take there, those already placed included; what is
   * promised to them is subtracted here.
   */
  readonly fleet: FleetSnapshot
  readonly placer: Placer
  /** `null` while the sizes are not known, as before the model is registered. */
  readonly footprint: (model: ModelId, precision: string) => ModelFootprint | null
  /** The longest context that the model was made for; `null` while it is not known. */
  readonly contextTokens: (model: ModelId) => Tokens | null
  /** The control plane's clock, since the Unix epoch. */
  readonly nowMs: Milliseconds
  /** Names new replicas (`replica`) and stages (`stage`). */
  readonly ids: IdSource
}

interface Room {
  readonly fleet: FleetSnapshot
  key: string | null
}

const nothingFreed: ReadonlySet<StageId> = new Set()

/** One run of the reconciler: the state as it changes, and the events that changed it. */
export class Reconciliation {
  readonly events: DeploymentEvent[] = []
  readonly #machines: ReadonlyMap<MachineId, MachineStanding>
  #state: DeploymentsState
  #rooms: { readonly atEvent: number; readonly of: Map<OrganisationId, Room> } = { atEvent: 0, of: new Map() }

  constructor(
    state: DeploymentsState,
    readonly input: ReconcileInput,
    readonly settings: ReconcilerSettings,
  ) {
    this.#state = state
    this.#machines = new Map(input.machines.map((standing) => [standing.machine, standing]))
  }

  get state(): DeploymentsState {
    return this.#state
  }

  get nowMs(): Milliseconds {
    return this.input.nowMs
  }

  deployment(id: DeploymentId): Deployment {
    return this.#state.deployments.get(id)!
  }

  emit(event: DeploymentEvent): void {
    this.events.push(event)
    this.#state = evolveDeployments(this.#state, event)
  }

  machine(id: MachineId): MachineStanding | undefined {
    return this.#machines.get(id)
  }

  /** Why what was put on the machine is gone; `null` if it is not. */
  loss({ machine, incarnation }: AssignedStage): string | null {
    const standing = this.#machines.get(machine)
    if (!standing) return `${machine} is no longer a part of the fleet.`
    if (standing.standing === 'lost') return `${machine} was lost: ${standing.reason}`
    if (standing.incarnation > incarnation) return `${machine} started anew.`
    return null
  }

  isDraining({ machine }: AssignedStage): boolean {
    return this.#machines.get(machine)?.standing === 'draining'
  }

  /** What new stages of the organisation may be placed on; `freed` stages count as gone. */
  room(organisation: OrganisationId, freed: ReadonlySet<StageId> = nothingFreed): FleetSnapshot {
    return freed.size === 0 ? this.#currentRoom(organisation).fleet : this.#roomWithout(organisation, freed)
  }

  /** Differs if the room does, in what decides whether something fits. */
  roomKey(organisation: OrganisationId): string {
    const room = this.#currentRoom(organisation)
    room.key ??= keyOf(room.fleet)
    return room.key
  }

  #currentRoom(organisation: OrganisationId): Room {
    if (this.#rooms.atEvent !== this.events.length) {
      this.#rooms = { atEvent: this.events.length, of: new Map() }
    }
    const known = this.#rooms.of.get(organisation)
    if (known) return known
    const room: Room = { fleet: this.#roomWithout(organisation, nothingFreed), key: null }
    this.#rooms.of.set(organisation, room)
    return room
  }

  #roomWithout(organisation: OrganisationId, freed: ReadonlySet<StageId>): FleetSnapshot {
    const promised = new Map<string, number>()
    for (const stage of promisedStages(this.#state)) {
      if (freed.has(stage.id)) continue
      const key = deviceKey(stage)
      promised.set(key, (promised.get(key) ?? 0) + stage.weightBytes + stage.kvBytes)
    }
    const offered = ({ machine }: { readonly machine: MachineId }) => {
      const standing = this.#machines.get(machine)
      return standing?.standing === 'open' && standing.organisation === organisation
    }
    const candidates = this.input.fleet.candidates.filter(offered).map((candidate) => {
      const taken = promised.get(deviceKey(candidate)) ?? 0
      return { ...candidate, freeBytes: bytes(Math.max(0, candidate.freeBytes - taken)) }
    })
    return { candidates, links: this.input.fleet.links }
  }
}

const deviceKey = ({ machine, device }: { readonly machine: MachineId; readonly device: string }) =>
  `${machine}\n${device}`

function keyOf({ candidates }: FleetSnapshot): string {
  const lines = candidates.map(
    ({ machine, device, location, freeBytes, benchmark }) =>
      `${machine}\n${device}\n${location.region}\n${location.provider}\n${freeBytes}\n${benchmark.weightBytesPerSecond > 0}`,
  )
  return hash(lines.sort().join('\n\n'))
}

/** FNV-1a over UTF-16 units, twice with different starts: 64 bits. */
function hash(text: string): string {
  let a = 0x811c9dc5
  let b = 0x01234567
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index)
    a = Math.imul(a ^ unit, 0x01000193)
    b = Math.imul(b ^ unit, 0x01000193)
  }
  return [a, b].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('')
}
