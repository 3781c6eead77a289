import { expect, test } from 'vitest'
import { MemoryScan, scanThreadLimit } from './memory-bandwidth.ts'

test('bandwidth is positive and the buffer is split among the threads', async () => {
  const scan = new MemoryScan({ threads: 2, bufferBytes: 2 ** 20 + 1 })
  try {
    expect(scan).toMatchObject({ threads: 2, bufferBytes: 2 ** 20 })
    expect(await scan.best(2)).toBeGreaterThan(0)
  } finally {
    scan.close()
  }
})

test('more threads than can run at once are refused', () => {
  expect(() => new MemoryScan({ threads: scanThreadLimit() + 1 })).toThrow('UV_THREADPOOL_SIZE')
})
