import { chooseKvType } from '@deos/engine/kv-type'
import type { ModelDescription } from '@deos/engine/weights'
import type { WorkerProfile } from '../ring/worker-profiles.ts'

/** What a machine of this computer plays. */
export interface MachinePlan {
  readonly name: string
  /** Share of the computer's speed that it uses. */
  readonly speed: number
  /** What it says to have, the system's share included. */
  readonly memoryBytes: number
  /** Where it stands in an emulated network; null is this computer as it is. */
  readonly place: MachinePlace | null
}

/** A site of an emulated network. */
export interface MachinePlace {
  readonly site: string
  readonly region: string
  readonly provider: string
  /** Address to listen on. */
  readonly host: string
  /** Through which other machines are dialled. */
  readonly proxy: string
}

/** Machines at the sites of a network, one after another and over again; names tell where. */
export const placeMachines = (
  machines: readonly MachinePlan[],
  places: readonly MachinePlace[],
): readonly MachinePlan[] =>
  places.length === 0
    ? machines
    : machines.map((machine, index) => {
        const place = places[index % places.length]!
        return { ...machine, name: `${place.site}-${machine.name}`, place }
      })

export interface PlannedFleet {
  readonly machines: readonly MachinePlan[]
  readonly contextTokens: number
  readonly sessions: number
}

/** Memory of all machines together, as a multiple of what one replica takes: one of four may go, and it still fits. */
const ROOM = 1.7
/** Of a machine's memory the control plane gives this much to stages at most. */
const USABLE_SHARE = 0.6
/** What a small model and its graphs take beside weights and KV. */
const LEAST_BYTES = 8 * 2 ** 20
const LONGEST_CONTEXT = 8192

/**
 * Machines that together hold a model with room to spare, none of them all of it, so that one computer shows what a
 * fleet does.
 */
export function planMachines(
  description: ModelDescription,
  profiles: readonly WorkerProfile[],
  request: { readonly contextTokens: number | null; readonly sessions: number },
): PlannedFleet {
  const { config } = description
  const contextTokens = Math.min(request.contextTokens ?? LONGEST_CONTEXT, config.contextLength)
  const parts = [...description.layers, description.embedding, description.head]
  const weightBytes = parts.reduce((sum, { storedBytes, bytes }) => sum + (storedBytes ?? bytes.F16), 0)
  const { f16, f32 } = description.kvBytesPerToken
  const perToken = chooseKvType('auto', config.headDim) === 'F16' ? f16 : f32
  const kvBytes = perToken * contextTokens * request.sessions
  const total = Math.max(LEAST_BYTES, weightBytes + kvBytes) * ROOM
  const memory = profiles.reduce((sum, profile) => sum + profile.memory, 0)
  return {
    contextTokens,
    sessions: request.sessions,
    machines: profiles.map((profile, index) => ({
      name:
        profiles.filter(({ name }) => name === profile.name).length > 1
          ? `${profile.name}-${index + 1}`
          : profile.name,
      speed: profile.speed,
      memoryBytes: Math.ceil((total * profile.memory) / memory / USABLE_SHARE),
      place: null,
    })),
  }
}
