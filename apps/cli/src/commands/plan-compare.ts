import {
  type ComputeFleet,
  type ModelShape,
  planServing,
  planTrainingRun,
  type ServingWorkload,
  type TrainingJob,
  trainingBaselines,
} from '@deos/planner'
import { judgedRequests, judgingBy, servingBaselines } from '@deos/simulator'
import { z } from 'zod'
import type { Output } from '../output.ts'
import { readFleet } from '../plan/fleet-file.ts'
import { readModelShape } from '../plan/model-file.ts'
import { PlanFile } from '../plan/plan-file.ts'
import { show, showMs } from '../plan/serving-text.ts'
import { showSeconds } from '../plan/training-text.ts'
import { readServingWorkload, readTrainingJob } from '../plan/workload-file.ts'
import { formatTable } from '../text/table.ts'
import type { PlanFiles } from './plan-serve.ts'

const kindSchema = z.object({
  kind: z.enum(['serve', 'train'], { error: 'is neither serve nor train' }),
})
const helixEvaluations = 40_000

/** Our plan beside those of published methods, on the same fleet, in the same model or simulation. */
export async function planCompare(
  options: PlanFiles & { readonly seed: number },
  output: Output,
): Promise<void> {
  const { kind } = (await PlanFile.read(options.workload)).parse(kindSchema)
  const [fleet, model] = await Promise.all([readFleet(options.fleet), readModelShape(options.model)])
  if (kind === 'serve') {
    compareServing(model, fleet, await readServingWorkload(options.workload), options.seed, output)
  } else {
    compareTraining(model, fleet, await readTrainingJob(options.workload), options.seed, output)
  }
}

function compareServing(
  shape: ModelShape,
  fleet: ComputeFleet,
  given: ServingWorkload,
  seed: number,
  output: Output,
): void {
  const workload: ServingWorkload = { ...given, goal: 'throughput', requestsPerS: null }
  const outcome = planServing(shape, fleet, workload, {
    seed,
    ...judgingBy({ shape, fleet, workload }, { seed }),
  })
  const simulated = outcome.kind === 'serve' ? outcome.simulatedMost : null
  const ours = {
    name: 'DeOS',
    goodputPerS: simulated?.goodputPerS ?? 0,
    ttftMs: simulated?.ttftMs.mean ?? null,
    tpotMs: simulated?.tpotMs.mean ?? null,
    note: outcome.kind === 'serve' ? outcome.precision : outcome.binding,
  }
  const others = servingBaselines(
    { shape, fleet, workload },
    { seed, least: judgedRequests.least, evaluations: helixEvaluations },
  )
  const rows = [ours, ...others]
  output.result({ kind: 'serve', workload, rows }, () =>
    [
      'Requests a second that each method answers within the targets, at the rate where they are most, in one simulator:',
      formatTable(
        [
          { title: 'method' },
          { title: 'goodput/s', align: 'right' },
          { title: 'ours is', align: 'right' },
          { title: 'TTFT', align: 'right' },
          { title: 'TPOT', align: 'right' },
          { title: '' },
        ],
        rows.map(({ name, goodputPerS, ttftMs, tpotMs, note }) => [
          name,
          show(goodputPerS),
          goodputPerS === 0 ? '–' : `${show(ours.goodputPerS / goodputPerS)} ×`,
          ttftMs === null ? '–' : showMs(ttftMs),
          tpotMs === null ? '–' : showMs(tpotMs),
          note,
        ]),
      ),
    ].join('\n\n'),
  )
}

function compareTraining(
  shape: ModelShape,
  fleet: ComputeFleet,
  given: TrainingJob,
  seed: number,
  output: Output,
): void {
  // Nobody trains apart here: every method computes the same training.
  const workload: TrainingJob = { ...given, goal: 'throughput', mostLocalSteps: 1, stepS: null }
  const outcome = planTrainingRun(shape, fleet, workload, { seed })
  const ours = {
    name: 'DeOS',
    stepS: outcome.kind === 'train' ? outcome.predicted.stepS : null,
    how:
      outcome.kind === 'train'
        ? `DP ${outcome.degrees.data}, PP ${outcome.degrees.pipeline}, TP ${outcome.degrees.tensor}, ${outcome.schedule}`
        : outcome.binding,
  }
  const rows = [ours, ...trainingBaselines(shape, fleet, workload, seed)]
  output.result({ kind: 'train', workload, rows }, () =>
    [
      'A step of each method in one model of time, every one computing the same training:',
      formatTable(
        [
          { title: 'method' },
          { title: 'step', align: 'right' },
          { title: 'ours is', align: 'right' },
          { title: 'how' },
        ],
        rows.map(({ name, stepS, how }) => [
          name,
          stepS === null ? '–' : showSeconds(stepS),
          stepS === null || ours.stepS === null ? '–' : `${show(stepS / ours.stepS)} ×`,
          how,
        ]),
      ),
    ].join('\n\n'),
  )
}
