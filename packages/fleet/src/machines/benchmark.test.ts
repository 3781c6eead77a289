import { bytesPerSecond, type DeviceBenchmark, type MachineBenchmark } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkBenchmark, implausibilities } from './benchmark.ts'
import { benchmark, inventory } from './testing/test-fleet.ts'

const [cpu, gpu] = benchmark.devices as [DeviceBenchmark, DeviceBenchmark]
const withGpu = (changes: Partial<DeviceBenchmark>): MachineBenchmark => ({
  ...benchmark,
  devices: [cpu, { ...gpu, ...changes }],
})

test('hardware from a single-board computer to an H200 is plausible', () => {
  expect(implausibilities(benchmark, inventory)).toEqual([])
  // 4.8 TB/s of HBM3e and about 2e15 multiplications and additions in FP8 are the maker's figures.
  const h200 = { weightBytesPerSecond: bytesPerSecond(4.8e12), flopsPerSecond: { F16: 1e15, FP8: 2e15 } }
  expect(implausibilities(withGpu(h200), inventory)).toEqual([])
  const slow = { weightBytesPerSecond: bytesPerSecond(2e9), flopsPerSecond: { F16: 5e9 } }
  expect(implausibilities(withGpu(slow), inventory)).toEqual([])
})

test.each([
  [withGpu({ weightBytesPerSecond: bytesPerSecond(Number.NaN) }), 'CUDA0 reads weights at NaN'],
  [withGpu({ weightBytesPerSecond: bytesPerSecond(0) }), 'CUDA0 reads weights at 0e+0'],
  [withGpu({ weightBytesPerSecond: bytesPerSecond(3e15) }), 'CUDA0 reads weights at 3e+15'],
  [withGpu({ flopsPerSecond: { F16: 1e13, Q8_0: -1 } }), 'CUDA0 multiplies Q8_0 at -1e+0'],
  [withGpu({ flopsPerSecond: { F16: Number.POSITIVE_INFINITY } }), 'CUDA0 multiplies F16 at Infinity'],
  [withGpu({ hostBytesPerSecond: bytesPerSecond(1e14) }), 'CUDA0 exchanges data with the host at 1e+14'],
  [{ ...benchmark, diskReadBytesPerSecond: bytesPerSecond(-1) }, 'The disk reads at -1e+0'],
  [{ ...benchmark, devices: [{ ...cpu, weightBytesPerSecond: bytesPerSecond(9e12) }] }, 'CPU reads weights'],
])('what cannot be is named with its number (case %#)', (measured, problem) => {
  const problems = implausibilities(measured, inventory)
  expect(problems).toHaveLength(1)
  expect(problems[0]).toContain(problem)
})

test.each([
  ['devices.length', { ...benchmark, devices: [] }],
  ['devices[1].device', { ...benchmark, devices: [cpu, cpu] }],
  ['devices[1].device', withGpu({ device: 'CUDA1' })],
  ['devices[1].flopsPerSecond', withGpu({ flopsPerSecond: {} })],
  ['devices[1].flopsPerSecond', withGpu({ flopsPerSecond: { '<b>': 1e9 } })],
])('a benchmark of something else is refused: %s', (field, measured) => {
  expect(() => checkBenchmark(measured, inventory)).toThrow(`benchmark.${field}`)
})

test('a checked benchmark has only known fields, in one order', () => {
  const flopsPerSecond = { Q8_0: 3e11, F16: 2e11 }
  const odd = { ...benchmark, devices: [{ ...cpu, flopsPerSecond, extra: 1 }, gpu], note: 'hello' }
  expect(JSON.stringify(checkBenchmark(odd, inventory))).toBe(JSON.stringify(benchmark))
})

test('whatever is plausible survives JSON', () => {
  const figure = fc.oneof(fc.double(), fc.double({ min: 1, max: 1e18 })).map(bytesPerSecond)
  fc.assert(
    fc.property(figure, figure, figure, fc.option(figure), (weights, flops, disk, host) => {
      const measured = checkBenchmark(
        {
          devices: [
            {
              ...gpu,
              weightBytesPerSecond: weights,
              flopsPerSecond: { F16: flops },
              hostBytesPerSecond: host,
            },
          ],
          diskReadBytesPerSecond: disk,
        },
        inventory,
      )
      if (implausibilities(measured, inventory).length > 0) return
      expect(JSON.parse(JSON.stringify(measured))).toEqual(measured)
      expect(Math.min(weights, flops, disk, host ?? 1)).toBeGreaterThan(0)
    }),
  )
})
