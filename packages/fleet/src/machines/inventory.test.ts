import { bytes, type DeviceInventory, type MachineInventory } from '@deos/domain'
import { expect, test } from 'vitest'
import { checkInventory, sameHardware } from './inventory.ts'
import { inventory } from './testing/test-fleet.ts'

const [cpu, gpu] = inventory.devices as [DeviceInventory, DeviceInventory]

test('a checked inventory has only known fields', () => {
  const odd = { ...inventory, secret: 'x', devices: [{ ...cpu, more: true }, gpu] }
  expect(JSON.stringify(checkInventory(odd))).toBe(JSON.stringify(inventory))
  expect(checkInventory({ ...inventory, cpuModel: '' }).cpuModel).toBe('')
})

const senseless: readonly (readonly [string, Partial<MachineInventory>])[] = [
  ['hostname', { hostname: '' }],
  ['platform', { platform: 'a\tb' }],
  ['cpuModel', { cpuModel: 'x'.repeat(201) }],
  ['cpuCores', { cpuCores: 0 }],
  ['cpuCores', { cpuCores: 2.5 }],
  ['memoryBytes', { memoryBytes: bytes(Number.NaN) }],
  ['memoryBytes', { memoryBytes: bytes(-1) }],
  ['diskFreeBytes', { diskFreeBytes: bytes(Number.POSITIVE_INFINITY) }],
  ['devices.length', { devices: [] }],
  ['devices.length', { devices: Array.from({ length: 65 }, (_, n) => ({ ...gpu, name: `CUDA${n}` })) }],
  ['devices[1].name', { devices: [cpu, cpu] }],
  ['devices[0].kind', { devices: [{ ...cpu, kind: 'tpu' as 'cpu' }] }],
  ['devices[0].memoryBytes', { devices: [{ ...cpu, memoryBytes: bytes(0) }] }],
]

test.each(senseless)('a senseless %s is refused by name', (field, changes) => {
  expect(() => checkInventory({ ...inventory, ...changes })).toThrow(`inventory.${field}`)
})

test.each([
  ['another name', { hostname: 'other' }, true],
  ['less disk', { diskFreeBytes: bytes(5) }, true],
  ['what a new kernel keeps for itself', { memoryBytes: bytes(63.6e9) }, true],
  ['devices in another order', { devices: [gpu, cpu] }, true],
  ['half the memory', { memoryBytes: bytes(32e9) }, false],
  ['a missing device', { devices: [cpu] }, false],
  ['another GPU of the same name', { devices: [cpu, { ...gpu, description: 'Better GPU' }] }, false],
  ['another processor', { cpuModel: 'Other CPU' }, false],
  ['fewer cores', { cpuCores: 4 }, false],
])('%s: whether it is the same hardware', (_, changes, same) => {
  expect(sameHardware(inventory, { ...inventory, ...changes })).toBe(same)
  expect(sameHardware({ ...inventory, ...changes }, inventory)).toBe(same)
})
