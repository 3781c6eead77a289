import { expect, test } from 'vitest'
import { UnknownDeviceError } from '../ggml/backend.ts'
import { measureDevice } from './measure-device.ts'

const memoryBytes = 16 * 2 ** 20

test('a CPU has a rate for reading weights and one for each type, and no way to itself', async () => {
  const measured = await measureDevice({ device: 'CPU', threads: 1, memoryBytes })
  expect(Object.keys(measured.flopsPerSecond)).toEqual(['F16', 'Q8_0', 'Q4_K'])
  for (const rate of [measured.weightBytesPerSecond, ...Object.values(measured.flopsPerSecond)]) {
    expect(rate).toBeGreaterThan(1e6)
    expect(rate).toBeLessThan(1e16)
  }
  expect(measured.hostBytesPerSecond).toBeNull()
})

test('a device that is not there is named', async () => {
  await expect(measureDevice({ device: 'CUDA9', threads: 1, memoryBytes })).rejects.toThrow(
    UnknownDeviceError,
  )
})
