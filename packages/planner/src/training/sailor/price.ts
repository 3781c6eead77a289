import type { SailorPlan } from './plan.ts'
import type { SailorTables } from './tables.ts'

const floatBytes = 4

/** USD a second for its accelerators. */
export function rentPerS(tables: SailorTables, { stages }: SailorPlan): number {
  let perHour = 0
  for (const { replicas } of stages) {
    for (const { accelerator, tensorParallel } of replicas) {
      perHour += tensorParallel * tables.usdPerHour(accelerator)
    }
  }
  return perHour / 3600
}

/** USD of one iteration for what travels between zones. */
export function trafficUsd(
  tables: SailorTables,
  { stages, microbatch }: SailorPlan,
  microbatches: number,
): number {
  const { outputElements, usdPerByte, sizes } = tables
  const parameters = sizes.get(1)!.parameters
  let usd = 0
  stages.forEach(({ first, end, replicas }, at) => {
    const next = stages[at + 1]
    const handedOver = outputElements[end - 1]! * floatBytes * microbatch * microbatches * 2
    const exchanged =
      ((parameters[end]! - parameters[first]!) * floatBytes * 2 * (replicas.length - 1)) / replicas.length
    replicas.forEach(({ zone }, place) => {
      if (next !== undefined) usd += handedOver * usdPerByte(zone, next.replicas[place]!.zone)
      usd += exchanged * usdPerByte(zone, replicas[(place + 1) % replicas.length]!.zone)
    })
  })
  return usd
}
