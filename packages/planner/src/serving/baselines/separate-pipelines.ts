import type { LayerRange } from '@deos/domain'
import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'

/**
 * One pipeline, or several equal ones, for each kind of device and none across kinds: as many pipelines as the devices
 * of a kind can form with the layers that fit, the layers shared evenly, the first stages one more where it does not
 * divide. Kinds too few to hold the model stay empty; null if all are.
 */
export function separatePipelines(instance: FlowInstance): FlowPlacement | null {
  const { devices, layers } = instance
  const kinds = new Map<string, number[]>()
  for (const [device, { kind }] of devices.entries()) kinds.set(kind, [...(kinds.get(kind) ?? []), device])
  const placement = new Array<LayerRange | null>(devices.length).fill(null)
  for (const members of kinds.values()) {
    const most = Math.min(...members.map((device) => devices[device]!.tokensPerSecondByLayers.length))
    const needed = Math.ceil(layers / most)
    const pipelines = Math.floor(members.length / needed)
    for (let pipeline = 0; pipeline < pipelines; pipeline += 1) {
      const from = Math.floor((members.length * pipeline) / pipelines)
      const to = Math.floor((members.length * (pipeline + 1)) / pipelines)
      const stages = Math.min(to - from, layers)
      let first = 0
      for (let stage = 0; stage < stages; stage += 1) {
        const count = Math.floor(layers / stages) + (stage < layers % stages ? 1 : 0)
        placement[members[from + stage]!] = { first, end: first + count }
        first += count
      }
    }
  }
  return placement.some((range) => range !== null) ? placement : null
}
