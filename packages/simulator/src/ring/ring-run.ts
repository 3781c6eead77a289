import type { RingLeaderOptions } from '@deos/protocol'
import type { StageTiming } from './step-times.ts'

/** One stage as the simulation needs it. */
export interface SimulatedStage {
  readonly timing: StageTiming
  /** To the next stage, or from the last one to the first: ms one way, and how fast bytes go; 0 bytes/ms is no limit. */
  readonly link: SimulatedLink
}

export interface SimulatedLink {
  readonly oneWayMs: number
  readonly bytesPerMs: number
}

export interface RingRequest {
  /** Counts unless clients send the requests. */
  readonly atMs: number
  readonly promptTokens: number
  /** At least one. */
  readonly outputTokens: number
}

/** Requests, and who sends them. */
export interface RingLoad {
  readonly requests: readonly RingRequest[]
  /** So many send the requests in order, each the next one when it is answered; `null` sends each at its time. */
  readonly clients: number | null
}

export interface RingRun extends RingLoad {
  readonly stages: readonly SimulatedStage[]
  /** From the gateway to the first stage, and from the last stage to the gateway. */
  readonly gateway: { readonly toLeader: SimulatedLink; readonly fromTail: SimulatedLink }
  /** Width of hidden states, which travel as float32. */
  readonly hiddenSize: number
  readonly capacity: {
    readonly kvPages: number
    readonly pageTokens: number
    readonly contextLength: number
    readonly maxBatchTokens: number
  }
  readonly leader: Omit<RingLeaderOptions, 'stages' | 'vocabSize' | 'firstEpoch'>
  /** What the ring answers before, one load after the other: it learns from that how to divide prompts and steps. */
  readonly earlier?: readonly RingLoad[]
}

/** What became of one request; times since the load began. */
export interface RingAnswer {
  readonly sentMs: number
  /** Of each token's arrival at the gateway. */
  readonly tokensMs: readonly number[]
}

/** Of the requests themselves, without what the ring answered before. */
export interface RingResult {
  /** In the order of the requests. */
  readonly answers: readonly RingAnswer[]
  /** Of each stage: ms in which it computed. */
  readonly busyMs: readonly number[]
  readonly steps: number
  readonly events: number
  readonly endMs: number
}
