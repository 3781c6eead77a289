import {
  bytes,
  bytesPerSecond,
  type FleetSnapshot,
  GiB,
  type HeldRing,
  type Link,
  type MachineId,
  MiB,
  ms,
  type PlacementRequest,
  tokens,
} from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { ringPlacer } from '../../ring-placer.ts'
import { forecastingPlacer } from './forecasting-placer.ts'
import { planningPlacer } from './planning-placer.ts'
import { forecastReplica } from './replica-forecast.ts'
import { usualRequests } from './ring-forecast.ts'

const idOf = (name: string) => `machine-${name}` as MachineId

/**
 * 8 layers of 100 MiB in F16, 419,430,400 elements: 512 tokens take 42.95 ms at 10 TFLOP/s. Their KV is 8 MiB a layer,
 * which takes 83.886 ms at 100 MB/s.
 */
const request: PlacementRequest = {
  model: {
    weightType: 'F16',
    layerBytes: Array.from({ length: 8 }, () => bytes(100 * MiB)),
    embeddingBytes: bytes(0),
    headBytes: bytes(0),
    kvBytesPerLayer: bytes(16_384),
    boundaryBytes: bytes(4096),
  },
  kvTokens: tokens(1024),
  regions: null,
  providers: null,
  avoid: [],
}
const prompts: PlacementRequest = { ...request, work: 'prefill' }

type Given = readonly [name: string, tflops: number | null, gBs?: number]

/** @param links - MB/s, all of them 2 ms there and back */
function fleet(
  given: readonly Given[],
  links: readonly (readonly [from: string, to: string, mBs: number])[] = [],
): FleetSnapshot {
  return {
    candidates: given.map(([name, tflops, gBs = 200]) => ({
      machine: idOf(name),
      device: 'CUDA0',
      location: { region: 'here', provider: 'us' },
      freeBytes: bytes(4 * GiB),
      benchmark: {
        device: 'CUDA0',
        weightBytesPerSecond: bytesPerSecond(gBs * 1e9),
        flopsPerSecond: tflops === null ? {} : { F16: tflops * 1e12 },
        hostBytesPerSecond: null,
      },
    })),
    links: links.map(
      ([from, to, mBs]): Link => ({
        from: idOf(from),
        to: idOf(to),
        roundTripMs: ms(2),
        bytesPerSecond: bytesPerSecond(mBs * 1e6),
      }),
    ),
  }
}

function ring(...names: readonly string[]): HeldRing {
  const share = 8 / names.length
  return names.map((name, at) => ({
    machine: idOf(name),
    device: 'CUDA0',
    layers: { first: at * share, end: (at + 1) * share },
  }))
}

/** What a ring of whole models would do; the forecast looks at nothing else of a placement. */
const forecast = (asked: PlacementRequest, snapshot: FleetSnapshot, ...names: readonly string[]) =>
  forecastReplica(asked, { stages: ring(...names) as never }, snapshot, usualRequests)

describe('forecastReplica() of prompts', () => {
  const far = [
    ['strong', 20],
    ['near', 10],
    ['decode', 2],
  ] as const
  const asked = { ...prompts, partners: [ring('decode')] }

  test('a strong device behind a slow link loses against a weaker one nearby', () => {
    const snapshot = fleet(far, [
      ['strong', 'decode', 100],
      ['near', 'decode', 10_000],
    ])
    const strong = forecast(asked, snapshot, 'strong')!
    // The link begins with the first of 8 layers, after 2.68 ms, and takes 671.1 ms; then half a round trip.
    expect(strong.hereMs).toBeCloseTo(21.47, 2)
    expect(strong.ttftMs).toBeCloseTo(2.684 + 671.089 + 1, 2)
    expect(strong.slowest).toBe('link')
    expect(strong.tpotMs).toBeNull()
    expect(strong.handOvers).toMatchObject([
      { link: 'machine-strong → machine-decode', linkMs: expect.closeTo(671.09, 1) },
    ])
    // Computing sets the pace; only the last layer is waited for.
    const near = forecast(asked, snapshot, 'near')!
    expect(near.ttftMs).toBeCloseTo(42.95 + 0.839 + 1, 2)
    expect(near.requestMs).toBe(near.ttftMs)
    expect(near.slowest).toEqual({ stage: 0, bound: 'compute' })
    // Whoever decodes would take 214.7 ms itself, and does so if the KV comes later.
    expect(strong.requestMs).toBeCloseTo(214.75, 2)
  })

  test('and wins where the link is good', () => {
    const snapshot = fleet(far, [
      ['strong', 'decode', 10_000],
      ['near', 'decode', 10_000],
    ])
    const [strong, near] = ['strong', 'near'].map((name) => forecast(asked, snapshot, name)!.requestMs)
    expect(strong).toBeLessThan(near! * 0.6)
  })

  test('what stays on its machine takes no time, whatever links there are', () => {
    const snapshot = fleet(far, [['decode', 'near', 1]])
    const { handOvers, ttftMs, hereMs } = forecast(asked, snapshot, 'decode')!
    expect(handOvers).toMatchObject([{ waitMs: 0, linkMs: 0 }])
    expect(ttftMs).toBe(hereMs)
  })

  test('a far replica that decodes by itself does not count against a place near another', () => {
    const snapshot = fleet(
      [...far, ['other', 2]],
      [
        ['near', 'decode', 10_000],
        ['near', 'other', 1],
      ],
    )
    const { requestMs, ttftMs } = forecast(
      { ...prompts, partners: [ring('decode'), ring('other')] },
      snapshot,
      'near',
    )!
    expect(requestMs).toBeCloseTo((44.79 + 214.75) / 2, 1)
    expect(ttftMs).toBeGreaterThan(30_000)
  })

  test('each stage hands over its own layers, and the busiest link is told of', () => {
    const snapshot = fleet(far, [
      ['strong', 'near', 10_000],
      ['strong', 'decode', 200],
      ['near', 'decode', 100],
    ])
    const { handOvers } = forecast(asked, snapshot, 'strong', 'near')!
    // Four layers each.
    expect(handOvers).toMatchObject([
      { link: 'machine-near → machine-decode', linkMs: expect.closeTo(335.5, 1) },
    ])
  })

  test('without replicas that decode it is the time of computing; rings that are cut otherwise are none', () => {
    const snapshot = fleet(far)
    const alone = forecast(prompts, snapshot, 'near')!
    expect(alone).toMatchObject({ handOvers: [], requestMs: alone.hereMs, ttftMs: alone.hereMs })
    const cut = ring('decode').map((stage) => ({ ...stage, layers: { first: 0, end: 7 } }))
    expect(forecast({ ...prompts, partners: [cut] }, snapshot, 'near')).toEqual(alone)
  })

  test('nothing is said of devices that were not measured, or are gone', () => {
    const snapshot = fleet([
      ['known', 10],
      ['unknown', null],
      ['still', 10, 0],
    ])
    expect(forecast(prompts, snapshot, 'unknown')).toBeNull()
    expect(forecast(prompts, snapshot, 'gone')).toBeNull()
    expect(forecast(prompts, snapshot, 'still')).toBeNull()
    // Of those that decode, links are enough.
    const beside = forecast(
      { ...prompts, partners: [ring('unknown'), ring('gone'), ring('still')] },
      snapshot,
      'known',
    )!
    expect(beside.handOvers.map(({ ownMs }) => ownMs)).toEqual([null, null, null])
  })
})

describe('forecastReplica() of decoding', () => {
  const devices: readonly Given[] = [
    ['decode', 10],
    ['quick', 100],
    ['slow', 5],
    ['unknown', null],
  ]
  const snapshot = fleet(devices, [
    ['quick', 'decode', 10_000],
    ['slow', 'decode', 10_000],
  ])
  const own = forecast(request, snapshot, 'decode')!
  const besides = (...names: readonly string[]) =>
    forecast({ ...request, partners: names.map((name) => ring(name)) }, snapshot, 'decode')!

  test('prompts come from a quick replica beside it, but for their last token', () => {
    const beside = besides('quick')
    expect(own.ttftMs).toBeCloseTo(42.95, 2)
    // A layer is computed in 0.537 ms and sent in 0.839, half a round trip later all of it is there; 4.194 to read weights.
    expect(beside.ttftMs).toBeCloseTo(0.537 + 8 * 0.8389 + 1 + 4.194, 2)
    expect(beside.tpotMs).toBe(own.tpotMs)
    expect(beside.requestMs).toBeCloseTo(own.requestMs - own.ttftMs + beside.ttftMs, 6)
    expect(beside).toMatchObject({
      slowPartners: 0,
      hereMs: own.ttftMs,
      handOvers: [{ partner: 'machine-quick' }],
    })
  })

  test('beside slow replicas, or such that nothing is known of, it computes them itself', () => {
    for (const name of ['slow', 'unknown', 'gone']) {
      expect(besides(name)).toEqual({ ...own, slowPartners: 1 })
    }
  })

  test('beside both it is the mean', () => {
    const { ttftMs, slowPartners } = besides('quick', 'slow')
    expect(ttftMs).toBeCloseTo((besides('quick').ttftMs + own.ttftMs) / 2, 6)
    expect(slowPartners).toBe(1)
  })
})

describe('placers', () => {
  const devices: readonly Given[] = [
    ['strong', 40, 400],
    ['middle', 20, 300],
    ['near', 10],
    ['decode', 2],
  ]
  const asked = { ...prompts, avoid: [idOf('decode')], partners: [ring('decode')] }
  const slow = fleet(devices, [
    ['strong', 'decode', 100],
    ['middle', 'decode', 100],
    ['near', 'decode', 10_000],
  ])
  const machines = (snapshot: FleetSnapshot, of = asked) =>
    forecastingPlacer(ringPlacer)
      .place(of, snapshot)
      .placement!.stages.map(({ machine }) => machine)

  test('prompts are computed near to where they are decoded, if links ask for it', () => {
    const { partners: _, ...alone } = asked
    expect(machines(slow, alone as typeof asked)).toEqual([idOf('strong')])
    expect(machines(slow)).toEqual([idOf('near')])
    const good = fleet(devices, [['strong', 'decode', 10_000]])
    expect(machines(good)).toEqual([idOf('strong')])
  })

  test('what is predicted of prompts is said, kept without a TPOT, and explained', () => {
    const { placement, reasons } = planningPlacer(ringPlacer).place(asked, slow)
    expect(placement!.forecast).toMatchObject({ tpotMs: null, handOverMs: expect.closeTo(1.84, 2) })
    expect(placement!.requestMs).toBeCloseTo(44.79, 2)
    expect(reasons).toContainEqual(
      expect.stringMatching(/^Predicted for prompts of 512 tokens, .* 42\.9 ms, .* 44\.8 ms/),
    )
    expect(reasons).toContainEqual(
      expect.stringMatching(/^Decoded at machine-decode: the KV is there 1\.84 ms after/),
    )
    expect(reasons).toContainEqual(
      expect.stringMatching(/^Not on machine-strong\/CUDA0: such a prompt would take 215 ms/),
    )
    expect(reasons.join(' ')).not.toMatch(/TPOT|request/)
  })

  test('whoever decodes is told where prompts come from', () => {
    const beside = { ...request, avoid: ['strong', 'middle', 'near'].map(idOf), partners: [ring('near')] }
    const { placement, reasons } = planningPlacer(ringPlacer).place(beside, slow)
    expect(placement!.forecast).toMatchObject({
      handOverMs: expect.closeTo(1.84, 2),
      tpotMs: expect.any(Number),
    })
    expect(reasons).toContainEqual(
      expect.stringMatching(/^Prompts are computed at machine-near in 42\.9 ms, not here in 215 ms/),
    )
    const apart = planningPlacer(ringPlacer).place({ ...beside, partners: [ring('strong')] }, slow)
    expect(apart.placement!.forecast).not.toHaveProperty('handOverMs')
    expect(apart.reasons).toContainEqual(expect.stringMatching(/^Of 1 replicas for prompts, 1 would not/))
  })

  test('a lost stage for prompts is replaced by who multiplies fast, one for decoding by who reads fast', () => {
    const snapshot = fleet(
      [
        ['left', 10],
        ['reads', 1, 210],
        ['multiplies', 10, 190],
      ],
      [
        ['left', 'reads', 10_000],
        ['left', 'multiplies', 10_000],
      ],
    )
    const small = {
      ...snapshot,
      candidates: snapshot.candidates.map((each) => ({ ...each, freeBytes: bytes(480 * MiB) })),
    }
    const lost = { held: ring('left', 'lost'), avoid: [idOf('lost')] }
    const only = { place: (of: PlacementRequest) => ringPlacer.place({ ...of, work: 'decode' }, small) }
    const placed = (of: PlacementRequest) =>
      planningPlacer(only)
        .place({ ...of, ...lost }, small)
        .placement!.stages.map(({ machine }) => machine)
    expect(placed(prompts)).toEqual([idOf('left'), idOf('multiplies')])
    expect(placed(request)).toContain(idOf('reads'))
  })
})
