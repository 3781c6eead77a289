import { TrainingRequestError } from './errors.ts'

/** Times between every two devices; entry `from · devices + to`. */
export interface DeviceNetwork {
  readonly devices: number
  /** One way. */
  readonly delayS: Float64Array
  readonly bytesPerS: Float64Array
}

/** @param linkOf - one way from one device to another; asked for pairs in one order only, for links are symmetric */
export function symmetricNetwork(
  devices: number,
  linkOf: (from: number, to: number) => { readonly delayS: number; readonly bytesPerS: number },
): DeviceNetwork {
  const delayS = new Float64Array(devices * devices)
  const bytesPerS = new Float64Array(devices * devices).fill(Number.POSITIVE_INFINITY)
  for (let from = 0; from < devices; from += 1) {
    for (let to = from + 1; to < devices; to += 1) {
      const link = linkOf(from, to)
      if (!(link.delayS >= 0)) {
        throw new TrainingRequestError(`links[${from}][${to}].delayS`, link.delayS, 'seconds from 0')
      }
      if (!(link.bytesPerS > 0)) {
        throw new TrainingRequestError(
          `links[${from}][${to}].bytesPerS`,
          link.bytesPerS,
          'bytes a second above 0',
        )
      }
      for (const pair of [from * devices + to, to * devices + from]) {
        delayS[pair] = link.delayS
        bytesPerS[pair] = link.bytesPerS
      }
    }
  }
  return { devices, delayS, bytesPerS }
}

export function transferS(network: DeviceNetwork, from: number, to: number, bytes: number): number {
  const pair = from * network.devices + to
  return network.delayS[pair]! + bytes / network.bytesPerS[pair]!
}
