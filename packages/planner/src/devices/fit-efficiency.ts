import type { LayerGraph } from '../models/index.ts'
import type { Accelerator, NumberFormat } from './accelerator.ts'
import { ProfileError } from './errors.ts'
import { type Efficiency, layerTime } from './roofline.ts'

/** A layer that was run and timed. */
export interface LayerProfile {
  readonly graph: LayerGraph
  readonly measuredMs: number
}

export interface FittedEfficiency {
  readonly efficiency: Efficiency
  /** Mean and worst |predicted - measured| / measured over the profiles. */
  readonly meanError: number
  readonly worstError: number
}

const rounds = 30
/** Memory and overhead trade against each other, so that many passes are needed. */
const passes = 60

/**
 * Efficiencies under which a device's roofline comes nearest to what was measured, in squared logarithms. Golden sections
 * along one factor at a time, for predicted times fall in each.
 *
 * @throws ProfileError without profiles, or with a time that is not positive
 */
export function fitEfficiency(
  profiles: readonly LayerProfile[],
  device: Accelerator,
  format: NumberFormat,
): FittedEfficiency {
  if (profiles.length === 0) {
    throw new ProfileError(`Nothing was measured on ${device.name}.`, 'Give at least one timed layer.')
  }
  const bad = profiles.find(({ measuredMs }) => !(measuredMs > 0 && Number.isFinite(measuredMs)))
  if (bad !== undefined) {
    throw new ProfileError(`A layer was measured at ${bad.measuredMs} ms.`, 'Give times above zero.')
  }
  let efficiency: Efficiency = { compute: 0.5, memory: 0.7, overheadMs: 0 }
  const loss = (candidate: Efficiency) =>
    profiles.reduce((sum, profile) => sum + logError(profile, device, format, candidate) ** 2, 0)
  const shortestMs = Math.min(...profiles.map(({ measuredMs }) => measuredMs))
  for (let pass = 0; pass < passes; pass += 1) {
    const at = efficiency
    const compute = minimise((value) => loss({ ...at, compute: value }), 0.01, 1)
    const memory = minimise((value) => loss({ ...at, compute, memory: value }), 0.01, 1)
    const operators = Math.max(...profiles.map(({ graph }) => graph.operators.length))
    const overheadMs = minimise(
      (value) => loss({ compute, memory, overheadMs: value }),
      0,
      shortestMs / operators,
    )
    efficiency = { compute, memory, overheadMs }
  }
  const errors = profiles.map((profile) =>
    Math.abs(Math.expm1(logError(profile, device, format, efficiency))),
  )
  return {
    efficiency,
    meanError: errors.reduce((sum, error) => sum + error, 0) / errors.length,
    worstError: Math.max(...errors),
  }
}

const logError = (
  { graph, measuredMs }: LayerProfile,
  device: Accelerator,
  format: NumberFormat,
  efficiency: Efficiency,
): number => Math.log(layerTime(graph, device, { format, efficiency }).timeMs / measuredMs)

function minimise(of: (value: number) => number, least: number, most: number): number {
  const golden = (Math.sqrt(5) - 1) / 2
  let low = least
  let high = most
  for (let round = 0; round < rounds; round += 1) {
    const left = high - golden * (high - low)
    const right = low + golden * (high - low)
    if (of(left) <= of(right)) high = right
    else low = left
  }
  return (low + high) / 2
}
