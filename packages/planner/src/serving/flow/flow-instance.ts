import type { LayerRange } from '@deos/domain'
import { ServingInstanceError } from '../errors.ts'

/** A machine that can hold consecutive layers. */
export interface FlowDevice {
  readonly name: string
  /** Devices of one kind have the same rates. */
  readonly kind: string
  /** `[n - 1]`: tokens/s through the device while it holds n layers; the length is the most layers that fit. */
  readonly tokensPerSecondByLayers: readonly number[]
}

/** What a link carries in one direction. Devices are indices; requests enter at the source and leave at the sink. */
export interface FlowLink {
  readonly from: number | 'source'
  readonly to: number | 'sink'
  readonly tokensPerSecond: number
}

/**
 * Where tokens may flow. A device feeds another only where the other's first layer is its own end, so each token
 * visits every layer once (Helix without partial inference, arXiv 2406.01566, section 4).
 */
export interface FlowInstance {
  readonly layers: number
  readonly devices: readonly FlowDevice[]
  readonly links: readonly FlowLink[]
}

/** Layers of each device, in the order of the instance's devices; null holds nothing. */
export type FlowPlacement = readonly (LayerRange | null)[]

/** @throws ServingInstanceError that names the field */
export function checkFlowInstance(instance: FlowInstance): void {
  const { layers, devices, links } = instance
  if (!Number.isInteger(layers) || layers < 1) {
    throw new ServingInstanceError('layers', layers, 'a whole number from 1')
  }
  for (const [index, device] of devices.entries()) {
    if (device.tokensPerSecondByLayers.length === 0) {
      throw new ServingInstanceError(
        `devices[${index}].tokensPerSecondByLayers`,
        'empty',
        'a rate for one layer at least',
      )
    }
    for (const [at, rate] of device.tokensPerSecondByLayers.entries()) {
      if (!(rate > 0) || !Number.isFinite(rate)) {
        throw new ServingInstanceError(
          `devices[${index}].tokensPerSecondByLayers[${at}]`,
          rate,
          'a positive number of tokens/s',
        )
      }
    }
  }
  const isDevice = (end: number | string) =>
    typeof end === 'number' && Number.isInteger(end) && end >= 0 && end < devices.length
  for (const [index, { from, to, tokensPerSecond }] of links.entries()) {
    if (from !== 'source' && !isDevice(from)) {
      throw new ServingInstanceError(`links[${index}].from`, from, `"source" or 0 to ${devices.length - 1}`)
    }
    if (to !== 'sink' && !isDevice(to)) {
      throw new ServingInstanceError(`links[${index}].to`, to, `"sink" or 0 to ${devices.length - 1}`)
    }
    if (!(tokensPerSecond >= 0)) {
      throw new ServingInstanceError(
        `links[${index}].tokensPerSecond`,
        tokensPerSecond,
        'a number that is not negative',
      )
    }
  }
}

/** @throws ServingInstanceError if a range does not lie in the model or does not fit its device */
export function checkFlowPlacement(instance: FlowInstance, placement: FlowPlacement): void {
  if (placement.length !== instance.devices.length) {
    throw new ServingInstanceError('placement.length', placement.length, `${instance.devices.length} entries`)
  }
  for (const [index, range] of placement.entries()) {
    if (range === null) continue
    const most = instance.devices[index]!.tokensPerSecondByLayers.length
    const { first, end } = range
    if (!Number.isInteger(first) || !Number.isInteger(end) || first < 0 || end > instance.layers) {
      throw new ServingInstanceError(
        `placement[${index}]`,
        `[${first}, ${end})`,
        `layers within [0, ${instance.layers})`,
      )
    }
    if (end <= first || end - first > most) {
      throw new ServingInstanceError(`placement[${index}]`, `[${first}, ${end})`, `1 to ${most} layers`)
    }
  }
}
