import type { LevelCost } from '@deos/codec'
import type { StageReport } from '@deos/protocol'

const FLOAT_BYTES = 4

/**
 * What levels cost for caches of these stages. Calibrations say it of halves. Floats are narrowed to halves before loss, and
 * travel as they are without; what is stored otherwise travels as it is at any level, so that only level 0 is left.
 */
export function costsFor(costs: readonly LevelCost[], reports: readonly StageReport[]): readonly LevelCost[] {
  const types = new Set(reports.flatMap(({ kv }) => kv?.type ?? []))
  if (types.size === 0 || (types.size === 1 && types.has('F16'))) return costs
  const stored = [...types].every((type) => type === 'F16' || type === 'F32')
  return costs
    .filter(({ level }) => stored || level === 0)
    .map((cost) => (cost.level === 0 ? asStored(cost, reports) : cost))
}

function asStored({ level, layers }: LevelCost, reports: readonly StageReport[]): LevelCost {
  return {
    level,
    layers: layers.map((layer, at) => {
      const stage = reports.find(
        ({ layers: [first, end], kv }) => first <= at && at < end && kv?.type === 'F32',
      )
      if (stage === undefined || stage.kv === null) return layer
      const [first, end] = stage.layers
      // Layers of a stage are nearly always alike.
      return { ...layer, bytesPerToken: (FLOAT_BYTES * stage.kv.columns) / (end - first) }
    }),
  }
}
