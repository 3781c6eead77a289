import { planServing } from '@deos/planner'
import { judgingBy } from '@deos/simulator'
import { EXIT_FAILURE } from '../cli-error.ts'
import type { Output } from '../output.ts'
import { readFleet } from '../plan/fleet-file.ts'
import { readModelShape } from '../plan/model-file.ts'
import { documentSchema, type ServingDocument } from '../plan/plan-document.ts'
import { writeReport } from '../plan/report-file.ts'
import { servingReport } from '../plan/serving-report.ts'
import { refusalText, servingText } from '../plan/serving-text.ts'
import { readServingWorkload } from '../plan/workload-file.ts'

export interface PlanFiles {
  readonly fleet: string
  readonly model: string
  readonly workload: string
}

export interface PlanServeOptions extends PlanFiles {
  readonly html: string | null
  readonly seed: number
  /** Whether the best plans are played before one is chosen. */
  readonly simulate: boolean
}

/** Plans and prints. A plan that cannot be made is a result, with an exit code that says so. */
export async function planServe(options: PlanServeOptions, output: Output): Promise<void> {
  const [fleet, model, workload] = await Promise.all([
    readFleet(options.fleet),
    readModelShape(options.model),
    readServingWorkload(options.workload),
  ])
  const started = performance.now()
  const outcome = planServing(model, fleet, workload, {
    seed: options.seed,
    ...(options.simulate ? judgingBy({ shape: model, fleet, workload }, { seed: options.seed }) : {}),
  })
  const planningMs = performance.now() - started
  if (outcome.kind === 'refused') {
    output.result({ schema: documentSchema, kind: 'refused', plan: outcome, planningMs }, () =>
      refusalText(outcome),
    )
    process.exitCode = EXIT_FAILURE
    return
  }
  const document: ServingDocument = {
    schema: documentSchema,
    kind: 'serve',
    model,
    fleet,
    workload,
    plan: outcome,
    planningMs,
  }
  if (options.html !== null) await writeReport(options.html, servingReport(document), output)
  output.result(document, () => servingText(document))
}
