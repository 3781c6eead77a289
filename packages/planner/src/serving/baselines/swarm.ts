import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'

/**
 * SWARM's stages (arXiv 2301.11913) as Helix's authors run them for serving: the fewest equal stages that every device
 * can hold and that divide the layers; devices from the fastest on join the stage that is slowest so far. Null if the
 * devices are fewer than the stages.
 */
export function swarmPlacement(instance: FlowInstance): FlowPlacement | null {
  const { devices, layers } = instance
  const smallest = Math.min(...devices.map(({ tokensPerSecondByLayers: rates }) => rates.length))
  let perStage = Math.min(smallest, layers)
  while (layers % perStage !== 0) perStage -= 1
  return swarmStages(instance, perStage)
}

/** The same with a given number of layers in each stage; it has to divide the layers. */
export function swarmStages(instance: FlowInstance, perStage: number): FlowPlacement | null {
  const { devices, layers } = instance
  const stages = layers / perStage
  if (!Number.isInteger(stages) || devices.length < stages) return null
  const rate = (device: number) => devices[device]!.tokensPerSecondByLayers[perStage - 1]!
  const order = devices.map((_, device) => device).sort((a, b) => rate(b) - rate(a) || b - a)
  const speeds = new Array<number>(stages).fill(0)
  const placement = new Array<{ first: number; end: number } | null>(devices.length).fill(null)
  for (const device of order) {
    const stage = speeds.indexOf(Math.min(...speeds))
    speeds[stage]! += rate(device)
    placement[device] = { first: stage * perStage, end: (stage + 1) * perStage }
  }
  return placement
}
