import type { LayerRange } from '@deos/domain'
import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'

/**
 * Equal stages in the order of the devices, as a fleet without a planner does it: as few stages as the smallest device
 * allows; devices left over begin another pipeline, and an unfinished one stays empty. Null if no pipeline fits.
 */
export function equalSplit(instance: FlowInstance): FlowPlacement | null {
  const { devices, layers } = instance
  const smallest = Math.min(...devices.map(({ tokensPerSecondByLayers: rates }) => rates.length))
  const stages = Math.ceil(layers / smallest)
  if (stages > devices.length) return null
  const edge = (stage: number) => Math.round((layers * stage) / stages)
  const whole = Math.floor(devices.length / stages) * stages
  return devices.map((_, device): LayerRange | null =>
    device < whole ? { first: edge(device % stages), end: edge((device % stages) + 1) } : null,
  )
}
