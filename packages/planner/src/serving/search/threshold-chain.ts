import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'

/**
 * The best single pipeline over devices in the given order: every device holds as many layers as it can at a pace all
 * reach. The pace is the highest for which the layers suffice; the last devices may stay empty.
 *
 * @param order - indices of devices
 */
export function thresholdChain(instance: FlowInstance, order: readonly number[]): FlowPlacement | null {
  return threshold(instance, order)?.placement ?? null
}

/** {@link thresholdChain} with its pace. */
export function threshold(
  instance: FlowInstance,
  order: readonly number[],
): { readonly pace: number; readonly placement: FlowPlacement } | null {
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
  // A lower pace never leaves a device fewer layers, so the first that suffices can be found by halving.
  const suffices = (each: number) => {
    let held = 0
    for (const device of order) held += most(device, each)
    return held >= layers
  }
  let low = 0
  let high = paces.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (suffices(paces[middle]!)) high = middle
    else low = middle + 1
  }
  const pace = paces[low]
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
  return first === layers ? { pace, placement } : null
}
