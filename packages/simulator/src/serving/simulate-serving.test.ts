import { seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ChanceRouter,
  type FleetLink,
  FlowRouter,
  LayerTimes,
  type ServingFleet,
  type StageMachine,
  SwarmRouter,
  simulateServing,
} from '../index.ts'

/** 1 ms for a layer and prompt token, 2 ms for a layer and decode step of any size. */
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

function machine(first: number, end: number, kvTokens = 1e6): StageMachine {
  const limits = { promptRequests: 4, promptTokens: 4000, decodeRequests: 100, decodeContext: 1e6 }
  return { name: `${first}-${end}`, layers: { first, end }, times, kvTokens, limits, inputMsPerToken: 0 }
}

/** All machines linked; 10 bytes/ms, 5 ms; 10 bytes of activations and none for token ids. */
function fleet(...machines: readonly StageMachine[]): ServingFleet {
  const link = { bytesPerMs: 10, latencyMs: 5 }
  const links: FleetLink[] = machines.flatMap((_, from) => [
    { from: 'source' as const, to: from, ...link },
    { from, to: 'sink' as const, ...link },
    ...machines.flatMap((__, to) => (from === to ? [] : [{ from, to, ...link }])),
  ])
  const layers = Math.max(...machines.map((each) => each.layers.end))
  return { layers, machines, links, activationBytes: 10, tokenBytes: 0 }
}

const hour = { fromMs: 0, toMs: 3_600_000 }

describe('simulateServing()', () => {
  test('one request over two stages takes what a hand calculation says', () => {
    const stages = fleet(machine(0, 1), machine(1, 2))
    const { promptMs, decodeMs, finishedRequests } = simulateServing({
      fleet: stages,
      router: new ChanceRouter(stages, seededRandom(1)),
      workload: { kind: 'open', arrivals: [{ atMs: 0, promptTokens: 10, outputTokens: 3 }] },
      window: hour,
    })
    // Prompt: 5 to get in, 10 ms on each stage, 10 x 10 bytes at 10 a ms and 5 between, 5 out.
    expect([...promptMs]).toEqual([5 + 10 + 15 + 10 + 5])
    // Step: 5, then 1 ms doubled (a batch of one), 1 ms and 5 between, 2, 5 out.
    expect([...decodeMs]).toEqual([20, 20, 20])
    expect(finishedRequests).toBe(1)
  })

  test('what shares a link goes one after the other', () => {
    const stages = fleet(machine(0, 1), machine(1, 2))
    const one = { atMs: 0, promptTokens: 10, outputTokens: 1 }
    const { promptMs } = simulateServing({
      fleet: stages,
      router: new ChanceRouter(stages, seededRandom(1)),
      workload: { kind: 'open', arrivals: [one, one] },
      window: hour,
    })
    // The first is computed alone, the second after it; the link is free again by then.
    expect([...promptMs]).toEqual([45, 55])
  })

  test('a prompt waits until the KV cache has room', () => {
    const stages = fleet(machine(0, 1, 15))
    const one = { atMs: 0, promptTokens: 10, outputTokens: 2 }
    const { promptMs, kvPeak } = simulateServing({
      fleet: stages,
      router: new ChanceRouter(stages, seededRandom(1)),
      workload: { kind: 'open', arrivals: [one, one] },
      window: hour,
    })
    // The second starts when the first has left: 20 for its prompt, 2 x 12 for its steps.
    expect([...promptMs]).toEqual([20, 44 + 10 + 5])
    expect(kvPeak).toEqual([12 / 15])
  })

  test('the flow router divides prompts after the flow', () => {
    const stages = fleet(machine(0, 1), machine(0, 1))
    const flow = [0, 1].flatMap((at) => [
      { from: 'source' as const, to: at, tokensPerSecond: at === 0 ? 300 : 100 },
      { from: at, to: 'sink' as const, tokensPerSecond: at === 0 ? 300 : 100 },
    ])
    const options = { flow, kvMost: 1, expectedOutputTokens: 0, mayTurnAway: true }
    const router = new FlowRouter(stages, options)
    const picked = Array.from({ length: 8 }, (_, id) => {
      const request = { id, promptTokens: 10, path: [] }
      router.admit(request)
      return router.next(request, -2)
    })
    expect(picked.filter((to) => to === 0)).toHaveLength(6)
  })

  test('the flow router turns away what has no room, and gives room back', () => {
    const stages = fleet(machine(0, 1, 100))
    const flow = [
      { from: 'source' as const, to: 0, tokensPerSecond: 1 },
      { from: 0, to: 'sink' as const, tokensPerSecond: 1 },
    ]
    const router = new FlowRouter(stages, { flow, kvMost: 0.9, expectedOutputTokens: 20, mayTurnAway: true })
    const request = { id: 1, promptTokens: 60, path: [0] }
    expect(router.admit({ ...request, path: [] })).toBe(true)
    expect(router.kvUsage()).toBeCloseTo(0.8)
    expect(router.admit({ id: 2, promptTokens: 20, path: [] })).toBe(false)
    router.finished(request)
    expect(router.admit({ id: 2, promptTokens: 20, path: [] })).toBe(true)
  })

  test('the SWARM router prefers who answers faster', () => {
    const stages = fleet(machine(0, 1), machine(0, 1))
    const router = new SwarmRouter(stages)
    router.served(-2, 0, 100)
    router.served(-2, 1, 400)
    const request = { id: 0, promptTokens: 1, path: [] }
    const picked = Array.from({ length: 50 }, () => router.next(request, -2))
    expect(picked.filter((to) => to === 0).length).toBeGreaterThan(35)
  })

  test('every request of an open workload ends, no cache keeps anything, and a run repeats itself', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), (seed) => {
        const random = seededRandom(seed)
        const arrivals = Array.from({ length: 60 }, () => ({
          atMs: random.next() * 5000,
          promptTokens: 1 + Math.floor(random.next() * 50),
          outputTokens: 1 + Math.floor(random.next() * 20),
        }))
        const stages = fleet(machine(0, 2, 400), machine(0, 2, 200), machine(2, 3, 500))
        const play = () =>
          simulateServing({
            fleet: stages,
            router: new SwarmRouter(stages),
            workload: { kind: 'open', arrivals },
            window: hour,
          })
        const result = play()
        const tokens = arrivals.reduce((sum, each) => sum + each.outputTokens, 0)
        expect(result.finishedRequests).toBe(arrivals.length)
        expect(result.decodeMs).toHaveLength(tokens)
        expect(result.decodeTokensPerSecond * 3600).toBeCloseTo(tokens, 3)
        expect(play()).toEqual(result)
      }),
      { numRuns: 20, seed: 9 },
    )
  })

  test.each([
    ['machines', () => ({ ...fleet(machine(0, 1)), machines: [] })],
    ['machines[0].kvTokens', () => fleet(machine(0, 1, 0))],
    [
      'machines[0].overheads.passMs',
      () => ({
        ...fleet(machine(0, 1)),
        machines: [{ ...machine(0, 1), overheads: { passMs: -1, stepLayerMs: 0 } }],
      }),
    ],
    ['machines[0].layers', () => ({ ...fleet(machine(1, 2)), layers: 1 })],
    [
      'links[0].to',
      () => ({
        ...fleet(machine(0, 1)),
        links: [{ from: 'source' as const, to: 9, bytesPerMs: 1, latencyMs: 0 }],
      }),
    ],
  ])('refuses a fleet with wrong %s', (field, build) => {
    const wrong = build()
    const router = new ChanceRouter(fleet(machine(0, 1)), seededRandom(1))
    expect(() =>
      simulateServing({ fleet: wrong, router, workload: { kind: 'open', arrivals: [] }, window: hour }),
    ).toThrow(field)
  })
})

describe('batching', () => {
  const play = (batching: 'mixed' | 'promptsFirst') => {
    const stages = { ...fleet(machine(0, 1)), batching }
    return simulateServing({
      fleet: stages,
      router: new ChanceRouter(stages, seededRandom(1)),
      workload: {
        kind: 'open',
        arrivals: [
          { atMs: 0, promptTokens: 10, outputTokens: 1 },
          { atMs: 18, promptTokens: 40, outputTokens: 1 },
          { atMs: 21, promptTokens: 20, outputTokens: 1 },
        ],
      },
      window: hour,
    })
  }

  test('mixed: a decode step shares a pass with prompts and ends with it', () => {
    // First prompt: 5, 10, 5 out. Its step is back at 25, while the second prompt computes from 23 to 63.
    // Then the third prompt and the step in one pass of 20 + 2.
    const { promptMs, decodeMs } = play('mixed')
    expect([...promptMs]).toEqual([20, 50, 64 + 5])
    expect(decodeMs[decodeMs.length - 1]).toBe(85 + 5 - 20)
  })

  test('promptsFirst: prompts go on before the steps that waited with them', () => {
    const { promptMs, decodeMs } = play('promptsFirst')
    expect([...promptMs]).toEqual([20, 50, 62 + 5])
    expect(decodeMs[decodeMs.length - 1]).toBe(85 + 5 - 20)
  })

  test('overheads of the host are added to each pass', () => {
    const plain = fleet(machine(0, 2))
    const slow = {
      ...plain,
      machines: plain.machines.map((each) => ({ ...each, overheads: { passMs: 3, stepLayerMs: 0.5 } })),
    }
    const run = (stages: ServingFleet) =>
      simulateServing({
        fleet: stages,
        router: new ChanceRouter(stages, seededRandom(1)),
        workload: { kind: 'open', arrivals: [{ atMs: 0, promptTokens: 10, outputTokens: 2 }] },
        window: hour,
      })
    expect(run(slow).promptMs[0]! - run(plain).promptMs[0]!).toBeCloseTo(3)
    expect(run(slow).decodeMs[0]! - run(plain).decodeMs[0]!).toBeCloseTo(3 + 2 * 0.5)
  })
})

test('waves: requests are let in only when the account has fallen, and then until it is full again', () => {
  const stages = fleet(machine(0, 1, 1000))
  const flow = [
    { from: 'source' as const, to: 0, tokensPerSecond: 1 },
    { from: 0, to: 'sink' as const, tokensPerSecond: 1 },
  ]
  const router = new FlowRouter(stages, { flow, kvMost: 1, expectedOutputTokens: 0, mayTurnAway: true })
  const usage: number[] = []
  const admit = router.admit.bind(router)
  router.admit = (request) => {
    usage.push(router.kvUsage())
    return admit(request)
  }
  const { kvPeak } = simulateServing({
    fleet: stages,
    router,
    workload: {
      kind: 'closed',
      draw: () => ({ promptTokens: 100, outputTokens: 5 }),
      initial: 3,
      gapMs: 1,
      refill: { by: 'waves', kvLeast: 0.25, kvMost: 0.75 },
    },
    window: { fromMs: 0, toMs: 5000 },
  })
  // Each wave begins at 0.2, or empty at first, and its last request comes while the account is at 0.7.
  expect(usage.slice(0, 8).map((each) => Math.round(each * 10))).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  const starts = usage.filter((each, at) => at > 0 && each < usage[at - 1]!)
  expect(starts.length).toBeGreaterThan(2)
  expect(Math.max(...starts)).toBeLessThanOrEqual(0.25)
  expect(kvPeak[0]).toBeLessThanOrEqual(1)
})
