import type { Figure } from '../contract.ts'
import { measureDtFm } from './dt-fm-figures.ts'
import { measureExecutedPlans } from './executed-plans.ts'
import { measureRegions } from './region-figures.ts'
import { measureSailor } from './sailor-figures.ts'
import { measureTrainingRuns } from './training-run-figures.ts'

export interface PlanMeasurement {
  readonly quick: boolean
  readonly dataFolder: string | null
  progress(line: string): void
}

export interface Measured {
  readonly figures: readonly Figure[]
  readonly raw: Readonly<Record<string, unknown>>
}

/** Everything about plans for training. */
export function measureTraining(measurement: PlanMeasurement): Measured {
  const executed = measureExecutedPlans('plan.sailor.measured', measurement.dataFolder)
  const parts = {
    executedPlans: { figures: executed.figures, raw: { rows: executed.rows } },
    dtFm: measureDtFm(measurement),
    sailor: measureSailor(measurement),
    regions: measureRegions(measurement),
    trainingRuns: measureTrainingRuns(measurement),
  }
  return {
    figures: Object.values(parts).flatMap(({ figures }) => figures),
    raw: Object.fromEntries(Object.entries(parts).map(([name, { raw }]) => [name, raw])),
  }
}
