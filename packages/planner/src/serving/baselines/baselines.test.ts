import { expect, test } from 'vitest'
import { fullyLinked, plainDevice } from '../testing.ts'
import { equalSplit } from './equal-split.ts'
import { petalsPlacement } from './petals.ts'
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
