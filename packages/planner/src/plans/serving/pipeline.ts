import type { LayerRange } from '@deos/domain'
import type { LinkLookup } from '../fleet.ts'
import type { UnitCosts } from './unit-costs.ts'
import { machineOf, type Unit } from './units.ts'
import type { ServingWorkload } from './workload.ts'

/** What a pipeline is for. */
export type Role = 'together' | 'prefill' | 'decode'

export interface PipelineStage {
  readonly unit: Unit
  readonly costs: UnitCosts
  readonly layers: LayerRange
}

/** A pipeline under a load. */
export interface PipelineState {
  readonly requestsPerS: number
  /** Sequences in a step of a stage. */
  readonly batch: number
  /** Sequences being answered at once. */
  readonly sequences: number
  readonly ttftMs: number
  readonly tpotMs: number
  /** Of each stage: share of its time in which it computes. */
  readonly busy: readonly number[]
  /** The busiest stage, or the link behind it. */
  readonly bottleneck: { readonly stage: number; readonly part: 'compute' | 'link' }
}

const activationBytesPerElement = 2
/** Of its time, what the busiest part may be planned to work; queues grow without end near all of it. */
export const mostBusy = 0.9

/** Stages in order, with what a request takes of each. */
export class ServingPipeline {
  /** ms of a prompt on each stage, and on the link behind it; the last link leads back to the first stage. */
  readonly prefillMs: readonly number[]
  readonly hopDelayMs: readonly number[]
  readonly hopMsPerToken: readonly number[]
  /** Sequences whose K and V fit where they fit worst. */
  readonly room: number
  readonly pricePerHour: number
  readonly #decodeMs: readonly (readonly number[])[]

  constructor(
    readonly stages: readonly PipelineStage[],
    readonly workload: ServingWorkload,
    links: LinkLookup,
  ) {
    const hiddenSize = stages[0]!.costs.shape.hiddenSize
    this.prefillMs = stages.map(({ costs, layers }) => costs.prefillMs(layers))
    const hops = stages.map(({ unit }, at) =>
      links.between(machineOf(unit), machineOf((stages[at + 1] ?? stages[0]!).unit)),
    )
    const alone = stages.length === 1
    this.hopDelayMs = hops.map(({ delayMs }) => (alone ? 0 : delayMs))
    this.hopMsPerToken = hops.map(({ bytesPerS }, at) =>
      at === stages.length - 1 ? 0 : (hiddenSize * activationBytesPerElement * 1000) / bytesPerS,
    )
    this.room = Math.min(...stages.map(({ costs, layers }) => costs.sequencesIn(layers)))
    this.pricePerHour = stages.reduce((sum, { unit }) => sum + unit.pricePerHour, 0)
    const { batches } = stages[0]!.costs
    this.#decodeMs = batches.map((batch) => stages.map(({ costs, layers }) => costs.decodeMs(layers, batch)))
  }

  get batches(): readonly number[] {
    return this.stages[0]!.costs.batches
  }

  /** What one stage takes for a step of a batch. */
  decodeMs(stage: number, batch: number): number {
    const { costs, layers } = this.stages[stage]!
    return costs.decodeMs(layers, batch)
  }

  /**
   * The pipeline at a rate, with the smallest batch that keeps up; `null` if none does, or a target is missed.
   *
   * Every request takes of each stage its prompt's time and, for each token, its share of a step. Prompts delay steps by
   * the share of time they take; a new prompt waits for half a step everywhere and for prompts before it (M/D/1).
   */
  at(requestsPerS: number, role: Role): PipelineState | null {
    const { workload, prefillMs, hopMsPerToken, hopDelayMs } = this
    const perMs = requestsPerS / 1000
    const prompt = role === 'decode' ? 0 : workload.promptTokens.mean
    const output = role === 'prefill' ? 0 : workload.outputTokens.mean
    const at = this.#smallestBatch(perMs, prompt > 0, output)
    if (at === null) return null
    const batch = this.batches[at]!
    const decode = this.#decodeMs[at]!
    let ringMs = 0
    let ttftMs = 0
    let worstQueueMs = 0
    const busy: number[] = []
    let bottleneck: PipelineState['bottleneck'] = { stage: 0, part: 'compute' }
    let most = -1
    for (const [stage, stepMs] of decode.entries()) {
      const promptMs = prompt > 0 ? prefillMs[stage]! : 0
      const share = perMs * promptMs
      const work = perMs * (promptMs + (output * stepMs) / batch)
      const sending = perMs * (prompt + output) * hopMsPerToken[stage]!
      if (output > 0) ringMs += stepMs / (1 - share) + hopDelayMs[stage]! + batch * hopMsPerToken[stage]!
      const waitMs = output > 0 ? (Math.min(1, work) * stepMs) / 2 : 0
      ttftMs += promptMs + waitMs + hopDelayMs[stage]! + prompt * hopMsPerToken[stage]!
      worstQueueMs = Math.max(worstQueueMs, (share / (2 * (1 - share))) * promptMs)
      busy.push(work)
      if (work > most) {
        most = work
        bottleneck = { stage, part: 'compute' }
      }
      if (sending > most) {
        most = sending
        bottleneck = { stage, part: 'link' }
      }
    }
    ttftMs += worstQueueMs
    const sequences = perMs * output * ringMs
    if (role !== 'prefill' && sequences > this.room) return null
    if (role !== 'decode' && workload.ttftMs !== null && ttftMs > workload.ttftMs) return null
    if (role !== 'prefill' && workload.tpotMs !== null && ringMs > workload.tpotMs) return null
    return { requestsPerS, batch, sequences, ttftMs, tpotMs: ringMs, busy, bottleneck }
  }

  /** The highest rate it bears; `null` if not even a lone request meets the targets. */
  most(role: Role): PipelineState | null {
    if (this.room < 1) return null
    let low = 1e-6
    let best = this.at(low, role)
    if (best === null) return null
    let high = this.#ceilingPerS(role)
    for (let round = 0; round < 24 && high - low > low * 1e-3; round += 1) {
      const middle = (low + high) / 2
      const state = this.at(middle, role)
      if (state === null) high = middle
      else {
        low = middle
        best = state
      }
    }
    return best
  }

  #smallestBatch(perMs: number, prompts: boolean, output: number): number | null {
    const { prefillMs, hopMsPerToken, workload } = this
    const tokens = (prompts ? workload.promptTokens.mean : 0) + output
    for (const each of hopMsPerToken) if (perMs * tokens * each > mostBusy) return null
    const { batches } = this
    const last = output === 0 ? 1 : batches.length
    for (let at = 0; at < last; at += 1) {
      const decode = this.#decodeMs[at]!
      let fits = true
      for (let stage = 0; stage < decode.length && fits; stage += 1) {
        const work = (prompts ? prefillMs[stage]! : 0) + (output * decode[stage]!) / batches[at]!
        fits = perMs * work <= mostBusy
      }
      if (fits) return at
    }
    return null
  }

  #ceilingPerS(role: Role): number {
    const output = role === 'prefill' ? 0 : this.workload.outputTokens.mean
    const last = this.batches.length - 1
    const works = this.stages.map(
      (_, stage) =>
        (role === 'decode' ? 0 : this.prefillMs[stage]!) +
        (output * this.#decodeMs[last]![stage]!) / this.batches[last]!,
    )
    return 1000 / Math.max(1e-9, ...works)
  }
}
