import { checkFlowInstance, type FlowInstance } from './flow-instance.ts'

/** Of sums of doubles, so that a bound that is exactly reached is not missed. */
const rounding = 1e-9

/** Ceilings on the flow of any placement, tokens/s. */
export interface FlowBounds {
  /** All devices at their most productive layer count, nothing lost: Helix's bound. */
  readonly computeSum: number
  /** The largest flow F for which the devices have work enough: see {@link flowBounds}. */
  readonly layerWork: number
  /** The lower of them. */
  readonly best: number
}

/**
 * Proven ceilings. `layerWork`: a flow F crosses every layer once, so F x layers is the sum over devices of their layer
 * count times what they carry; a device holding k layers carries at most min(rate(k), F). F is therefore possible only
 * if the sum over devices of max over k of k x min(rate(k), F) reaches F x layers. That fails for good above the value
 * returned, for each term divided by F falls as F grows.
 */
export function flowBounds(instance: FlowInstance): FlowBounds {
  checkFlowInstance(instance)
  const { devices, layers } = instance
  const work = (flow: number) => {
    let total = 0
    for (const { tokensPerSecondByLayers: rates } of devices) {
      let most = 0
      for (let count = 1; count <= rates.length && count <= layers; count += 1) {
        most = Math.max(most, count * Math.min(rates[count - 1]!, flow))
      }
      total += most
    }
    return total
  }
  const isPossible = (flow: number) => work(flow) >= flow * layers * (1 - rounding)
  const computeSum = work(Number.POSITIVE_INFINITY) / layers
  let possible = 0
  let impossible = computeSum * (1 + 2 * rounding)
  for (let round = 0; round < 100; round += 1) {
    const middle = (possible + impossible) / 2
    if (isPossible(middle)) possible = middle
    else impossible = middle
  }
  return { computeSum, layerWork: impossible, best: Math.min(computeSum, impossible) }
}
