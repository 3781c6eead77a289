import {
  bytes,
  bytesPerSecond,
  type FleetSnapshot,
  GiB,
  type Link,
  type MachineId,
  MiB,
  type ModelFootprint,
  ms,
  type PlacementCandidate,
  type PlacementOutcome,
  type PlacementRequest,
  seededRandom,
  tokens,
} from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PlacementRequestError } from './errors.ts'
import { ringPlacer } from './ring-placer.ts'

interface CandidateOptions {
  readonly free: number
  readonly speed?: number
  readonly region?: string
  readonly provider?: string
  readonly device?: string
}

const candidate = (
  machine: string,
  { free, speed = 1000, region = 'eu', provider = 'home', device = 'CPU' }: CandidateOptions,
): PlacementCandidate => ({
  machine: machine as MachineId,
  device,
  location: { region, provider },
  freeBytes: bytes(free),
  benchmark: {
    device,
    weightBytesPerSecond: bytesPerSecond(speed),
    flopsPerSecond: {},
    hostBytesPerSecond: null,
  },
})

const link = (from: string, to: string, roundTripMs: number): Link => ({
  from: from as MachineId,
  to: to as MachineId,
  roundTripMs: ms(roundTripMs),
  bytesPerSecond: bytesPerSecond(1e9),
})

const footprint = (change: Partial<ModelFootprint> = {}): ModelFootprint => ({
  weightType: 'Q8_0',
  layerBytes: new Array(12).fill(bytes(100)),
  embeddingBytes: bytes(0),
  headBytes: bytes(0),
  kvBytesPerLayer: bytes(0),
  boundaryBytes: bytes(10),
  ...change,
})

const request = (change: Partial<PlacementRequest> = {}): PlacementRequest => ({
  model: footprint(),
  kvTokens: tokens(0),
  regions: null,
  providers: null,
  avoid: [],
  ...change,
})

const fleet = (candidates: readonly PlacementCandidate[], links: readonly Link[] = []): FleetSnapshot => ({
  candidates,
  links,
})

const machines = ({ placement }: PlacementOutcome) => placement?.stages.map(({ machine }) => machine)
const counts = ({ placement }: PlacementOutcome) =>
  placement?.stages.map(({ layers }) => layers.end - layers.first)

describe('who is chosen', () => {
  test('of those that hold everything alone the fastest, of equally fast ones the smallest', () => {
    const outcome = ringPlacer.place(
      request(),
      fleet([
        candidate('slow', { free: 5000, speed: 500 }),
        candidate('large', { free: 5000 }),
        candidate('small', { free: 1200 }),
        candidate('tiny', { free: 1100, speed: 9000 }),
      ]),
    )
    expect(machines(outcome)).toEqual(['small'])
    expect(outcome.placement).toMatchObject({ tokenMs: 1200 })
    expect(outcome.reasons).toContain('One device holds it all, so nothing crosses a link.')
    expect(outcome.reasons).toContain('large/CPU would do as well.')
  })

  test('layers are shared in proportion to speed', () => {
    const outcome = ringPlacer.place(
      request(),
      fleet([candidate('fast', { free: 1100, speed: 3000 }), candidate('slow', { free: 1100, speed: 1000 })]),
    )
    const layers = new Map(outcome.placement!.stages.map((stage) => [stage.machine, stage.decodeMs]))
    expect(layers).toEqual(
      new Map([
        ['fast', 300],
        ['slow', 300],
      ]),
    )
  })

  test('memory limits the share; the others share evenly what is left', () => {
    const outcome = ringPlacer.place(
      request(),
      fleet([
        candidate('a', { free: 600 }),
        candidate('b', { free: 600 }),
        candidate('c', { free: 200, speed: 10_000 }),
      ]),
    )
    expect([...counts(outcome)!].sort()).toEqual([6, 6])
    const three = ringPlacer.place(
      request({ model: footprint({ layerBytes: new Array(13).fill(bytes(100)) }) }),
      fleet([
        candidate('a', { free: 600 }),
        candidate('b', { free: 600 }),
        candidate('c', { free: 300, speed: 10_000 }),
      ]),
    )
    expect([...counts(three)!].sort()).toEqual([3, 5, 5])
  })

  test('a slow stage that cannot be helped does not make the others uneven', () => {
    const outcome = ringPlacer.place(
      request(),
      fleet([
        candidate('a', { free: 700 }),
        candidate('b', { free: 400 }),
        candidate('snail', { free: 100, speed: 10 }),
      ]),
    )
    const byMachine = new Map(
      outcome.placement!.stages.map((stage, i) => [stage.machine, counts(outcome)![i]]),
    )
    expect(byMachine).toEqual(new Map(Object.entries({ a: 7, b: 4, snail: 1 })))
  })

  test('the embedding goes to the first stage, the head to the last, KV to each', () => {
    const model = footprint({
      embeddingBytes: bytes(50),
      headBytes: bytes(150),
      kvBytesPerLayer: bytes(1),
      layerBytes: new Array(4).fill(bytes(100)),
    })
    const { placement } = ringPlacer.place(
      request({ model, kvTokens: tokens(20) }),
      fleet([candidate('a', { free: 410 }), candidate('b', { free: 410 })]),
    )
    expect(placement!.stages).toMatchObject([
      { layers: { first: 0, end: 3 }, weightBytes: 350, kvBytes: 60, decodeMs: 300 },
      { layers: { first: 3, end: 4 }, weightBytes: 250, kvBytes: 20, decodeMs: 250 },
    ])
  })

  test('near machines are taken together, and the ring avoids slow links', () => {
    const names = ['a', 'b', 'c', 'd']
    const far = new Set(['ac', 'ca', 'bd', 'db'])
    const links = names.flatMap((from) =>
      names.filter((to) => to !== from).map((to) => link(from, to, far.has(from + to) ? 100 : 10)),
    )
    const four = names.map((name) => candidate(name, { free: 300 }))
    const stranger = candidate('fast', { free: 300, speed: 1500, region: 'mars' })
    const outcome = ringPlacer.place(request(), fleet([...four, stranger], links))
    expect([...machines(outcome)!].sort()).toEqual(names)
    const ring = machines(outcome)!
    const hops = ring.map((from, index) => `${from}${ring[(index + 1) % 4]}`)
    expect(hops.filter((hop) => far.has(hop))).toEqual([])
    expect(outcome.placement!.tokenMs).toBeCloseTo(1200 + 4 * 5, 3)
  })

  test('of two sites the one with the shorter ways is taken', () => {
    const site = (name: string, roundTripMs: number) => ({
      candidates: ['1', '2'].map((n) => candidate(name + n, { free: 600, region: name })),
      links: [link(`${name}1`, `${name}2`, roundTripMs)],
    })
    const [slow, quick] = [site('slow', 80), site('quick', 4)]
    const outcome = ringPlacer.place(
      request(),
      fleet([...slow.candidates, ...quick.candidates], [...slow.links, ...quick.links]),
    )
    expect([...machines(outcome)!].sort()).toEqual(['quick1', 'quick2'])
    expect(outcome.reasons).toContain('Not on slow1/CPU, slow2/CPU: a token would take 1280 ms.')
  })

  test('machines to be avoided are used only if it does not fit without them, and then as few as need be', () => {
    const four = ['a', 'b', 'c', 'd'].map((name) => candidate(name, { free: 400, speed: 1000 }))
    const large = candidate('large', { free: 2000, speed: 5000 })
    const avoid = ['large' as MachineId]
    const apart = ringPlacer.place(request({ avoid }), fleet([...four, large]))
    expect(apart.placement!.stages).toHaveLength(3)
    expect(machines(apart)).not.toContain('large')
    expect(apart.reasons).toContain(
      'Kept away from large/CPU, so that not everything depends on the same machines.',
    )
    const shared = ringPlacer.place(request({ avoid: ['a', 'b'] as MachineId[] }), fleet(four))
    expect(machines(shared)!.filter((machine) => ['a', 'b'].includes(machine))).toHaveLength(1)
  })

  test('two devices of one machine may hold two stages', () => {
    const outcome = ringPlacer.place(
      request(),
      fleet([candidate('a', { free: 800 }), candidate('a', { free: 800, device: 'CUDA0' })]),
    )
    expect(outcome.placement!.stages.map(({ device }) => device).sort()).toEqual(['CPU', 'CUDA0'])
    expect(outcome.placement!.tokenMs).toBeCloseTo(1200, 6)
  })
})

describe('when nothing fits', () => {
  test('it says how much is short and who was left out', () => {
    const { placement, reasons } = ringPlacer.place(
      request({
        model: footprint({ layerBytes: new Array(12).fill(bytes(GiB)), kvBytesPerLayer: bytes(MiB) }),
        kvTokens: tokens(1024),
        regions: ['eu'],
        providers: ['home'],
      }),
      fleet([
        candidate('a', { free: 8 * GiB }),
        candidate('b', { free: GiB }),
        candidate('far', { free: 64 * GiB, region: 'us' }),
        candidate('rented', { free: 32 * GiB, provider: 'cloud' }),
        candidate('new', { free: 16 * GiB, speed: 0 }),
      ]),
    )
    expect(placement).toBeNull()
    expect(reasons).toEqual([
      'The 12 layers need 24 GiB: 12 GiB of Q8_0 weights and 12 GiB of KV for 1024 tokens.',
      'The 2 measured and allowed devices offer 9 GiB: 15 GiB short.',
      'Left out: 1 device with 64 GiB free, in other regions (us) than eu.',
      'Left out: 1 device with 32 GiB free, of other providers (cloud) than home.',
      'Left out: 1 device with 16 GiB free, not measured yet (new/CPU).',
      'Left out: 1 device with 1 GiB free, too little for a single layer (b/CPU).',
    ])
  })

  test('memory in pieces too small is told apart from memory that is missing', () => {
    const pieces = Array.from({ length: 13 }, (_, index) => candidate(`m${index}`, { free: 99 }))
    expect(ringPlacer.place(request(), fleet(pieces)).reasons[1]).toBe(
      'The 13 measured and allowed devices offer 1.26 KiB together, but in pieces that whole layers of about 100 B do not fill; none of them has room for one layer.',
    )
  })

  test('an empty fleet offers nothing', () => {
    expect(ringPlacer.place(request(), fleet([]))).toEqual({
      placement: null,
      reasons: [
        'The 12 layers need 1.17 KiB: 1.17 KiB of Q8_0 weights and 0 B of KV for 0 tokens.',
        'No measured device is allowed to hold a part of it.',
      ],
    })
  })
})

test.each<[string, Partial<PlacementRequest>]>([
  ['model.layerBytes', { model: footprint({ layerBytes: [] }) }],
  ['model.layerBytes[1]', { model: footprint({ layerBytes: [bytes(1), bytes(0)] }) }],
  ['model.embeddingBytes', { model: footprint({ embeddingBytes: bytes(-1) }) }],
  ['model.headBytes', { model: footprint({ headBytes: bytes(0.5) }) }],
  ['model.kvBytesPerLayer', { model: footprint({ kvBytesPerLayer: bytes(Number.NaN) }) }],
  ['kvTokens', { kvTokens: tokens(-1) }],
])('%s that makes no sense is named', (field, change) => {
  let caught: unknown
  try {
    ringPlacer.place(request(change), fleet([]))
  } catch (error) {
    caught = error
  }
  expect(caught).toBeInstanceOf(PlacementRequestError)
  expect((caught as PlacementRequestError).field).toBe(field)
})

const arbitraryCase = fc
  .record({
    layerBytes: fc.oneof(
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 7 }),
      fc
        .tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 9 }))
        .map(([size, n]) => new Array<number>(n).fill(size)),
    ),
    embeddingBytes: fc.nat(15),
    headBytes: fc.nat(15),
    kvBytesPerLayer: fc.nat(2),
    kvTokens: fc.nat(3),
    candidates: fc.array(
      fc.record({
        free: fc.integer({ min: 0, max: 70 }),
        speed: fc.constantFrom(0, 5, 10, 40),
        region: fc.constantFrom('eu', 'us'),
        provider: fc.constantFrom('home', 'cloud'),
        avoided: fc.boolean(),
      }),
      { maxLength: 5 },
    ),
    regions: fc.constantFrom(null, null, ['eu'], ['eu', 'us'], []),
    providers: fc.constantFrom(null, null, ['home']),
    links: fc.array(fc.tuple(fc.nat(4), fc.nat(4), fc.integer({ min: 0, max: 300 })), { maxLength: 8 }),
  })
  .map((given) => ({
    request: request({
      model: footprint({
        layerBytes: given.layerBytes.map(bytes),
        embeddingBytes: bytes(given.embeddingBytes),
        headBytes: bytes(given.headBytes),
        kvBytesPerLayer: bytes(given.kvBytesPerLayer),
      }),
      kvTokens: tokens(given.kvTokens),
      regions: given.regions,
      providers: given.providers,
      avoid: given.candidates.flatMap(({ avoided }, index) => (avoided ? [`m${index}` as MachineId] : [])),
    }),
    fleet: fleet(
      given.candidates.map((options, index) => candidate(`m${index}`, options)),
      given.links.map(([from, to, roundTripMs]) => link(`m${from}`, `m${to}`, roundTripMs)),
    ),
  }))

/** The fewest stages by trying every order and every cut; null if none fits. */
function fewestByForce({ model, kvTokens }: PlacementRequest, candidates: readonly PlacementCandidate[]) {
  const count = model.layerBytes.length
  const kv = model.kvBytesPerLayer * kvTokens
  const search = (first: number, left: readonly PlacementCandidate[]): number => {
    if (first === count) return 0
    let fewest = Number.POSITIVE_INFINITY
    for (const chosen of left) {
      let room = first === 0 ? model.embeddingBytes : 0
      for (let end = first + 1; end <= count; end += 1) {
        room = bytes(room + model.layerBytes[end - 1]! + kv)
        if (room + (end === count ? model.headBytes : 0) > chosen.freeBytes) continue
        fewest = Math.min(
          fewest,
          1 +
            search(
              end,
              left.filter((other) => other !== chosen),
            ),
        )
      }
    }
    return fewest
  }
  const stages = search(0, candidates)
  return stages === Number.POSITIVE_INFINITY ? null : stages
}

const allowed = ({ regions, providers }: PlacementRequest, { candidates }: FleetSnapshot) =>
  candidates.filter(
    ({ location, benchmark }) =>
      (regions?.includes(location.region) ?? true) &&
      (providers?.includes(location.provider) ?? true) &&
      benchmark.weightBytesPerSecond > 0,
  )

test('every layer once and in order, nobody overcommitted, policy respected', () => {
  fc.assert(
    fc.property(arbitraryCase, ({ request, fleet }) => {
      const { placement, reasons } = ringPlacer.place(request, fleet)
      expect(reasons.length).toBeGreaterThan(0)
      if (!placement) return
      let next = 0
      let total = 0
      const { model, kvTokens } = request
      for (const stage of placement.stages) {
        expect(stage.layers.first).toBe(next)
        expect(stage.layers.end).toBeGreaterThan(next)
        next = stage.layers.end
        total += stage.weightBytes
        const own = allowed(request, fleet).find(({ machine }) => machine === stage.machine)
        expect(stage.weightBytes + stage.kvBytes).toBeLessThanOrEqual(own!.freeBytes)
        expect(stage.kvBytes).toBe((stage.layers.end - stage.layers.first) * model.kvBytesPerLayer * kvTokens)
      }
      expect(next).toBe(model.layerBytes.length)
      const layers = model.layerBytes.reduce((sum, size) => sum + size, 0)
      expect(total).toBe(layers + model.embeddingBytes + model.headBytes)
      expect(new Set(placement.stages.map(({ machine }) => machine)).size).toBe(placement.stages.length)
      const computing = placement.stages.reduce((sum, { decodeMs }) => sum + decodeMs, 0)
      expect(placement.tokenMs).toBeGreaterThanOrEqual(computing * (1 - 1e-9))
    }),
    { numRuns: 500 },
  )
})

test('a placement is found whenever there is one, never with more stages than needed', () => {
  fc.assert(
    fc.property(arbitraryCase, ({ request, fleet }) => {
      const usable = allowed(request, fleet)
      const avoided = new Set(request.avoid)
      const apart = fewestByForce(
        request,
        usable.filter(({ machine }) => !avoided.has(machine)),
      )
      const fewest = apart ?? fewestByForce(request, usable)
      const { placement } = ringPlacer.place(request, fleet)
      expect(placement?.stages.length ?? null).toBe(fewest)
      if (apart !== null) expect(placement!.stages.filter(({ machine }) => avoided.has(machine))).toEqual([])
    }),
    { numRuns: 500 },
  )
})

test('the outcome depends on nothing but request and fleet, not on their order', () => {
  fc.assert(
    fc.property(arbitraryCase, ({ request, fleet }) => {
      const turned = { candidates: fleet.candidates.toReversed(), links: fleet.links }
      expect(ringPlacer.place(request, turned)).toEqual(ringPlacer.place(request, fleet))
    }),
    { numRuns: 100 },
  )
})

test('many small machines hold a large model in as few stages as their memory allows', () => {
  const random = seededRandom(1)
  const candidates = Array.from({ length: 1000 }, (_, index) =>
    candidate(`m${index}`, {
      free: 250 + Math.floor(random.next() * 100),
      speed: 500 + random.next() * 1000,
      region: `r${index % 7}`,
      provider: `p${index % 3}`,
    }),
  )
  const links = candidates.flatMap(({ machine }, index) =>
    Array.from({ length: 8 }, (_, hop) => link(machine, `m${(index + 7 * (hop + 1)) % 1000}`, 1 + hop)),
  )
  const model = footprint({
    layerBytes: new Array(80).fill(bytes(100)),
    embeddingBytes: bytes(40),
    headBytes: bytes(140),
  })
  const { placement } = ringPlacer.place(request({ model }), fleet(candidates, links))
  // Three layers fit on each, two on the last beside the head: 26 · 3 + 2.
  expect(placement!.stages).toHaveLength(27)
})
