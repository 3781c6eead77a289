import { expect, test } from 'vitest'
import { geometricMean, requestFigures, summarizeScenario } from './comparison.ts'

const load = (requestsPerSecond: number) => ({
  ...{ requests: 10, requestsPerSecond, p50Ms: 1000 / requestsPerSecond, p99Ms: 2000 / requestsPerSecond },
})
const round = (deos: number, portkey: number) => ({ deos: load(deos), portkey: load(portkey) })
const measured = [
  {
    scenario: { connections: 1, stream: false, tokens: 1 },
    rounds: [round(400, 100), round(100, 100)],
    noPeer: null,
  },
  {
    scenario: { connections: 32, stream: true, tokens: 16 },
    rounds: [round(100, 100), round(400, 100)],
    noPeer: null,
  },
]

test('a scenario that is four times as fast and one that is as fast make it twice as fast', () => {
  expect(geometricMean([4, 1])).toBeCloseTo(2)
  const [all, ...each] = requestFigures(measured)
  expect(all).toMatchObject({ id: 'gateway.requests.vsPortkey', n: 2, bar: 1, pass: true })
  expect(all!.value).toBeCloseTo(2)
  expect(all!.spread).toBeCloseTo(0)
  expect(each.map(({ id, value }) => [id, value])).toEqual([
    ['gateway.requests.vsPortkey.c1.whole.tokens1', 2.5],
    ['gateway.requests.vsPortkey.c32.stream.tokens16', 2.5],
  ])
})

test('without a peer the same figures are skipped with the reason', () => {
  const alone = measured.map(({ scenario }) => ({
    scenario,
    rounds: [{ deos: load(1), portkey: null }],
    noPeer: 'not installed',
  }))
  const figures = requestFigures(alone)
  expect(figures.map(({ id }) => id)).toEqual(requestFigures(measured).map(({ id }) => id))
  expect(figures.every(({ value, reason }) => value === null && reason === 'not installed')).toBe(true)
  expect(summarizeScenario(alone[0]!).portkey).toBeNull()
})

test('the middle of the rounds is told', () => {
  expect(summarizeScenario(measured[0]!)).toMatchObject({
    deos: { requestsPerSecond: 250 },
    portkey: { requestsPerSecond: 100, p50Ms: 10, p99Ms: 20 },
  })
})

test('a scenario that the peer cannot do is skipped and does not count', () => {
  const partly = [
    measured[0]!,
    { ...measured[1]!, rounds: [{ deos: load(1), portkey: null }], noPeer: 'no streams' },
  ]
  const [all, first, second] = requestFigures(partly)
  expect(all).toMatchObject({ value: 2.5, n: 2 })
  expect(first!.value).toBe(2.5)
  expect(second).toMatchObject({ value: null, reason: 'no streams' })
})
