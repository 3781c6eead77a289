import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  equalSplit,
  type FlowInstance,
  type FlowPlacement,
  flowOfPlacement,
  petalsPlacement,
  searchPlacement,
  separatePipelines,
  swarmPlacement,
} from '../index.ts'
import { fullyLinked, plainDevice, randomInstance } from '../testing.ts'

const fleets = fc.integer({ min: 1, max: 2 ** 31 }).map((seed) => randomInstance(seededRandom(seed), 8))

/** Best flow of all placements, for fleets small enough to try them. */
function exhaustive(instance: FlowInstance, placement: FlowPlacement = []): number {
  const device = instance.devices[placement.length]
  if (device === undefined) return flowOfPlacement(instance, placement).tokensPerSecond
  let best = exhaustive(instance, [...placement, null])
  for (let first = 0; first < instance.layers; first += 1) {
    for (let end = first + 1; end <= instance.layers; end += 1) {
      if (end - first > device.tokensPerSecondByLayers.length) break
      best = Math.max(best, exhaustive(instance, [...placement, { first, end }]))
    }
  }
  return best
}

function search(instance: FlowInstance, evaluations = 20_000) {
  return searchPlacement(instance, { evaluations, random: seededRandom(1) })
}

describe('searchPlacement()', () => {
  test('never worse than the best baseline, never above the bound, and its flow is that of its placement', () => {
    fc.assert(
      fc.property(fleets, (fleet) => {
        const found = search(fleet, 4000)
        const baselines = [equalSplit, petalsPlacement, separatePipelines, swarmPlacement]
          .map((baseline) => baseline(fleet))
          .filter((placement) => placement !== null)
          .map((placement) => flowOfPlacement(fleet, placement).tokensPerSecond)
        expect(found.tokensPerSecond).toBeGreaterThanOrEqual(Math.max(...baselines) * (1 - 1e-9))
        expect(found.tokensPerSecond).toBeLessThanOrEqual(found.upperBound * (1 + 1e-9))
        expect(flowOfPlacement(fleet, found.placement).tokensPerSecond).toBeCloseTo(found.tokensPerSecond, 6)
      }),
      { numRuns: 15, seed: 7 },
    )
  })

  test('finds what trying every placement finds, and a device more never makes that worse', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 3 })), {
          minLength: 2,
          maxLength: 4,
        }),
        (shapes) => {
          const devices = shapes.map(([speed, most], index) =>
            plainDevice(`k${speed}-${most}`, speed * 100, most, index),
          )
          const best = exhaustive(fullyLinked(4, devices))
          expect(search(fullyLinked(4, devices)).tokensPerSecond).toBeCloseTo(best, 6)
          expect(best).toBeGreaterThanOrEqual(exhaustive(fullyLinked(4, devices.slice(1))))
        },
      ),
      { numRuns: 12, seed: 3 },
    )
  })

  test('finds the optimum for any order of the devices', () => {
    const devices = [900, 700, 300, 200].map((speed, index) => plainDevice(`k${speed}`, speed, 3, index))
    const turned = [devices[2]!, devices[0]!, devices[3]!, devices[1]!]
    expect(search(fullyLinked(5, turned)).tokensPerSecond).toBeCloseTo(
      search(fullyLinked(5, devices)).tokensPerSecond,
      6,
    )
  })

  test('one seed and budget give one placement', () => {
    const fleet = randomInstance(seededRandom(11), 8)
    expect(search(fleet)).toEqual(search(fleet))
  })

  test('fans out where one slow link does not bear the flow', () => {
    // Left: two devices for layers 0-1. Right: three with slow links from the left; two of them share layer 2.
    const devices = [plainDevice('a', 1000, 1, 0), plainDevice('a', 1000, 1, 1)].concat(
      [2, 3, 4].map((index) => plainDevice('b', 1000, 1, index)),
    )
    const full = fullyLinked(4, devices)
    const side = (device: number | string) => (typeof device === 'number' ? device < 2 : null)
    const links = full.links.map((link) =>
      side(link.from) !== null && side(link.to) !== null && side(link.from) !== side(link.to)
        ? { ...link, tokensPerSecond: 400 }
        : link,
    )
    expect(search({ ...full, links }).tokensPerSecond).toBeCloseTo(800)
  })

  test('ends when it is told to', () => {
    const fleet = fullyLinked(
      9,
      [300, 290, 170, 160, 70].map((speed, at) => plainDevice(`k${at}`, speed, 5, at)),
    )
    const found = searchPlacement(fleet, {
      evaluations: 1e9,
      random: seededRandom(1),
      shouldStop: () => true,
    })
    expect(found.evaluations).toBeLessThan(20_000)
  })
})
