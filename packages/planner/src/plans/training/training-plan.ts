import type { LayerRange } from '@deos/domain'
import type { Schedule, StepOptions, WorkSpan } from '../../training/index.ts'
import type { Fix, RejectedOption } from '../serving/serving-plan.ts'
import type { Bound } from '../serving/unit-costs.ts'
import type { TrainingJob } from './job.ts'

export interface TrainingStageReport {
  readonly layers: LayerRange
  /** Of each replica: the accelerators of its group. */
  readonly replicas: readonly (readonly { readonly machine: string; readonly slot: number }[])[]
  readonly accelerators: readonly string[]
  readonly sites: readonly string[]
  /** All microbatches of a step on its slowest device. */
  readonly computeS: number
  /** One microbatch to the next stage on the worst link. */
  readonly hopS: number
  readonly exchangeS: number
  /** Of one accelerator: needed, and there where there is least. */
  readonly memoryBytes: number
  readonly capacityBytes: number
  readonly bubble: number
  readonly bound: Bound
  readonly pricePerHour: number
}

export interface TrainingFigures {
  readonly stepS: number
  readonly tokensPerS: number
  readonly pipelineS: number
  readonly exposedExchangeS: number
  readonly pricePerHour: number
  readonly pricePerMillionTokens: number | null
  /** Of the accelerators' peak in the format, what the model's own arithmetic makes use of. */
  readonly modelFlopsUtilisation: number
}

export interface TrainingRunPlan {
  readonly kind: 'train'
  readonly goal: TrainingJob['goal']
  readonly degrees: {
    readonly data: number
    readonly pipeline: number
    readonly tensor: number
    readonly context: number
    readonly expert: number
  }
  readonly schedule: Schedule | 'interleaved'
  /** Parts of the model on each device. */
  readonly chunks: number
  readonly zeroStage: 0 | 1 | 2 | 3
  readonly microbatch: number
  readonly microbatches: number
  readonly rematerialise: boolean
  readonly exchange: StepOptions['exchange']
  /** Above 1, replicas train apart in between. */
  readonly stepsPerExchange: number
  /** Everything that a replay needs besides stages and degrees. */
  readonly options: StepOptions
  readonly stages: readonly TrainingStageReport[]
  readonly predicted: TrainingFigures
  /** Of the whole run; `null` if it has no end. */
  readonly run: { readonly hours: number; readonly price: number } | null
  /** Of the first replica's step, for a picture. */
  readonly timeline: readonly WorkSpan[]
  readonly bound: {
    readonly value: number
    readonly unit: string
    readonly gap: number
    readonly because: string
  }
  readonly bottleneck: string
  readonly unused: readonly {
    readonly machine: string
    readonly accelerators: number
    readonly why: string
  }[]
  readonly rejected: readonly RejectedOption[]
  readonly notes: readonly string[]
}

export interface TrainingRefusal {
  readonly kind: 'refused'
  readonly binding: string
  readonly fixes: readonly Fix[]
  readonly bestEffort: null
}

export type TrainingOutcome = TrainingRunPlan | TrainingRefusal
