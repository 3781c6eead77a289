import type { Figure } from '../contract.ts'
import { measureDtFm } from './dt-fm-figures.ts'
import { measureRegions } from './region-figures.ts'
import { measureSailor } from './sailor-figures.ts'

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
  const parts = {
    dtFm: measureDtFm(measurement),
    sailor: measureSailor(measurement),
    regions: measureRegions(measurement),
  }
  return {
    figures: Object.values(parts).flatMap(({ figures }) => figures),
    raw: Object.fromEntries(Object.entries(parts).map(([name, { raw }]) => [name, raw])),
  }
}
