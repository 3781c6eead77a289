import type { DeviceInventory, MachineInventory, MachineLocation } from '@deos/domain'
import { checkCount, checkInteger, checkOptionalText, checkText } from './field-checks.ts'
import { invalidField } from './fleet-error.ts'

const MAX_DEVICES = 64
const MAX_CORES = 4_096
/** Operating systems differ a little in what they count as memory from start to start. */
const MEMORY_TOLERANCE = 1 / 64

export function checkLocation({ region, provider }: MachineLocation): MachineLocation {
  return {
    region: checkText('location.region', region, 64),
    provider: checkText('location.provider', provider, 64),
  }
}

/**
 * The same with nothing but the known fields, in a fixed order.
 *
 * @throws FleetError naming the first field that makes no sense
 */
export function checkInventory(inventory: MachineInventory): MachineInventory {
  const { hostname, platform, architecture, cpuModel, cpuCores, memoryBytes, diskFreeBytes } = inventory
  checkCount('inventory.devices', inventory.devices.length, 1, MAX_DEVICES)
  const devices = inventory.devices.map((device, index) => checkDevice(`inventory.devices[${index}]`, device))
  const names = devices.map(({ name }) => name)
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) === index) continue
    throw invalidField(`inventory.devices[${index}].name`, name, 'a name that no device before it has')
  }
  return {
    hostname: checkText('inventory.hostname', hostname, 253),
    platform: checkText('inventory.platform', platform, 32),
    architecture: checkText('inventory.architecture', architecture, 32),
    cpuModel: checkOptionalText('inventory.cpuModel', cpuModel, 200),
    cpuCores: checkInteger('inventory.cpuCores', cpuCores, 1, MAX_CORES),
    memoryBytes: checkInteger('inventory.memoryBytes', memoryBytes, 1, Number.MAX_SAFE_INTEGER),
    diskFreeBytes: checkInteger('inventory.diskFreeBytes', diskFreeBytes, 0, Number.MAX_SAFE_INTEGER),
    devices,
  }
}

function checkDevice(
  field: string,
  { name, description, kind, memoryBytes }: DeviceInventory,
): DeviceInventory {
  if (kind !== 'cpu' && kind !== 'gpu') throw invalidField(`${field}.kind`, kind, 'cpu or gpu')
  return {
    name: checkText(`${field}.name`, name, 64),
    description: checkOptionalText(`${field}.description`, description, 200),
    kind,
    memoryBytes: checkInteger(`${field}.memoryBytes`, memoryBytes, 1, Number.MAX_SAFE_INTEGER),
  }
}

/** Whether what was measured on one may be believed of the other. Disk space and names come and go. */
export function sameHardware(a: MachineInventory, b: MachineInventory): boolean {
  return (
    a.platform === b.platform &&
    a.architecture === b.architecture &&
    a.cpuModel === b.cpuModel &&
    a.cpuCores === b.cpuCores &&
    aboutEqual(a.memoryBytes, b.memoryBytes) &&
    a.devices.length === b.devices.length &&
    a.devices.every((device) => b.devices.some((other) => sameDevice(device, other)))
  )
}

const sameDevice = (a: DeviceInventory, b: DeviceInventory): boolean =>
  a.name === b.name &&
  a.description === b.description &&
  a.kind === b.kind &&
  aboutEqual(a.memoryBytes, b.memoryBytes)

const aboutEqual = (a: number, b: number): boolean => Math.abs(a - b) <= Math.max(a, b) * MEMORY_TOLERANCE

/** Both as {@link checkInventory} returned them, perhaps by way of JSON. */
export const sameReport = <T>(a: T | null, b: T): boolean => JSON.stringify(a) === JSON.stringify(b)
