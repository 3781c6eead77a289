import { seededRandom } from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { symmetricNetwork } from '../network.ts'
import * as cases from './cases.ts'
import { DtFmEvaluator } from './evaluator.ts'
import { searchDtFmGenetically } from './genetic.ts'
import { BottleneckMatching } from './matching.ts'
import { OpenPath } from './open-path.ts'
import { linksOfEightCities, linksOfFourRegions } from './region-links.ts'
import { searchDtFm, shuffled } from './search.ts'
import { checkTask, gpt3XlTask } from './task.ts'

const identity = Int32Array.from({ length: 64 }, (_, device) => device)
const published = [
  ['data centre', cases.dataCentre(), 16.981, 3.44],
  ['spot instances', cases.spotInstances(), 49.504, 49.504],
  ['universities', cases.universities(), 17.648, 16.087],
  ['four regions', cases.regions(cases.fourRegions, linksOfFourRegions), 39.241, 34.802],
  ['eight cities', cases.regions(cases.eightCities, linksOfEightCities), 59.437, 49.218],
] as const

describe('in the cost model of DT-FM', () => {
  test.each(published)('%s: devices in order cost what the authors find', (_, network, inOrder) => {
    expect(new DtFmEvaluator(gpt3XlTask(network)).cost(identity).totalS.toFixed(3)).toBe(inOrder.toFixed(3))
  })

  test.each(published)(
    '%s: a short search beats the order given and never the best known',
    (_, network, inOrder, best) => {
      const { cost } = searchDtFm(gpt3XlTask(network), { steps: 4000, restarts: 1, random: seededRandom(1) })
      expect(cost.totalS).toBeGreaterThan(best * 0.999)
      expect(cost.totalS).toBeLessThanOrEqual(inOrder * 1.0001)
    },
  )

  test('the pipelines of a plan cost what the plan says', () => {
    const task = gpt3XlTask(published[3][1])
    const { cost, pipelines } = searchDtFm(task, { steps: 500, restarts: 2, random: seededRandom(3) })
    const order = Int32Array.from(pipelines.flat())
    expect([...order].sort((a, b) => a - b)).toEqual([...identity])
    expect(new DtFmEvaluator(task).cost(order).totalS).toBeCloseTo(cost.totalS, 9)
    const { network, activationBytes } = task
    const hops = pipelines.slice(1).map((row, stage) => {
      const times = row.map((to, replica) => {
        const pair = pipelines[stage]![replica]! * 64 + to
        return network.delayS[pair]! + activationBytes / network.bytesPerS[pair]!
      })
      return Math.max(...times)
    })
    expect(2 * hops.reduce((sum, hop) => sum + hop, 0)).toBeCloseTo(cost.pipelineS, 9)
  })

  test('the genetic search ends with balanced groups that cost less than devices drawn by lot', () => {
    const task = gpt3XlTask(published[4][1])
    const { cost, pipelines } = searchDtFmGenetically(task, {
      population: 8,
      trials: 30,
      random: seededRandom(1),
    })
    const byLot = new DtFmEvaluator(task).cost(shuffled(identity, seededRandom(9))).totalS
    expect(pipelines.map((row) => row.length)).toEqual(new Array(8).fill(8))
    expect(pipelines.flat().toSorted((a, b) => a - b)).toEqual([...identity])
    expect(cost.totalS).toBeLessThan(byLot * 0.9)
    expect(cost.totalS).toBeGreaterThan(49.2)
  })

  test('the same seed finds the same plan', () => {
    const once = () =>
      searchDtFm(gpt3XlTask(published[4][1]), { steps: 300, restarts: 2, random: seededRandom(7) })
    expect(once()).toEqual(once())
  })

  test('stages and replicas must use every device', () => {
    expect(() => checkTask({ ...gpt3XlTask(published[0][1]), stages: 7 })).toThrow('7 × 8')
  })
})

test('matching and path are as good as trying everything', () => {
  const random = seededRandom(5)
  for (let round = 0; round < 50; round += 1) {
    const costs = Float64Array.from({ length: 25 }, () => Math.floor(random.next() * 9))
    const symmetric = costs.map((_, at) => costs[(at % 5) * 5 + Math.floor(at / 5)]! + costs[at]!)
    const orders = permutations([0, 1, 2, 3, 4])
    const worst = (order: readonly number[]) => Math.max(...order.map((to, from) => costs[from * 5 + to]!))
    const way = (order: readonly number[]) =>
      order.slice(1).reduce((sum, to, at) => sum + symmetric[order[at]! * 5 + to]!, 0)
    expect(new BottleneckMatching(5).solve(Int32Array.from(costs))).toBe(Math.min(...orders.map(worst)))
    const path = new OpenPath(5)
    expect(path.length(symmetric)).toBe(Math.min(...orders.map(way)))
    expect(way(path.path(symmetric))).toBe(path.length(symmetric))
  }
})

const permutations = (items: readonly number[]): readonly (readonly number[])[] =>
  items.length === 0
    ? [[]]
    : items.flatMap((item) =>
        permutations(items.filter((each) => each !== item)).map((rest) => [item, ...rest]),
      )

test('a network needs links that carry something', () => {
  expect(() => symmetricNetwork(2, () => ({ delayS: 0, bytesPerS: 0 }))).toThrow('bytesPerS is 0')
  expect(shuffled(identity, seededRandom(1))).not.toEqual(identity)
})
