import type { DeviceBenchmark, DeviceInventory, MachineBenchmark, MachineInventory } from '@deos/domain'
import { checkCount } from './field-checks.ts'
import { invalidField } from './fleet-error.ts'

/** What hardware of these years can do, with room: beyond it the measurement is wrong or made up. */
interface Plausible {
  readonly min: number
  readonly max: number
  readonly unit: string
}

/** From a slow disk's or phone's memory to 12 times the 8 TB/s of a B200; a socket's memory reaches about 2 TB/s. */
const weightReads: Readonly<Record<DeviceInventory['kind'], Plausible>> = {
  cpu: { min: 1e6, max: 4e12, unit: 'bytes/s' },
  gpu: { min: 1e6, max: 1e14, unit: 'bytes/s' },
}
/** A B200 multiplies and adds about 1e16 times a second in FP4; a socket about 1e14 in INT8. */
const products: Readonly<Record<DeviceInventory['kind'], Plausible>> = {
  cpu: { min: 1e6, max: 1e15, unit: 'operations/s' },
  gpu: { min: 1e6, max: 1e17, unit: 'operations/s' },
}
/** From one USB lane to four times NVLink-C2C's 900 GB/s. */
const hostTransfers: Plausible = { min: 1e6, max: 4e12, unit: 'bytes/s' }
/** Files may come from the page cache, which is memory. */
const diskReads: Plausible = { min: 1e4, max: 4e12, unit: 'bytes/s' }

const MAX_WEIGHT_TYPES = 64

/**
 * The same with nothing but the known fields, in a fixed order. Says nothing about whether its numbers can be true.
 *
 * @throws FleetError if it is not a benchmark of this hardware
 */
export function checkBenchmark(benchmark: MachineBenchmark, inventory: MachineInventory): MachineBenchmark {
  const { devices, diskReadBytesPerSecond } = benchmark
  checkCount('benchmark.devices', devices.length, 1, inventory.devices.length)
  const known = inventory.devices.map(({ name }) => name)
  for (const [index, { device, flopsPerSecond }] of devices.entries()) {
    const field = `benchmark.devices[${index}]`
    const first = devices.findIndex((other) => other.device === device)
    if (first !== index) throw invalidField(`${field}.device`, device, 'a device measured only once')
    if (!known.includes(device)) {
      throw invalidField(
        `${field}.device`,
        device,
        `a device of the machine's inventory: ${known.join(', ')}`,
      )
    }
    const types = Object.keys(flopsPerSecond)
    checkCount(`${field}.flopsPerSecond`, types.length, 1, MAX_WEIGHT_TYPES)
    for (const type of types) {
      if (/^[A-Za-z][A-Za-z0-9_]{0,15}$/.test(type)) continue
      throw invalidField(`${field}.flopsPerSecond`, type, 'keyed by weight types such as Q8_0')
    }
  }
  return { devices: devices.map(normalDevice), diskReadBytesPerSecond }
}

const normalDevice = (measured: DeviceBenchmark): DeviceBenchmark => ({
  device: measured.device,
  weightBytesPerSecond: measured.weightBytesPerSecond,
  flopsPerSecond: Object.fromEntries(
    Object.entries(measured.flopsPerSecond).sort(([a], [b]) => (a < b ? -1 : 1)),
  ),
  hostBytesPerSecond: measured.hostBytesPerSecond,
})

/**
 * What cannot be true of a checked benchmark, with the numbers; empty if all of it can.
 */
export function implausibilities(
  benchmark: MachineBenchmark,
  inventory: MachineInventory,
): readonly string[] {
  const found = benchmark.devices.flatMap((measured) => {
    const { device, weightBytesPerSecond, flopsPerSecond, hostBytesPerSecond } = measured
    const { kind } = inventory.devices.find(({ name }) => name === device)!
    return [
      ...outside(`${device} reads weights at`, weightBytesPerSecond, weightReads[kind]),
      ...Object.entries(flopsPerSecond).flatMap(([type, flops]) =>
        outside(`${device} multiplies ${type} at`, flops, products[kind]),
      ),
      ...(hostBytesPerSecond === null
        ? []
        : outside(`${device} exchanges data with the host at`, hostBytesPerSecond, hostTransfers)),
    ]
  })
  return [...found, ...outside('The disk reads at', benchmark.diskReadBytesPerSecond, diskReads)]
}

function outside(what: string, value: number, { min, max, unit }: Plausible): readonly string[] {
  if (value >= min && value <= max) return []
  const number = Number.isFinite(value) ? Number(value.toPrecision(3)).toExponential() : String(value)
  return [`${what} ${number} ${unit}, which is not within ${min.toExponential()} to ${max.toExponential()}`]
}
