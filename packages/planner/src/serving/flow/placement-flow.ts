import {
  checkFlowInstance,
  checkFlowPlacement,
  type FlowInstance,
  type FlowLink,
  type FlowPlacement,
} from './flow-instance.ts'
import { MaxFlow } from './max-flow.ts'

/** What a placement serves, and by which routes. */
export interface PlacementFlow {
  /** Tokens/s, prompt and decode, from source to sink. */
  readonly tokensPerSecond: number
  /** Links that carry something, with what they carry. */
  readonly routes: readonly FlowLink[]
  /** Names of devices that bind: more of them, or faster ones, would carry more. */
  readonly bottleneckDevices: readonly number[]
  /** Links that bind in the same cut. */
  readonly bottleneckLinks: readonly FlowLink[]
}

/**
 * Maximum flow through a placement (Helix's objective).
 *
 * @throws ServingInstanceError if the instance or the placement makes no sense
 */
export function flowOfPlacement(instance: FlowInstance, placement: FlowPlacement): PlacementFlow {
  checkFlowInstance(instance)
  checkFlowPlacement(instance, placement)
  const { devices, layers } = instance
  const source = devices.length * 2
  const sink = source + 1
  const graph = new MaxFlow(sink + 1, devices.length + instance.links.length)
  graph.reset(sink + 1)
  const own = placement.map((range, device) => {
    if (range === null) return -1
    const rate = devices[device]!.tokensPerSecondByLayers[range.end - range.first - 1]!
    return graph.addArc(device * 2, device * 2 + 1, rate)
  })
  const used: { readonly link: FlowLink; readonly arc: number }[] = []
  for (const link of instance.links) {
    const end = link.from === 'source' ? 0 : placement[link.from]?.end
    const first = link.to === 'sink' ? layers : placement[link.to]?.first
    if (end === undefined || end !== first) continue
    const from = link.from === 'source' ? source : link.from * 2 + 1
    const to = link.to === 'sink' ? sink : link.to * 2
    used.push({ link, arc: graph.addArc(from, to, link.tokensPerSecond) })
  }
  const tokensPerSecond = graph.run(source, sink)
  const cuts = (from: number, to: number) => graph.isReachable(from) && !graph.isReachable(to)
  return {
    tokensPerSecond,
    routes: used
      .map(({ link, arc }) => ({ ...link, tokensPerSecond: graph.flowOf(arc) }))
      .filter((link) => link.tokensPerSecond > 0),
    bottleneckDevices: devices
      .map((_, device) => device)
      .filter((device) => own[device]! >= 0 && cuts(device * 2, device * 2 + 1)),
    bottleneckLinks: used
      .filter(({ link }) =>
        cuts(link.from === 'source' ? source : link.from * 2 + 1, link.to === 'sink' ? sink : link.to * 2),
      )
      .map(({ link }) => link),
  }
}
