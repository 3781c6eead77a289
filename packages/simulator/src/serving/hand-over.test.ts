import { describe, expect, test } from 'vitest'
import { LayerTimes } from './layer-times.ts'
import { atSink, type Router } from './routing/router.ts'
import type { FleetLink, ServingFleet, StageMachine } from './serving-fleet.ts'
import { type RequestTimes, simulateServing } from './simulate-serving.ts'

/** A prompt of n tokens takes 4 + n ms; a step of one sequence 6 ms (a batch of one is charged double). */
const times = new LayerTimes(
  {
    prompt: [
      [0, 0],
      [1, 5],
      [200, 204],
    ],
    decode: [
      [0, 0],
      [1, 3],
      [4, 6],
    ],
  },
  { promptTokens: 200, decodeTokens: 4 },
)
const machine = (name: string, promptTokens: number, kvTokens = 1000): StageMachine => ({
  name,
  layers: { first: 0, end: 1 },
  times,
  kvTokens,
  limits: { promptRequests: 4, promptTokens, decodeRequests: 4, decodeContext: Number.POSITIVE_INFINITY },
  inputMsPerToken: 0,
})
const free = { bytesPerMs: Number.POSITIVE_INFINITY, latencyMs: 0 }
/** Each request to these machines in order. A path forgets what was handed over, so it is not counted by its length. */
function along(machines: readonly number[]): Router {
  const seen = new Map<number, number>()
  return {
    admit: () => true,
    next: ({ id }) => {
      const at = seen.get(id) ?? 0
      seen.set(id, at + 1)
      return machines[at] ?? atSink
    },
    stepBegins: () => {},
    served: () => {},
    finished: () => {},
    kvUsage: () => 0,
  }
}

function played(
  fleet: Omit<ServingFleet, 'layers' | 'activationBytes' | 'tokenBytes'>,
  router: Router,
  arrivals: readonly { atMs: number; promptTokens: number; outputTokens: number }[],
): readonly RequestTimes[] {
  const requests: RequestTimes[] = []
  const result = simulateServing({
    fleet: { layers: 1, activationBytes: 1, tokenBytes: 0, ...fleet },
    router,
    workload: { kind: 'open', arrivals },
    window: { fromMs: 0, toMs: 1e6 },
    gatherMs: 1e-6,
    onRequest: (request) => requests.push(request),
  })
  expect(result.finishedRequests).toBe(arrivals.length)
  return requests
}

const alone: readonly FleetLink[] = [
  { from: 'source', to: 0, ...free },
  { from: 0, to: 'sink', ...free },
]

describe('prompts in chunks', () => {
  test('take as long as the whole when nothing else is there', () => {
    const fleet = { machines: [machine('a', 10)], links: alone, batching: 'chunked' as const }
    const [request] = played(fleet, along([0]), [{ atMs: 0, promptTokens: 25, outputTokens: 2 }])
    // 14 + 10 + 5 ms, then two steps.
    expect(request!.promptedMs).toBeCloseTo(29, 4)
    expect(request!.endedMs).toBeCloseTo(41, 4)
  })

  test('share the reading of weights with the steps they join, and let no step wait for a whole prompt', () => {
    const fleet = { machines: [machine('a', 11)], links: alone, batching: 'chunked' as const }
    const requests = played(fleet, along([0]), [
      { atMs: 0, promptTokens: 1, outputTokens: 2 },
      { atMs: 6, promptTokens: 100, outputTokens: 1 },
    ])
    // Prompt 5 ms, a step 6 ms, then a step beside the first 10 tokens of the other: 14 + 6 - 5 ms.
    expect(requests[0]!.id).toBe(0)
    expect(requests[0]!.endedMs).toBeCloseTo(26, 4)
    // The other 90 tokens in passes of 11.
    expect(requests[1]!.promptedMs).toBeCloseTo(116, 4)
  })

  test('begin when the whole request has room, in the order in which they came', () => {
    const fleet = { machines: [machine('a', 100, 60)], links: alone, batching: 'chunked' as const }
    const requests = played(fleet, along([0]), [
      { atMs: 0, promptTokens: 30, outputTokens: 10 },
      { atMs: 1, promptTokens: 20, outputTokens: 1 },
      { atMs: 2, promptTokens: 1, outputTokens: 1 },
    ])
    expect(requests.map(({ id }) => id)).toEqual([0, 1, 2])
    // The last would fit beside the first, but does not pass the one before it.
    for (const { promptedMs } of requests.slice(1)) expect(promptedMs).toBeGreaterThan(requests[0]!.endedMs)
  })
})

describe('a prompt that is handed over', () => {
  const handed = (layers: number): readonly FleetLink[] => [
    { from: 'source', to: 0, ...free },
    { from: 'source', to: 1, ...free },
    { from: 0, to: 1, bytesPerMs: 100, latencyMs: 1, handsOver: { bytesPerToken: 100, layers } },
    { from: 1, to: 'sink', ...free },
  ]
  const request = { atMs: 0, promptTokens: 25, outputTokens: 2 }
  /** The machine that answers computes the prompt once more here, which is 29 ms. */
  const again = 29
  const fleet = (layers: number) => ({
    machines: [machine('prompts', 200), machine('answers', 200)],
    links: handed(layers),
  })

  test('arrives when its last byte has, and is answered where it went', () => {
    const [times] = played(fleet(1), along([0, 1]), [request])
    expect(times!.promptedMs).toBeCloseTo(29 + 25 + 1 + again, 4)
    expect(times!.endedMs).toBeCloseTo(29 + 25 + 1 + again + 12, 4)
  })

  test('leaves layer by layer while it is computed', () => {
    const [times] = played(fleet(5), along([0, 1]), [request])
    // The first of five layers is done after 5.8 ms; the last one takes 5 ms after the whole is computed.
    expect(times!.promptedMs).toBeCloseTo(29 + 5 + 1 + again, 4)
  })

  test('waits for the one before it on the way out', () => {
    const arrivals = [request, { ...request, atMs: 0.5 }]
    const slow = handed(1).map((link) => (link.handsOver === undefined ? link : { ...link, bytesPerMs: 10 }))
    const single = { ...machine('prompts', 200), limits: { ...machine('', 200).limits, promptRequests: 1 } }
    const machines = [single, machine('answers', 200)]
    const requests = played({ machines, links: slow }, along([0, 1]), arrivals)
    const prompted = requests.map(({ promptedMs }) => promptedMs).sort((a, b) => a - b)
    // 250 ms each on the way out, one after the other.
    expect(prompted[0]!).toBeCloseTo(29 + 250 + 1 + again, 4)
    expect(prompted[1]!).toBeCloseTo(29 + 500 + 1 + again, 4)
  })

  test('goes to several machines at once where its layers are divided among them', () => {
    const arrivals = [request, { ...request, atMs: 0.5 }]
    const single = { ...machine('prompts', 200), limits: { ...machine('', 200).limits, promptRequests: 1 } }
    const divided = (sent: number, taken: number) => {
      const links = handed(1).map((link) =>
        link.handsOver === undefined
          ? link
          : {
              ...link,
              bytesPerMs: 10,
              handsOver: { bytesPerToken: sent, takenBytesPerToken: taken, layers: 1 },
            },
      )
      const requests = played({ machines: [single, machine('answers', 200)], links }, along([0, 1]), arrivals)
      return Math.max(...requests.map(({ promptedMs }) => promptedMs))
    }
    // What takes longer sets the pace: 250 ms for each of two prompts on the way out, or in.
    expect(divided(100, 25)).toBeCloseTo(29 + 500 + 1 + again, 4)
    expect(divided(25, 100)).toBeCloseTo(29 + 500 + 1 + again, 4)
    expect(divided(25, 25)).toBeLessThan(29 + 200 + 1 + again)
  })

  test('in no layers at all is refused', () => {
    const links = handed(0)
    expect(() => played({ machines: fleet(1).machines, links }, along([0]), [request])).toThrow(
      'links[2].handsOver.layers',
    )
  })
})
