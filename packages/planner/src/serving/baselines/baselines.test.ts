import { seededRandom } from '@deos/domain'
import { expect, test } from 'vitest'
import { flowOfPlacement } from '../flow/placement-flow.ts'
import { fullyLinked, plainDevice } from '../testing.ts'
import { equalSplit } from './equal-split.ts'
import { hexgenPlacement } from './hexgen.ts'
import { parallaxPlacement, waterFill } from './parallax.ts'
import { parallaxRoute } from './parallax-route.ts'
import { petalsPlacement } from './petals.ts'
import { petalsRoute } from './petals-route.ts'
import { separatePipelines } from './separate-pipelines.ts'
import { swarmStages } from './swarm.ts'

const at = (first: number, end: number) => ({ first, end })

test('petalsPlacement(): each joins where the layers are served worst', () => {
  const devices = [plainDevice('a', 300, 3), plainDevice('b', 200, 2), plainDevice('c', 90, 3)]
  // a takes 0-3; b the first two untouched layers; c's three: layer 5 is empty, 3 and 4 have 100 each as 0-2 have.
  expect(petalsPlacement(fullyLinked(6, devices))).toEqual([at(0, 3), at(3, 5), at(3, 6)])
})

test('swarmStages(): the fastest left joins the slowest stage', () => {
  const devices = [plainDevice('a', 100, 2), plainDevice('b', 300, 2), plainDevice('c', 250, 2)]
  // Fastest first: b opens stage 0, c stage 1 (the emptier), a joins stage 1, which is slower.
  expect(swarmStages(fullyLinked(4, devices), 2)).toEqual([at(2, 4), at(0, 2), at(2, 4)])
  expect(swarmStages(fullyLinked(5, devices), 2)).toBeNull()
})

test('separatePipelines(): one kind never feeds another', () => {
  const devices = [
    plainDevice('a', 100, 3, 0),
    plainDevice('b', 100, 2, 0),
    plainDevice('a', 100, 3, 1),
    plainDevice('b', 100, 2, 1),
  ]
  expect(separatePipelines(fullyLinked(5, devices))).toEqual([at(0, 3), null, at(3, 5), null])
})

test('equalSplit(): equal stages in order, whole pipelines only', () => {
  const devices = [0, 1, 2, 3, 4].map((index) => plainDevice('a', 100, 3, index))
  expect(equalSplit(fullyLinked(6, devices))).toEqual([at(0, 3), at(3, 6), at(0, 3), at(3, 6), null])
  expect(equalSplit(fullyLinked(60, devices))).toBeNull()
})

test('parallaxPlacement(): two pipelines where greed would build one', () => {
  // The example of its authors: 40, 40, 20, 20, 10, 10 for 70 layers give (40, 20, 10) twice.
  const devices = [40, 40, 20, 20, 10, 10].map((most, index) => plainDevice('a', most, most, index))
  // Speeds are proportional to the room, so layers are the room itself.
  expect(parallaxPlacement(fullyLinked(70, devices))).toEqual([
    at(0, 40),
    at(0, 40),
    at(40, 60),
    at(40, 60),
    at(60, 70),
    at(60, 70),
  ])
})

test('parallaxPlacement(): k^2 / s(k) decides, and what is left joins where least is held', () => {
  // One pipeline of one stage: 1. Two of (4) and (2, 2): 4 / 3. The fifth device is too small for a third.
  const devices = [4, 2, 2, 1].map((most, index) => plainDevice('a', 100, most, index))
  const placement = parallaxPlacement(fullyLinked(4, devices))!
  expect(placement.slice(0, 3)).toEqual([at(0, 4), at(0, 2), at(2, 4)])
  expect(placement[3]).toEqual(at(0, 1))
  expect(parallaxPlacement(fullyLinked(40, devices))).toBeNull()
})

test('waterFill(): proportional to speed, capped by room, largest remainders first', () => {
  // Level 3: 6, 3 and 1 of 10; the cap of 1 sends the rest to the others, 2 : 1 of 9.
  expect(waterFill([10, 10, 1], [2, 1, 1], 10)).toEqual([6, 3, 1])
  expect(waterFill([10, 10], [1, 1], 5)).toEqual([3, 2])
})

test('petalsRoute(): time of the chain, entered in the middle, left at the end', () => {
  const servers = [
    { layers: at(0, 4), msPerLayer: 10 },
    { layers: at(2, 6), msPerLayer: 5 },
    { layers: at(0, 6), msPerLayer: 30 },
  ]
  const options = { roundTripMs: () => 20, clientRoundTripMs: () => 40 }
  // 20 + 18 + 4 x 10, then 10 + 18 + layers 4 and 5 at 5, and 20 back: 136. The third alone: 20 + 18 + 180 + 20.
  expect(petalsRoute(6, servers, options)).toEqual({
    hops: [
      { server: 0, first: 0, end: 4 },
      { server: 1, first: 4, end: 6 },
    ],
    ms: 136,
  })
})

test('petalsRoute(): a full cache costs ten seconds, an unknown way 150 ms, a missing layer everything', () => {
  const servers = [
    { layers: at(0, 2), msPerLayer: 1, cacheTokensLeft: 399 },
    { layers: at(0, 2), msPerLayer: 50, cacheTokensLeft: 400 },
  ]
  const unknown = { roundTripMs: () => undefined, clientRoundTripMs: () => undefined }
  expect(petalsRoute(2, servers, unknown)?.ms).toBe(150 + 18 + 2 + 150)
  expect(petalsRoute(2, servers, { ...unknown, cacheTokens: 100 })).toEqual({
    hops: [{ server: 1, first: 0, end: 2 }],
    ms: 150 + 18 + 100 + 150,
  })
  expect(petalsRoute(3, servers, unknown)).toBeNull()
})

test('parallaxRoute(): the chain that is fastest now', () => {
  const placement = [at(0, 2), at(0, 2), at(2, 5), null]
  const slow = (busy: number) => (device: number) => (device === busy ? 30 : 10)
  // Two layers at 10, a round trip of 5, three at 10.
  const costs = { msPerLayer: slow(0), roundTripMs: () => 5 }
  expect(parallaxRoute(5, placement, costs)).toEqual({ devices: [1, 2], ms: 55 })
  expect(parallaxRoute(5, placement, { ...costs, msPerLayer: slow(1) })?.devices).toEqual([0, 2])
  expect(parallaxRoute(5, placement, { ...costs, roundTripMs: () => undefined })).toBeNull()
})

test('hexgenPlacement(): groups of their own, each as fast as its slowest stage', () => {
  const devices = [
    plainDevice('a', 400, 4, 0),
    plainDevice('b', 100, 2, 1),
    plainDevice('b', 100, 2, 2),
    plainDevice('a', 400, 4, 3),
  ]
  // Both of kind a hold the model alone, at 100; the two others halve it, at 50.
  const fleet = fullyLinked(4, devices)
  const placement = hexgenPlacement(fleet, { generations: 300, random: seededRandom(1) })!
  expect(flowOfPlacement(fleet, placement).tokensPerSecond).toBeCloseTo(250)
  expect(hexgenPlacement(fullyLinked(40, devices), { generations: 5, random: seededRandom(1) })).toBeNull()
})
