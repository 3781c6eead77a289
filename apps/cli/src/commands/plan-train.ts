import { planTrainingRun } from '@deos/planner'
import { EXIT_FAILURE } from '../cli-error.ts'
import type { Output } from '../output.ts'
import { readFleet } from '../plan/fleet-file.ts'
import { readModelShape } from '../plan/model-file.ts'
import { documentSchema } from '../plan/plan-document.ts'
import { writeReport } from '../plan/report-file.ts'
import { refusalText } from '../plan/serving-text.ts'
import { trainingReport } from '../plan/training-report.ts'
import { type TrainingDocument, trainingText } from '../plan/training-text.ts'
import { readTrainingJob } from '../plan/workload-file.ts'
import type { PlanFiles } from './plan-serve.ts'

export interface PlanTrainOptions extends PlanFiles {
  readonly html: string | null
  readonly seed: number
}

/** Plans and prints. A plan that cannot be made is a result, with an exit code that says so. */
export async function planTrain(options: PlanTrainOptions, output: Output): Promise<void> {
  const [fleet, model, workload] = await Promise.all([
    readFleet(options.fleet),
    readModelShape(options.model),
    readTrainingJob(options.workload),
  ])
  const started = performance.now()
  const plan = planTrainingRun(model, fleet, workload, { seed: options.seed })
  const planningMs = performance.now() - started
  if (plan.kind === 'refused') {
    output.result({ schema: documentSchema, kind: 'refused', plan, planningMs }, () => refusalText(plan))
    process.exitCode = EXIT_FAILURE
    return
  }
  const document: TrainingDocument = {
    schema: documentSchema,
    kind: 'train',
    model,
    fleet,
    workload,
    plan,
    planningMs,
  }
  if (options.html !== null) await writeReport(options.html, trainingReport(document), output)
  output.result(document, () => trainingText(document))
}
