import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ChanceRouter,
  LayerTimes,
  type Outage,
  type ServingFleet,
  type ServingResult,
  simulateServing,
} from '../index.ts'
import { type ReplicaRoute, ReplicaRouter } from '../plans/replica-router.ts'

/** 1 ms for a prompt token, 2 ms for a step of any size. */
const times = new LayerTimes(
  {
    prompt: [
      [0, 0],
      [100, 100],
    ],
    decode: [
      [0, 0],
      [1, 1],
      [2, 2],
      [1000, 2],
    ],
  },
  { promptTokens: 4000, decodeTokens: 100 },
)
const limits = { promptRequests: 4, promptTokens: 4000, decodeRequests: 100, decodeContext: 1e6 }
const stage = (first: number) => ({
  ...{
    name: `s${first}`,
    layers: { first, end: first + 1 },
    times,
    kvTokens: 1e5,
    limits,
    inputMsPerToken: 0,
  },
})
const link = { bytesPerMs: Number.POSITIVE_INFINITY, latencyMs: 1 }
/** Two replicas of two stages. */
const fleet: ServingFleet = {
  ...{ layers: 2, activationBytes: 10, tokenBytes: 0 },
  machines: [stage(0), stage(1), stage(0), stage(1)],
  links: [0, 2].flatMap((at) => [
    { from: 'source' as const, to: at, ...link },
    { from: at, to: at + 1, ...link },
    { from: at + 1, to: 'sink' as const, ...link },
  ]),
}
const routes = [
  { path: [0, 1], share: 1, role: 'together' as const },
  { path: [2, 3], share: 1, role: 'together' as const },
]
/** The first two compute prompts, the others answer; each holds the whole model. */
const byRole = (batching: 'mixed' | 'chunked'): ServingFleet => ({
  ...{ layers: 1, activationBytes: 10, tokenBytes: 0, batching },
  machines: [stage(0), stage(0), stage(0), stage(0)].map((machine) => ({
    ...machine,
    limits: { ...limits, promptTokens: batching === 'chunked' ? 20 : 4000 },
  })),
  links: [
    ...[0, 1, 2, 3].map((to) => ({ from: 'source' as const, to, ...link })),
    ...[0, 1].flatMap((from) =>
      [2, 3].map((to) => ({
        from,
        to,
        bytesPerMs: 5,
        latencyMs: 2,
        handsOver: { bytesPerToken: 4, layers: 1 },
      })),
    ),
    ...[2, 3].map((from) => ({ from, to: 'sink' as const, ...link })),
  ],
})
const rolesOf = (machines: readonly number[]) => {
  const at = (machine: number) => machines.indexOf(machine)
  const handsTo = [at(2), at(3)].filter((index) => index >= 0)
  return machines.map((machine) =>
    machine < 2
      ? { path: [machine], share: 1, role: 'prefill' as const, handsTo }
      : { path: [machine], share: 1, role: 'decode' as const },
  )
}
const never = Number.POSITIVE_INFINITY
type Arrivals = readonly { atMs: number; promptTokens: number; outputTokens: number }[]
const play = (
  arrivals: Arrivals,
  outages: readonly Outage[],
  used: readonly ReplicaRoute[] = routes,
  played = fleet,
): ServingResult =>
  simulateServing({
    ...{ fleet: played, outages, router: new ReplicaRouter(used) },
    workload: { kind: 'open', arrivals },
    window: { fromMs: 0, toMs: 3_600_000 },
  })

const one = { atMs: 0, promptTokens: 10, outputTokens: 20 }

describe('outages', () => {
  test('a request goes on elsewhere, with what it has as its prompt, and waits no longer than that', () => {
    const whole = play([one], [])
    // Its prompt takes 1 + 10 + 1 + 10 + 1 ms, and each step 7: the fourth is under way.
    const result = play([one], [{ machine: 1, fromMs: 23 + 3 * 7 + 3, toMs: never }])
    expect(result).toMatchObject({ finishedRequests: 1, restarted: 1, turnedAway: 0 })
    expect([...result.promptMs]).toEqual([...whole.promptMs])
    expect(result.decodeMs).toHaveLength(20)
    // 3 ms of the step that was lost, and a prompt of 10 tokens and 4: the first and three steps.
    expect(result.decodeMs.at(-1)).toBeCloseTo(3 + 1 + 14 + 1 + 14 + 1, 9)
  })

  test('without another replica it waits until the machine is back', () => {
    const outage = { machine: 0, fromMs: 5, toMs: 1000 }
    const result = play([one], [outage], routes.slice(0, 1))
    expect(result).toMatchObject({ finishedRequests: 1, restarted: 1 })
    expect(result.promptMs[0]).toBeCloseTo(1000 + 23, 9)
    expect(play([one], [{ ...outage, toMs: never }], routes.slice(0, 1))).toMatchObject({
      ...{ finishedRequests: 0, turnedAway: 1 },
    })
  })

  test('where prompts are computed apart, those who have no one to answer wait', () => {
    const outage = { machine: 2, fromMs: 5, toMs: 1000 }
    const roles = rolesOf([0, 2])
    const result = play([one], [outage], roles, byRole('mixed'))
    expect(result).toMatchObject({ finishedRequests: 1, turnedAway: 0 })
    expect(result.promptMs[0]).toBeGreaterThan(1000)
    expect(play([one], [{ ...outage, toMs: never }], roles, byRole('mixed'))).toMatchObject({
      ...{ finishedRequests: 0, turnedAway: 1 },
    })
  })

  test.each([
    ['stages in a row', fleet, routes],
    ['prompts computed apart', byRole('mixed'), rolesOf([0, 1, 2, 3])],
    ['prompts computed apart, in chunks', byRole('chunked'), rolesOf([0, 1, 2, 3])],
  ])(
    '%s: whatever is lost, every request gets all its tokens once, and caches are empty afterwards',
    (_, played, used) => {
      const arrival = fc.record({
        atMs: fc.integer({ min: 0, max: 500 }),
        promptTokens: fc.integer({ min: 1, max: 50 }),
        outputTokens: fc.integer({ min: 1, max: 20 }),
      })
      const outage = fc.record({
        machine: fc.integer({ min: 0, max: 3 }),
        fromMs: fc.integer({ min: 0, max: 600 }),
        lastsMs: fc.integer({ min: 1, max: 300 }),
      })
      fc.assert(
        fc.property(
          fc.array(arrival, { minLength: 1, maxLength: 12 }),
          fc.uniqueArray(outage, { maxLength: 4, selector: ({ machine }) => machine }),
          (arrivals, drawn) => {
            const outages = drawn.map(({ machine, fromMs, lastsMs }) => ({
              ...{ machine, fromMs, toMs: fromMs + lastsMs },
            }))
            const result = play(arrivals, outages, used, played)
            expect(result.finishedRequests).toBe(arrivals.length)
            expect(result.promptMs).toHaveLength(arrivals.length)
            expect(result.decodeMs).toHaveLength(arrivals.reduce((sum, each) => sum + each.outputTokens, 0))
            expect(result.kvHeld).toEqual([0, 0, 0, 0])
            expect(play(arrivals, outages, used, played)).toEqual(result)
          },
        ),
        { numRuns: 200 },
      )
    },
  )

  test('what cannot be is refused', () => {
    const outage = { machine: 0, fromMs: 0, toMs: 10 }
    expect(() => play([one], [{ ...outage, machine: 9 }])).toThrow(/outages\[0\]\.machine/)
    expect(() => play([one], [{ ...outage, toMs: 0 }])).toThrow(/outages\[0\]/)
    expect(() => play([one], [outage, { ...outage, fromMs: 5 }])).toThrow(/outages\[1\]/)
    expect(() =>
      simulateServing({
        ...{ fleet, outages: [outage], router: new ChanceRouter(fleet, seededRandom(1)) },
        workload: { kind: 'open', arrivals: [one] },
        window: { fromMs: 0, toMs: 100 },
      }),
    ).toThrow(/router/)
  })
})
