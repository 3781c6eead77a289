import { atSink, atSource } from './routing/router.ts'
import type { FleetLink, ServingFleet } from './serving-fleet.ts'

/** Links of a fleet, each with the time until which it is busy. */
export class LinkStates {
  private readonly stride: number
  /** Only those that are there: all pairs of ten thousand machines would take gigabytes. */
  private readonly links = new Map<number, { readonly link: FleetLink; freeAtMs: number }>()
  /** Of machines: until when K and V leave them, or come to them. */
  private readonly outAtMs: Float64Array
  private readonly inAtMs: Float64Array

  constructor({ machines, links }: ServingFleet) {
    this.stride = machines.length + 1
    this.outAtMs = new Float64Array(machines.length)
    this.inAtMs = new Float64Array(machines.length)
    for (const link of links) {
      const { from, to } = link
      const at = this.at(from === 'source' ? atSource : from, to === 'sink' ? atSink : to)
      this.links.set(at, { link, freeAtMs: 0 })
    }
  }

  between(from: number, to: number): FleetLink {
    return this.stateOf(from, to).link
  }

  /** When a message of that size has arrived; it waits until those before it have left. */
  send(from: number, to: number, nowMs: number, sizeBytes: number): number {
    const state = this.stateOf(from, to)
    const { link, freeAtMs } = state
    const sentMs = (freeAtMs > nowMs ? freeAtMs : nowMs) + sizeBytes / link.bytesPerMs
    state.freeAtMs = sentMs
    return sentMs + link.latencyMs
  }

  /**
   * When KV has arrived that left layer by layer while it was computed: nothing before the first layer was done, the last
   * layer's part not before all were. A machine sends one prompt after another, wherever to, and takes in one after
   * another; whichever of the two is longer at it sets the pace.
   */
  handOver(from: number, to: number, nowMs: number, computedInMs: number, tokens: number): number {
    const { handsOver, bytesPerMs, latencyMs } = this.between(from, to)
    const { layers, bytesPerToken, takenBytesPerToken = bytesPerToken } = handsOver!
    const firstMs = nowMs - (computedInMs * (layers - 1)) / layers
    const startMs = Math.max(firstMs, this.outAtMs[from]!, this.inAtMs[to]!)
    const endMs = (perToken: number): number => {
      const wholeMs = (tokens * perToken) / bytesPerMs
      return Math.max(startMs + wholeMs, nowMs + wholeMs / layers)
    }
    const sentMs = endMs(bytesPerToken)
    const takenMs = endMs(takenBytesPerToken)
    this.outAtMs[from] = sentMs
    this.inAtMs[to] = takenMs
    return Math.max(sentMs, takenMs) + latencyMs
  }

  private stateOf(from: number, to: number) {
    const state = this.links.get(this.at(from, to))
    if (state === undefined) {
      throw new Error(`A router chose the link from ${from} to ${to}, which is not there.`)
    }
    return state
  }

  private at(from: number, to: number): number {
    const last = this.stride - 1
    return (from === atSource ? last : from) * this.stride + (to === atSink ? last : to)
  }
}
