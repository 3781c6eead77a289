import type { LayerRange } from '@deos/domain'
import { SimulationInputError } from '../errors.ts'
import type { LayerTimes } from './layer-times.ts'

/** A machine with its stage of the model. */
export interface StageMachine {
  readonly name: string
  readonly layers: LayerRange
  readonly times: LayerTimes
  /** Tokens for which each of its layers has room in the KV cache. */
  readonly kvTokens: number
  readonly limits: BatchLimits
  /** ms to take one token's activations in and hand them to the device; 0 if it does not matter. */
  readonly inputMsPerToken: number
  /** What measured layer times leave out; nothing if not given. */
  readonly overheads?: PassOverheads
}

/** Work of the host around a pass, as a rule fitted to recorded latencies. */
export interface PassOverheads {
  /** For each pass. */
  readonly passMs: number
  /** For each decode step in a pass and each layer. */
  readonly stepLayerMs: number
}

export interface BatchLimits {
  readonly promptRequests: number
  readonly promptTokens: number
  readonly decodeRequests: number
  /** Tokens in the caches of all requests of a decode batch together. */
  readonly decodeContext: number
}

/** One direction of a link. Messages go one after the other; the next may start while one is on its way. */
export interface FleetLink {
  readonly from: number | 'source'
  readonly to: number | 'sink'
  readonly bytesPerMs: number
  readonly latencyMs: number
  /** Prompts that pass are computed, and leave the machines so far: their K and V go to where they are answered. */
  readonly handsOver?: HandOver
}

/** K and V leave layer by layer while a prompt is computed. */
export interface HandOver {
  /** Of the machine that sends the most. */
  readonly bytesPerToken: number
  /** Of the machine that takes the most. Default `bytesPerToken`. */
  readonly takenBytesPerToken?: number
  readonly layers: number
}

/** Machines that together serve one model, and how they are linked. Requests enter at the source, leave at the sink. */
export interface ServingFleet {
  readonly layers: number
  readonly machines: readonly StageMachine[]
  readonly links: readonly FleetLink[]
  /** Of one token between machines. */
  readonly activationBytes: number
  /** Of one token's id, from the source, to the sink, and beside activations. */
  readonly tokenBytes: number
  /** How machines batch what has arrived; `mixed` if not given. */
  readonly batching?: Batching
}

/**
 * `mixed`: prompts and decode steps in one pass, done together. `promptsFirst`: a pass over the prompts, which go on at
 * once, then one over the decode steps that waited when the prompts began (vLLM 0.4 as Helix's prototype drives it).
 * `chunked`: all decode steps that wait, and of prompts as many tokens as the pass's `promptTokens` leaves, first come
 * first served; weights are read once for both. A request is let in when its whole length has room.
 *
 * @see Agrawal et al. 2024 (arXiv:2403.02310) for chunks of prompts beside decode steps
 */
export type Batching = 'mixed' | 'promptsFirst' | 'chunked'

/** @throws SimulationInputError that names the field */
export function checkServingFleet(fleet: ServingFleet): void {
  const { machines, links, layers } = fleet
  const refuse = (field: string, given: unknown, wanted: string): never => {
    throw new SimulationInputError(field, given, wanted)
  }
  if (machines.length === 0) refuse('machines', 'empty', 'one at least')
  for (const [index, machine] of machines.entries()) {
    const { first, end } = machine.layers
    if (!(first >= 0 && end > first && end <= layers)) {
      refuse(`machines[${index}].layers`, `[${first}, ${end})`, `layers within [0, ${layers})`)
    }
    for (const [name, ms] of Object.entries(machine.overheads ?? {})) {
      if (!(ms >= 0)) refuse(`machines[${index}].overheads.${name}`, ms, 'a number from 0')
    }
    if (!(machine.kvTokens > 0)) refuse(`machines[${index}].kvTokens`, machine.kvTokens, 'a positive number')
    for (const [name, limit] of Object.entries(machine.limits)) {
      if (!(limit >= 1)) refuse(`machines[${index}].limits.${name}`, limit, 'a number from 1')
    }
  }
  for (const [index, link] of links.entries()) {
    const inFleet = (end: number | string) => typeof end === 'string' || machines[end] !== undefined
    if (!inFleet(link.from)) refuse(`links[${index}].from`, link.from, 'a machine of the fleet')
    if (!inFleet(link.to)) refuse(`links[${index}].to`, link.to, 'a machine of the fleet')
    if (!(link.bytesPerMs > 0)) refuse(`links[${index}].bytesPerMs`, link.bytesPerMs, 'a positive number')
    if (!(link.latencyMs >= 0)) refuse(`links[${index}].latencyMs`, link.latencyMs, 'a number from 0')
    if (link.handsOver === undefined) continue
    const { bytesPerToken, takenBytesPerToken = bytesPerToken, layers: parts } = link.handsOver
    const least = (name: string, value: number, from: number) => {
      if (!(value >= from)) refuse(`links[${index}].handsOver.${name}`, value, `a number from ${from}`)
    }
    least('bytesPerToken', bytesPerToken, 0)
    least('takenBytesPerToken', takenBytesPerToken, 0)
    least('layers', parts, 1)
  }
}
