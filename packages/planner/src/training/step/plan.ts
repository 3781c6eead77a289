import type { Schedule } from './pipeline.ts'
import type { TrainingWork } from './work.ts'

/** Freedoms that change what is sent; those that change what is learnt say so in the plan's notes. */
export interface StepOptions {
  readonly schedule: Schedule
  readonly overlap: boolean
  /**
   * `sharded`: each member owns a part and talks to every other one in turn; `direct`: to all of them at once; `ring`:
   * round the group; `regional`: inside of what the quickest links join, then between.
   */
  readonly exchange: 'sharded' | 'direct' | 'ring' | 'regional'
  /** A stage exchanges gradients as soon as it has computed them, layer by layer, or when the whole pipeline has. */
  readonly exchangeEarly: boolean
  /**
   * A stage begins the next step as soon as it has its own new weights, while others still exchange. The gradient's norm
   * over all stages is then known only afterwards (Qi et al. 2023, arXiv:2401.10241, section 4, on how to bear that).
   */
  readonly nextStepEarly: boolean
  readonly gradientBytesPerParameter: number
  readonly activationBytesPerElement: number
  /** Steps between exchanges: above 1, replicas train apart in between (local SGD), which is not the same training. */
  readonly stepsPerExchange: number
  readonly rematerialise: boolean
  /** Microbatches kept beyond what 1F1B needs, to bear long links. */
  readonly extraInFlight: number
  /** What replicas divide among them instead of keeping all of it each: optimiser states, gradients too, weights too. */
  readonly zeroStage?: 0 | 1 | 2 | 3
}

/** Stages along the pipeline; where the same devices appear again they interleave stages. */
export interface TrainingStage {
  readonly first: number
  readonly end: number
  /** Device of each replica. */
  readonly devices: readonly number[]
}

export interface TrainingPlan {
  readonly stages: readonly TrainingStage[]
  readonly options: StepOptions
}

export const microbatchesOf = ({ globalBatch, microbatch }: TrainingWork, replicas: number): number =>
  Math.ceil(globalBatch / (replicas * microbatch))

/** Microbatches that a stage keeps between forward and backward pass. */
export const inFlightOf = (options: StepOptions, microbatches: number, behind: number): number =>
  options.schedule === 'gpipe' ? microbatches : Math.min(microbatches, behind + options.extraInFlight)
