import { join } from 'node:path'
import { skippedFigure } from '../contract.ts'
import { HelixSetup } from './helix-rows.ts'
import type { Measured, PlanMeasurement } from './measure-training.ts'
import { measureEndToEnd } from './serving-end-to-end-figures.ts'
import { measureFleets } from './serving-fleet-figures.ts'
import { measureFlows } from './serving-flow-figures.ts'
import { measurePlans } from './serving-plan-figures.ts'
import { measureReplanning } from './serving-replan-figures.ts'
import { measureSpeed } from './serving-speed-figures.ts'

/** Everything about plans for serving. */
export function measureServing(measurement: PlanMeasurement): Measured {
  const { dataFolder } = measurement
  const parts = [
    measureSpeed(measurement),
    measurePlans(measurement),
    measureReplanning(measurement),
    measureFleets(measurement),
    ...(dataFolder === null ? [withoutData] : helixParts(measurement, dataFolder)),
  ]
  return {
    figures: parts.flatMap(({ figures }) => figures),
    raw: { serving: Object.assign({}, ...parts.map(({ raw }) => raw)) },
  }
}

function helixParts(measurement: PlanMeasurement, dataFolder: string): readonly Measured[] {
  const setup = new HelixSetup(join(dataFolder, 'helix'))
  return [measureFlows(setup.instances, measurement), measureEndToEnd(setup, measurement)]
}

const withoutData: Measured = {
  figures: [
    skippedFigure({
      id: 'plan.serving.helix',
      unit: 'ratio',
      better: 'higher',
      bar: 1,
      reason: 'Name the folder with "helix" by --data.',
    }),
  ],
  raw: {},
}
