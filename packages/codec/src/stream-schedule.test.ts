import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CodecInputError } from './errors.ts'
import { compressionPays, forecastStream, type LayerTiming, plannedGoodput } from './stream-schedule.ts'

const times = fc.double({ min: 0, max: 100, noNaN: true })
const layers = fc.array(fc.record({ computeMs: times, transferMs: times }), { minLength: 1, maxLength: 20 })

/** The same stream event by event: a block starts when it exists and the link is free. */
function replay(all: readonly LayerTiming[]): number {
  let computed = 0
  let linkFree = 0
  for (const { computeMs, transferMs } of all) {
    computed += computeMs
    linkFree = Math.max(linkFree, computed) + transferMs
  }
  return linkFree
}

test('the formula is what a link does, event by event', () => {
  fc.assert(
    fc.property(layers, (all) => {
      const { finishMs, exposedMs } = forecastStream(all)
      expect(finishMs).toBeCloseTo(replay(all), 6)
      expect(exposedMs).toBeCloseTo(replay(all) - all.reduce((sum, layer) => sum + layer.computeMs, 0), 6)
    }),
  )
})

test('smaller blocks before the binding layer do not help; after it they do', () => {
  const all = [
    { computeMs: 10, transferMs: 2 },
    { computeMs: 10, transferMs: 25 },
    { computeMs: 10, transferMs: 12 },
  ]
  const forecast = forecastStream(all)
  expect(forecast).toEqual({ finishMs: 57, exposedMs: 27, bindingLayer: 1 })
  const without = (index: number) =>
    forecastStream(all.map((l, i) => (i === index ? { ...l, transferMs: 0 } : l)))
  expect(without(0).finishMs).toBe(57)
  expect(without(2).finishMs).toBe(45)
})

test('on a fast link a slow codec does not pay, on a slow one it does', () => {
  const rates = { encodeBytesPerSecond: 50e6, decodeBytesPerSecond: 100e6 }
  expect(compressionPays(5, 125e6, rates)).toBe(false)
  expect(compressionPays(5, 12.5e6, rates)).toBe(true)
  expect(compressionPays(1, 1, rates)).toBe(false)
})

test('goodput is planned below what was seen, nearer to the slow moments', () => {
  expect(plannedGoodput([10, 10])).toBeCloseTo(8)
  expect(plannedGoodput([5, 20])).toBeCloseTo(6.4)
})

test('times that cannot be are refused', () => {
  expect(() => forecastStream([])).toThrow(CodecInputError)
  expect(() => forecastStream([{ computeMs: -1, transferMs: 0 }])).toThrow(/Layer 0/)
  expect(() => plannedGoodput([0])).toThrow(CodecInputError)
  expect(() => compressionPays(0, 1, { encodeBytesPerSecond: 1, decodeBytesPerSecond: 1 })).toThrow(
    CodecInputError,
  )
})
