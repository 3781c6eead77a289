import type { FlowInstance } from '../flow/flow-instance.ts'

/**
 * The same fleet with nothing to gain from shallow stages: with fewer layers than the given share of what fits, a device
 * is no faster than with that share. A search over it finds placements with fewer hops, which cost latency that the flow
 * does not count.
 *
 * @param share - 0 leaves the fleet as it is; 1 asks for full devices
 */
export function deeperStages(instance: FlowInstance, share: number): FlowInstance {
  return {
    ...instance,
    devices: instance.devices.map((device) => {
      const rates = device.tokensPerSecondByLayers
      const least = Math.min(rates.length, Math.max(1, Math.ceil(rates.length * share)))
      return {
        ...device,
        tokensPerSecondByLayers: rates.map((rate) => Math.min(rate, rates[least - 1]!)),
      }
    }),
  }
}
