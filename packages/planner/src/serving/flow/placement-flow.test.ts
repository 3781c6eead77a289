import { describe, expect, test } from 'vitest'
import { fullyLinked, plainDevice } from '../testing.ts'
import { flowBounds } from './flow-bounds.ts'
import { flowOfPlacement } from './placement-flow.ts'

const two = [plainDevice('a', 1000, 4, 0), plainDevice('a', 1000, 4, 1), plainDevice('b', 600, 4, 2)]

describe('flowOfPlacement()', () => {
  test('a pipeline is as fast as its slowest stage', () => {
    const found = flowOfPlacement(fullyLinked(4, two), [{ first: 0, end: 2 }, { first: 2, end: 4 }, null])
    expect(found.tokensPerSecond).toBe(500)
    expect(found.bottleneckDevices).toEqual([0])
  })

  test('devices with the same layers add up', () => {
    const found = flowOfPlacement(fullyLinked(4, two), [
      { first: 0, end: 2 },
      { first: 2, end: 4 },
      { first: 2, end: 4 },
    ])
    expect(found.tokensPerSecond).toBe(500)
    const turned = flowOfPlacement(fullyLinked(2, two), [
      { first: 1, end: 2 },
      { first: 0, end: 1 },
      { first: 0, end: 1 },
    ])
    expect(turned.tokensPerSecond).toBe(1000)
    const slow = flowOfPlacement(fullyLinked(2, two), [
      { first: 0, end: 2 },
      { first: 0, end: 2 },
      { first: 0, end: 2 },
    ])
    expect(slow.tokensPerSecond).toBe(1300)
    expect(slow.routes.find(({ from }) => from === 2)).toEqual({ from: 2, to: 'sink', tokensPerSecond: 300 })
  })

  test('a device does not feed one whose layers do not begin at its end', () => {
    const found = flowOfPlacement(fullyLinked(4, two), [{ first: 0, end: 2 }, { first: 1, end: 4 }, null])
    expect(found.tokensPerSecond).toBe(0)
  })

  test('a slow link binds and is named', () => {
    const fleet = fullyLinked(4, two)
    const links = fleet.links.map((link) =>
      link.from === 0 && link.to === 1 ? { ...link, tokensPerSecond: 70 } : link,
    )
    const found = flowOfPlacement({ ...fleet, links }, [{ first: 0, end: 2 }, { first: 2, end: 4 }, null])
    expect(found.tokensPerSecond).toBe(70)
    expect(found.bottleneckLinks).toEqual([{ from: 0, to: 1, tokensPerSecond: 70 }])
  })

  test.each([
    ['placement[0]', [{ first: 0, end: 5 }, null, null]],
    ['placement[1]', [null, { first: 2, end: 2 }, null]],
    ['placement.length', [null]],
  ])('refuses a wrong %s', (field, placement) => {
    expect(() => flowOfPlacement(fullyLinked(4, two), placement)).toThrow(field)
  })

  test('refuses a rate or a link that cannot be', () => {
    const broken = [{ ...two[0]!, tokensPerSecondByLayers: [10, -1] }]
    expect(() => flowOfPlacement(fullyLinked(4, broken), [null])).toThrow(
      'devices[0].tokensPerSecondByLayers[1] is -1.',
    )
    const fleet = { ...fullyLinked(4, two), links: [{ from: 7, to: 0, tokensPerSecond: 1 }] }
    expect(() => flowOfPlacement(fleet, [null, null, null])).toThrow('links[0].from is 7.')
  })
})

test('flowBounds(): four equal devices of 1000/n over 8 layers pass 500 tokens/s at most', () => {
  const devices = Array.from({ length: 4 }, (_, index) => plainDevice('a', 1000, 4, index))
  const { computeSum, best } = flowBounds(fullyLinked(8, devices))
  expect(computeSum).toBeCloseTo(500)
  expect(best).toBeCloseTo(500)
})

test('flowBounds(): a device that is faster than the pipeline does not count in full', () => {
  // One fast device with room for one layer of two, one slow device: the slow one sets the pace.
  const devices = [plainDevice('fast', 10_000, 1, 0), plainDevice('slow', 100, 1, 1)]
  const { computeSum, layerWork } = flowBounds(fullyLinked(2, devices))
  expect(computeSum).toBe(5050)
  expect(layerWork).toBeCloseTo(100)
})
