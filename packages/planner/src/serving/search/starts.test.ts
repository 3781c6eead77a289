import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type FlowInstance,
  type FlowPlacement,
  flowOfPlacement,
  replanPlacement,
  searchPlacement,
} from '../index.ts'
import { fullyLinked, plainDevice, randomInstance } from '../testing.ts'
import { parallelBlocks } from './parallel-blocks.ts'
import { pipelineGroups } from './pipeline-groups.ts'

const fleets = fc.integer({ min: 1, max: 2 ** 31 }).map((seed) => randomInstance(seededRandom(seed), 10))
const flow = (instance: FlowInstance, placement: FlowPlacement) =>
  flowOfPlacement(instance, placement).tokensPerSecond

/** The same fleet with its devices listed in reverse, under their names. */
function reversed({ layers, devices, links }: FlowInstance): FlowInstance {
  const turn = (end: number) => devices.length - 1 - end
  return {
    layers,
    devices: [...devices].reverse(),
    links: links.map(({ from, to, tokensPerSecond }) => ({
      from: from === 'source' ? from : turn(from),
      to: to === 'sink' ? to : turn(to),
      tokensPerSecond,
    })),
  }
}

test('no device is given more layers than fit it, and layers only of the model', () => {
  fc.assert(
    fc.property(fleets, (fleet) => {
      const random = seededRandom(3)
      const placements = [
        searchPlacement(fleet, { evaluations: 2000, random }).placement,
        pipelineGroups(fleet, { generations: 200, random }),
        parallelBlocks(fleet, 1e6, { moves: 300, random }),
      ]
      for (const placement of placements) {
        for (const [device, range] of (placement ?? []).entries()) {
          if (range === null) continue
          expect(range.end - range.first).toBeLessThanOrEqual(
            fleet.devices[device]!.tokensPerSecondByLayers.length,
          )
          expect(range.first).toBeGreaterThanOrEqual(0)
          expect(range.end).toBeLessThanOrEqual(fleet.layers)
        }
      }
    }),
    { numRuns: 15, seed: 2 },
  )
})

test('every route of a placement visits each layer once', () => {
  fc.assert(
    fc.property(fleets, (fleet) => {
      const { placement } = searchPlacement(fleet, { evaluations: 2000, random: seededRandom(1) })
      for (const { from, to } of flowOfPlacement(fleet, placement).routes) {
        const end = from === 'source' ? 0 : placement[from]!.end
        expect(to === 'sink' ? fleet.layers : placement[to]!.first).toBe(end)
      }
    }),
    { numRuns: 15, seed: 3 },
  )
})

test('the order in which devices are listed changes nothing', () => {
  fc.assert(
    fc.property(fleets, (fleet) => {
      const search = (instance: FlowInstance) =>
        searchPlacement(instance, { evaluations: 2000, random: seededRandom(1) })
      const one = search(fleet)
      const other = search(reversed(fleet))
      expect(other.placement).toEqual([...one.placement].reverse())
      expect(other.tokensPerSecond).toBeCloseTo(one.tokensPerSecond, 6)
    }),
    { numRuns: 15, seed: 4 },
  )
})

test('pipelineGroups(): two pipelines of unlike devices where each kind alone has none', () => {
  const devices = [3, 3, 2, 2].map((most, at) =>
    plainDevice(at < 2 ? 'a' : 'b', at < 2 ? 300 : 200, most, at),
  )
  const fleet = fullyLinked(5, devices)
  const placement = pipelineGroups(fleet, { generations: 300, random: seededRandom(1) })!
  // Three layers at 100 and two at 100, twice.
  expect(flow(fleet, placement)).toBeCloseTo(200)
})

test('parallelBlocks(): side by side where alone is too slow', () => {
  // At a flow of 200 each a holds one layer, and the two b hold two layers together: four in all.
  const devices = [
    plainDevice('a', 200, 1, 0),
    plainDevice('a', 200, 1, 1),
    plainDevice('b', 200, 2, 2),
    plainDevice('b', 200, 2, 3),
  ]
  const fleet = fullyLinked(4, devices)
  const placement = parallelBlocks(fleet, 250, { moves: 2000, random: seededRandom(1) })!
  expect(flow(fleet, placement)).toBeCloseTo(200, 0)
  expect(parallelBlocks(fullyLinked(40, devices), 250, { moves: 200, random: seededRandom(1) })).toBeNull()
})

describe('replanPlacement()', () => {
  const spare = [0, 1, 2].map((at) => plainDevice('a', 400, 2, at))
  const fleet = fullyLinked(4, spare)

  test('what was lost goes to a device that holds nothing, and only that is loaded', () => {
    const previous = [{ first: 0, end: 2 }, null, null]
    const found = replanPlacement(fleet, previous, { evaluations: 500, random: seededRandom(1) })
    expect(found.tokensPerSecond).toBeCloseTo(200)
    expect(found.loadedLayers).toBe(2)
    expect(found.placement[0]).toEqual({ first: 0, end: 2 })
  })

  test('nothing is loaded where nothing is better', () => {
    const previous = [{ first: 0, end: 2 }, { first: 2, end: 4 }, null]
    const found = replanPlacement(fleet, previous, { evaluations: 500, random: seededRandom(1) })
    expect(found.loadedLayers).toBe(0)
    expect(found.placement).toEqual(previous)
  })

  test('refuses a placement of another fleet', () => {
    expect(() => replanPlacement(fleet, [null], { evaluations: 10, random: seededRandom(1) })).toThrow(
      'placement.length',
    )
  })
})
