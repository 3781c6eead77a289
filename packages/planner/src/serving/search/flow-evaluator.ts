import type { FlowInstance } from '../flow/flow-instance.ts'
import { MaxFlow } from '../flow/max-flow.ts'

/**
 * Flow of many placements of one instance, without allocating. A placement is two arrays: `first[d]` and `end[d]` of
 * each device, both 0 where it holds nothing.
 *
 * Where every device reaches every other by links that cannot bind, the graph shrinks to the layer boundaries, with
 * devices as arcs: the same flow from a fraction of the arcs.
 */
export class FlowEvaluator {
  readonly devices: number
  readonly layers: number
  /** `rates[d][n]`: tokens/s of device d with n layers; index 0 is unused. */
  readonly rates: readonly Float64Array[]
  readonly linksCanBind: boolean
  private readonly graph: MaxFlow
  private readonly entry: Float64Array
  private readonly exit: Float64Array
  private readonly between: Float64Array
  private readonly startingAt: Int32Array
  private readonly nextStarting: Int32Array
  private readonly vertexOf: Int32Array
  private readonly capacity: Float64Array

  constructor(instance: FlowInstance) {
    const count = instance.devices.length
    this.devices = count
    this.layers = instance.layers
    this.rates = instance.devices.map(({ tokensPerSecondByLayers: rates }) =>
      Float64Array.from([0, ...rates.slice(0, instance.layers)]),
    )
    this.entry = new Float64Array(count)
    this.exit = new Float64Array(count)
    this.between = new Float64Array(count * count)
    for (const { from, to, tokensPerSecond } of instance.links) {
      if (from === 'source' && to === 'sink') continue
      if (from === 'source') this.entry[Number(to)]! += tokensPerSecond
      else if (to === 'sink') this.exit[from]! += tokensPerSecond
      else this.between[from * count + to]! += tokensPerSecond
    }
    this.linksCanBind = this.someLinkCanBind()
    const vertices = Math.max(count * 2 + 2, instance.layers + 1)
    this.graph = new MaxFlow(vertices, count + (this.linksCanBind ? instance.links.length : 0))
    this.startingAt = new Int32Array(instance.layers + 1)
    this.nextStarting = new Int32Array(count)
    this.vertexOf = new Int32Array(instance.layers + 1)
    this.capacity = new Float64Array(instance.layers + 1)
  }

  flow(first: Int32Array, end: Int32Array): number {
    return this.linksCanBind ? this.flowOverLinks(first, end) : this.flowOverBoundaries(first, end)
  }

  /** Mean over layers of the tokens/s its holders could serve, counted up to `most`: rises where the flow does not yet. */
  coverage(first: Int32Array, end: Int32Array, most: number): number {
    const { capacity, layers } = this
    capacity.fill(0)
    for (let device = 0; device < this.devices; device += 1) {
      const from = first[device]!
      const to = end[device]!
      if (to === from) continue
      const rate = this.rates[device]![to - from]!
      capacity[from]! += rate
      capacity[to]! -= rate
    }
    let total = 0
    let here = 0
    for (let layer = 0; layer < layers; layer += 1) {
      here += capacity[layer]!
      total += here < most ? here : most
    }
    return total / layers
  }

  private flowOverBoundaries(first: Int32Array, end: Int32Array): number {
    const { graph, vertexOf, layers } = this
    vertexOf.fill(-1)
    vertexOf[0] = 0
    vertexOf[layers] = 1
    let vertices = 2
    for (let device = 0; device < this.devices; device += 1) {
      if (end[device] === first[device]) continue
      if (vertexOf[first[device]!]! < 0) {
        vertexOf[first[device]!] = vertices
        vertices += 1
      }
      if (vertexOf[end[device]!]! < 0) {
        vertexOf[end[device]!] = vertices
        vertices += 1
      }
    }
    graph.reset(vertices)
    for (let device = 0; device < this.devices; device += 1) {
      const from = first[device]!
      const to = end[device]!
      if (to > from) graph.addArc(vertexOf[from]!, vertexOf[to]!, this.rates[device]![to - from]!)
    }
    return graph.run(0, 1)
  }

  private flowOverLinks(first: Int32Array, end: Int32Array): number {
    const { devices, graph, startingAt, nextStarting, layers } = this
    const source = devices * 2
    const sink = source + 1
    startingAt.fill(-1)
    graph.reset(sink + 1)
    for (let device = devices - 1; device >= 0; device -= 1) {
      const from = first[device]!
      const to = end[device]!
      if (to === from) continue
      nextStarting[device] = startingAt[from]!
      startingAt[from] = device
      graph.addArc(device * 2, device * 2 + 1, this.rates[device]![to - from]!)
      if (from === 0 && this.entry[device]! > 0) graph.addArc(source, device * 2, this.entry[device]!)
      if (to === layers && this.exit[device]! > 0) graph.addArc(device * 2 + 1, sink, this.exit[device]!)
    }
    for (let device = 0; device < devices; device += 1) {
      const to = end[device]!
      if (to === first[device] || to === layers) continue
      for (let next = startingAt[to]!; next >= 0; next = nextStarting[next]!) {
        const capacity = this.between[device * devices + next]!
        if (capacity > 0) graph.addArc(device * 2 + 1, next * 2, capacity)
      }
    }
    return graph.run(source, sink)
  }

  private someLinkCanBind(): boolean {
    const fastest = this.rates.map((rates) => rates.reduce((most, rate) => Math.max(most, rate), 0))
    for (let from = 0; from < this.devices; from += 1) {
      if (this.entry[from]! < fastest[from]! || this.exit[from]! < fastest[from]!) return true
      for (let to = 0; to < this.devices; to += 1) {
        const enough = Math.min(fastest[from]!, fastest[to]!)
        if (from !== to && this.between[from * this.devices + to]! < enough) return true
      }
    }
    return false
  }
}
