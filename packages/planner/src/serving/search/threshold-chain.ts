import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'

/**
 * The best single pipeline over devices in the given order: every device holds as many layers as it can at a pace all
 * reach. The pace is the highest for which the layers suffice; the last devices may stay empty.
 *
 * @param order - indices of devices
 */
export function thresholdChain(instance: FlowInstance, order: readonly number[]): FlowPlacement | null {
  const { devices, layers } = instance
  const most = (device: number, pace: number) => {
    const rates = devices[device]!.tokensPerSecondByLayers
    for (let count = Math.min(rates.length, layers); count > 0; count -= 1) {
      if (rates[count - 1]! >= pace) return count
    }
    return 0
  }
  const paces = [...new Set(order.flatMap((device) => devices[device]!.tokensPerSecondByLayers))].sort(
    (a, b) => b - a,
  )
  const pace = paces.find((each) => order.reduce((sum, device) => sum + most(device, each), 0) >= layers)
  if (pace === undefined) return null
  const placement: ({ first: number; end: number } | null)[] = devices.map(() => null)
  let first = 0
  for (const device of order) {
    const rates = devices[device]!.tokensPerSecondByLayers
    let count = Math.min(most(device, pace), layers - first)
    while (count > 0 && rates[count - 1]! < pace) count -= 1
    if (count > 0) placement[device] = { first, end: first + count }
    first += count
  }
  return first === layers ? placement : null
}
