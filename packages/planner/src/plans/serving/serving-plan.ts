import type { LayerRange } from '@deos/domain'
import type { Role } from './pipeline.ts'
import type { Bound } from './unit-costs.ts'
import type { ServingGoal, WeightPrecision } from './workload.ts'

/** One stage of a plan, with what it is predicted to do. */
export interface StageReport {
  readonly layers: LayerRange
  /** Of its group: machine and number of the accelerator in it. */
  readonly accelerators: readonly { readonly machine: string; readonly slot: number }[]
  readonly accelerator: string
  readonly site: string
  readonly region: string
  readonly tensorParallel: number
  /** Members among which experts are divided, and positions; with `tensorParallel` they multiply to the accelerators. */
  readonly expertParallel: number
  readonly contextParallel: number
  /** Weights of one accelerator that come from the host in every pass; `null` if all are its own. */
  readonly offload: { readonly share: number; readonly hostBytes: number; readonly streamMs: number } | null
  /** One prompt of mean length; one step of the batch. */
  readonly prefillMs: number
  readonly decodeMs: number
  /** One token's way to the next stage, and a prompt's. */
  readonly hopMs: number
  readonly promptHopMs: number
  /** Of one accelerator. */
  readonly weightBytes: number
  readonly kvBytes: number
  readonly memoryBytes: number
  /** Share of the time in which it computes; the rest is bubble. */
  readonly busy: number
  readonly bubble: number
  /** What most of its layers are bound by. */
  readonly prefillBound: Bound
  readonly decodeBound: Bound
  readonly pricePerHour: number
}

export interface ReplicaReport {
  readonly role: Role
  readonly stages: readonly StageReport[]
  readonly requestsPerS: number
  /** Of the requests of its role. */
  readonly share: number
  readonly batch: number
  readonly sequences: number
  /** Sequences for which there is room. */
  readonly room: number
  readonly ttftMs: number
  readonly tpotMs: number
  readonly pricePerHour: number
  readonly bottleneck: string
}

/** What a plan is predicted or simulated to do. */
export interface ServingFigures {
  readonly requestsPerS: number
  /** Tokens of answers. */
  readonly tokensPerS: number
  readonly ttftMs: number
  readonly tpotMs: number
  readonly pricePerHour: number
  /** USD for a million tokens of answers; `null` if nothing has a price, or no load is known. */
  readonly pricePerMillionTokens: number | null
}

/** Percentiles of a simulation of the plan. */
export interface SimulatedServing {
  readonly requestsPerS: number
  /** Of these, the ones whose own TTFT and mean TPOT are within the targets. */
  readonly goodputPerS: number
  readonly tokensPerS: number
  readonly ttftMs: { readonly mean: number; readonly p50: number; readonly p99: number }
  readonly tpotMs: { readonly mean: number; readonly p50: number; readonly p99: number }
  readonly busy: readonly number[]
  readonly kvPeak: readonly number[]
  readonly finished: number
  readonly events: number
}

export interface RejectedOption {
  readonly option: string
  readonly why: string
}

/** Layers of the model that a kind of accelerator computes under the plan, by what binds them. */
export interface BoundReport {
  readonly accelerator: string
  readonly tensorParallel: number
  readonly batch: number
  readonly prefill: Readonly<Record<Bound, number>>
  readonly decode: Readonly<Record<Bound, number>>
}

export interface ServingPlan {
  readonly kind: 'serve'
  readonly goal: ServingGoal
  readonly precision: WeightPrecision
  readonly roles: 'together' | 'split'
  readonly replicas: readonly ReplicaReport[]
  /** KV handed from prefill to decode pipelines; `null` where each computes its own prompts. */
  readonly handOver: { readonly kvBytesPerPrompt: number; readonly addedMs: number } | null
  readonly predicted: ServingFigures
  /** At the predicted rate. */
  readonly simulated: SimulatedServing | null
  /** At the rate with the most goodput; `null` if the goal is not throughput. */
  readonly simulatedMost: SimulatedServing | null
  readonly bound: {
    readonly value: number
    readonly unit: string
    readonly gap: number
    readonly because: string
  }
  readonly bottleneck: string
  readonly layerBounds: readonly BoundReport[]
  readonly unused: readonly {
    readonly machine: string
    readonly accelerators: number
    readonly why: string
  }[]
  readonly rejected: readonly RejectedOption[]
  readonly notes: readonly string[]
}

/** A change that would make an impossible request possible. */
export interface Fix {
  readonly change: string
  /** USD an hour more; 0 if it costs something else than money. */
  readonly pricePerHour: number
  /** What it gives up; `null` if only money. */
  readonly givesUp: string | null
}

export interface ServingRefusal {
  readonly kind: 'refused'
  /** The constraint that binds, with numbers. */
  readonly binding: string
  /** The cheapest first. */
  readonly fixes: readonly Fix[]
  /** The best that the fleet does. */
  readonly bestEffort: ServingFigures | null
}

export type ServingOutcome = ServingPlan | ServingRefusal
