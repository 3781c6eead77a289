import { replayTraining } from '@deos/planner'
import { type PlanFault, simulatePlan, steadyRequests, usualChunkTokens } from '@deos/simulator'
import { UsageError } from '../cli-error.ts'
import type { Output } from '../output.ts'
import { type PlayableDocument, readPlan } from '../plan/plan-document.ts'
import { simulationText } from '../plan/serving-text.ts'
import { replayText } from '../plan/training-text.ts'
import { readServingWorkload, readTrainingJob } from '../plan/workload-file.ts'

export interface SimulateOptions {
  readonly plan: string
  readonly workload: string | null
  readonly seed: number
  /** `null`: as many as it takes until the plan answers what comes. */
  readonly requests: number | null
  /** Of a plan for serving. */
  readonly faults: readonly PlanFault[]
}

const played = { least: 1000, mostEvents: 20_000_000 }

/** Plays a plan that was written as JSON, under its own workload or another. */
export async function simulate(options: SimulateOptions, output: Output): Promise<void> {
  const document = await readPlan(options.plan)
  if (document.kind === 'serve') await simulateServing(document, options, output)
  else await simulateTraining(document, options, output)
}

async function simulateServing(
  { plan, model, fleet, workload: own }: Extract<PlayableDocument, { kind: 'serve' }>,
  options: SimulateOptions,
  output: Output,
): Promise<void> {
  const workload = options.workload === null ? own : await readServingWorkload(options.workload)
  const requestsPerS = workload.requestsPerS ?? plan.predicted.requestsPerS
  const { seed, faults } = options
  const requests = options.requests ?? steadyRequests(plan, workload, requestsPerS, played)
  const setting = { shape: model, fleet, workload }
  const asked = { requestsPerS, seed, requests, faults, chunkTokens: usualChunkTokens }
  const simulated = simulatePlan(plan, setting, asked)
  output.result({ requestsPerS, seed, predicted: plan.predicted, simulated }, () =>
    simulationText(simulated, requestsPerS),
  )
}

/** One step, event by event; nothing is drawn, so that a seed changes nothing. */
async function simulateTraining(
  { plan, model, fleet, workload: own }: Extract<PlayableDocument, { kind: 'train' }>,
  { workload, faults }: SimulateOptions,
  output: Output,
): Promise<void> {
  if (faults.length > 0) {
    throw new UsageError('This plan is for training, of which one step is played.', 'Leave out --lose.')
  }
  const job = workload === null ? own : await readTrainingJob(workload)
  const simulated = replayTraining(plan, { shape: model, fleet, job })
  output.result({ predicted: plan.predicted, simulated }, () => replayText(simulated, plan.predicted.stepS))
}
