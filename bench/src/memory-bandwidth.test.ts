import { expect, test } from 'vitest'
import { measureMemoryBandwidth, scanThreadLimit } from './memory-bandwidth.ts'

test('bandwidth is positive and the buffer is split among the threads', async () => {
  const measured = await measureMemoryBandwidth({ threads: 2, runs: 1, bufferBytes: 2 ** 20 + 1 })
  expect(measured).toMatchObject({ threads: 2, bufferBytes: 2 ** 20 })
  expect(measured.bytesPerSecond).toBeGreaterThan(0)
})

test('more threads than can run at once are refused', async () => {
  await expect(measureMemoryBandwidth({ threads: scanThreadLimit() + 1 })).rejects.toThrow(
    'UV_THREADPOOL_SIZE',
  )
})
