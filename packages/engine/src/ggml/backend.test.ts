import { expect, test } from 'vitest'
import { Backend, listDevices, UnknownDeviceError } from './backend.ts'

test('the CPU is always among the devices, with its memory', () => {
  const cpu = listDevices().find((device) => device.kind === 'cpu')
  expect(cpu?.name).toBe('CPU')
  expect(cpu?.memoryTotal).toBeGreaterThan(2 ** 28)
})

test('an unknown device is refused with the names that exist', () => {
  expect(() => Backend.open({ deviceName: 'CUDA99', threads: 1 })).toThrow(UnknownDeviceError)
  try {
    Backend.open({ deviceName: 'CUDA99', threads: 1 })
  } catch (error) {
    expect((error as UnknownDeviceError).hint).toContain('CPU')
  }
})

test.each([0, -1, 1.5, 100_000])('%d threads are refused', (threads) => {
  expect(() => Backend.open({ threads })).toThrow(RangeError)
})

test('a backend with several threads opens and closes', () => {
  const backend = Backend.open({ threads: 2 })
  expect(backend.isHost).toBe(true)
  expect(backend.repackingBufferTypes.length).toBeGreaterThan(0)
  backend.close()
})
