import { PlanInputError } from '../errors.ts'

/** What is to be trained, beside the model. */
export interface TrainingJob {
  /** Sequences in one step. */
  readonly globalBatch: number
  readonly sequenceTokens: number
  /** Sequences in one microbatch that may be tried. */
  readonly microbatches: readonly number[]
  readonly optimiser: 'adam' | 'sgd'
  readonly precision: 'fp16' | 'fp32'
  readonly goal: 'throughput' | 'cost'
  /** Above 1, replicas may train apart for so many steps between exchanges, which is not the same training. */
  readonly mostLocalSteps: number
  /** Tokens of the whole run, for its time and price; `null` if it has no end. */
  readonly tokens: number | null
  /** A step may not take longer; `null` sets no limit. */
  readonly stepS: number | null
}

/** @throws PlanInputError that names the field */
export function checkTrainingJob(job: TrainingJob): void {
  for (const key of ['globalBatch', 'sequenceTokens', 'mostLocalSteps'] as const) {
    if (!Number.isInteger(job[key]) || job[key] < 1) {
      throw new PlanInputError(key, job[key], 'a whole number from 1')
    }
  }
  if (job.microbatches.length === 0) throw new PlanInputError('microbatches', 'empty', 'one size at least')
  for (const [at, size] of job.microbatches.entries()) {
    if (!Number.isInteger(size) || size < 1 || size > job.globalBatch) {
      throw new PlanInputError(
        `microbatches[${at}]`,
        size,
        `a whole number from 1 to the batch of ${job.globalBatch}`,
      )
    }
  }
  for (const key of ['tokens', 'stepS'] as const) {
    const value = job[key]
    if (value !== null && !(value > 0 && Number.isFinite(value))) {
      throw new PlanInputError(key, value, 'a number above 0')
    }
  }
}
