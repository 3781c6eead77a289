import { type DeviceNetwork, symmetricNetwork } from '../network.ts'

/** Delays in ms, as the authors count them one way, and Gbit/s between AWS regions. */
export interface RegionLink {
  readonly a: string
  readonly b: string
  readonly delayMs: number
  readonly gbps: number
}

const devices = 64
const link = (delayMs: number, gbps: number) => ({ delayS: delayMs / 1e3, bytesPerS: (gbps * 1e9) / 8 })

/** Eight machines of eight, 100 Gbit/s inside and 3.125 between. */
export const dataCentre = (): DeviceNetwork =>
  symmetricNetwork(devices, (a, b) => link(0, a >> 3 === b >> 3 ? 100 : 3.125))

/** Eight machines of four and 32 of one. */
export const spotInstances = (): DeviceNetwork =>
  symmetricNetwork(devices, (a, b) => link(0, a < 32 && a >> 2 === b >> 2 ? 100 : 1.25))

/** 32 devices in Ohio and 32 in Virginia. */
export const universities = (): DeviceNetwork =>
  symmetricNetwork(devices, (a, b) => (a < 32 === b < 32 ? link(1, 5) : link(11, 1.12)))

const insideRegion = { delayMs: 5, gbps: 2 }

/**
 * Equally many of 64 devices in each region.
 *
 * @param inside - the link between two devices of one region; the authors' figures by default
 */
export function regions(
  names: readonly string[],
  links: readonly RegionLink[],
  inside = insideRegion,
): DeviceNetwork {
  const each = devices / names.length
  return symmetricNetwork(devices, (from, to) => {
    const [a, b] = [names[Math.floor(from / each)], names[Math.floor(to / each)]]
    if (a === b) return link(inside.delayMs, inside.gbps)
    const found = links.find((pair) => (pair.a === a && pair.b === b) || (pair.a === b && pair.b === a))
    if (found === undefined) throw new RangeError(`There is no link between ${a} and ${b}.`)
    return link(found.delayMs, found.gbps)
  })
}

export const fourRegions = ['Virginia', 'Oregon', 'California', 'Ohio'] as const
export const eightCities = [
  'Oregon',
  'Virginia',
  'Ohio',
  'Tokyo',
  'Seoul',
  'London',
  'Frankfurt',
  'Ireland',
] as const
