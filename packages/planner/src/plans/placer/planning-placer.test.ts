import {
  bytes,
  bytesPerSecond,
  type FleetSnapshot,
  GiB,
  type HeldLayers,
  type Link,
  type MachineId,
  MiB,
  type ModelConfig,
  ms,
  type PlacementRequest,
  type Placer,
  plainTraits,
  tokens,
} from '@deos/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parameterCounts, shapeOfConfig } from '../../models/index.ts'
import { ringPlacer } from '../../ring-placer.ts'
import { planningPlacer } from './planning-placer.ts'

const config: ModelConfig = {
  ...{ architecture: 'llama', name: 'test', layers: 12, hiddenSize: 2048, feedForwardSize: 5632 },
  ...{ heads: 16, kvHeads: 16, headDim: 128, vocabSize: 32_000, contextLength: 2048, normEpsilon: 1e-5 },
  ...{ ropeTheta: 10_000, ropeDim: 128, ropeScaling: { type: 'none' }, ...plainTraits(128) },
  ...{ tiedEmbeddings: false, bosToken: 0, eosTokens: [0] },
}
function requestFor(of: ModelConfig): PlacementRequest {
  const { layers, embedding, head } = parameterCounts(shapeOfConfig(of))
  return {
    model: {
      weightType: 'F16',
      layerBytes: layers.map(({ all }) => bytes(all * 2)),
      embeddingBytes: bytes(embedding * 2),
      headBytes: bytes(head * 2),
      kvBytesPerLayer: bytes(2 * of.hiddenSize * 2),
      boundaryBytes: bytes(of.hiddenSize * 4),
      config: of,
    },
    kvTokens: tokens(2048),
    regions: null,
    providers: null,
    avoid: [],
  }
}

/** In F16: 12 layers of 98 MiB, 125 MiB before and behind them. */
const request = requestFor(config)

interface Device {
  readonly gBs?: number
  readonly tflops?: number
  readonly free?: number
  readonly region?: string
}

const idOf = (name: string) => `machine-${name}` as MachineId

const fleet = (
  devices: Readonly<Record<string, Device>>,
  links: readonly (readonly [from: string, to: string, mBs: number])[] = [],
): FleetSnapshot => ({
  candidates: Object.entries(devices).map(
    ([name, { gBs = 100, tflops = 10, free = 4 * GiB, region = 'here' }]) => ({
      machine: idOf(name),
      device: 'CUDA0',
      location: { region, provider: 'us' },
      freeBytes: bytes(free),
      benchmark: {
        device: 'CUDA0',
        weightBytesPerSecond: bytesPerSecond(gBs * 1e9),
        flopsPerSecond: { F16: tflops * 1e12 },
        hostBytesPerSecond: null,
      },
    }),
  ),
  links: links.map(
    ([from, to, mBs]): Link => ({
      from: idOf(from),
      to: idOf(to),
      roundTripMs: ms(0.5),
      bytesPerSecond: bytesPerSecond(mBs * 1e6),
    }),
  ),
})

/** A base that sees only these machines. */
const only = (...names: readonly string[]): Placer => ({
  place: (asked, { candidates, links }) =>
    ringPlacer.place(asked, {
      candidates: candidates.filter(({ machine }) => names.map(idOf).includes(machine)),
      links,
    }),
})

const machinesOf = (placer: Placer, snapshot: FleetSnapshot, asked = request) =>
  placer.place(asked, snapshot).placement!.stages.map(({ machine }) => machine)

describe('planningPlacer()', () => {
  const twoKinds = fleet({ slow: { gBs: 20, tflops: 1 }, quick: { gBs: 400, tflops: 60 } })

  test('takes what the planner finds and the base does not, and says why', () => {
    const { placement, reasons } = planningPlacer(only('slow')).place(request, twoKinds)
    expect(placement!.stages.map(({ machine }) => machine)).toEqual(['machine-quick'])
    expect(placement!.reasons).toEqual(reasons)
    expect(reasons.find((each) => each.startsWith('Planned over'))).toMatch(/2 .*of 2 devices/)
    expect(reasons.find((each) => each.startsWith('Not on machine-slow'))).toMatch(/\d+% fewer requests/)
    // 1.3e9 bytes at 400 GB/s: head and layers are read for each token.
    const read = placement!.stages[0]!.decodeMs
    expect(placement!.forecast!.tpotMs).toBeCloseTo(read, 6)
  })

  test('never where a deployment may not be', () => {
    const apart = fleet({ slow: { gBs: 20, tflops: 1 }, quick: { gBs: 400, tflops: 60, region: 'there' } })
    const placer = planningPlacer(only('slow'))
    expect(machinesOf(placer, apart, { ...request, regions: ['here'] })).toEqual(['machine-slow'])
    expect(machinesOf(placer, apart, { ...request, avoid: [idOf('quick')] })).toEqual(['machine-slow'])
    expect(machinesOf(placer, apart)).toEqual(['machine-quick'])
  })

  test('leaves it to the base, and says so, where layers are not known', () => {
    const { config: _, ...model } = request.model
    const { placement, reasons } = planningPlacer(only('slow')).place({ ...request, model }, twoKinds)
    expect(placement!.stages[0]!.machine).toBe('machine-slow')
    expect(reasons.at(-1)).toMatch(/^Nothing was planned: what its layers/)
  })

  test('refuses what the base refuses, in its words', () => {
    const small = fleet({ a: { free: 10 * MiB } })
    expect(planningPlacer(ringPlacer).place(request, small)).toEqual(ringPlacer.place(request, small))
  })

  test('weights that are not in F16 take the room that they take', () => {
    const model = {
      ...request.model,
      weightType: 'Q6_K',
      layerBytes: request.model.layerBytes.map((size) => bytes(Math.ceil((size / 2) * (210 / 256)))),
    }
    const snapshot = fleet({ slow: { gBs: 20, tflops: 1 }, quick: { gBs: 400, tflops: 60, free: 1.2 * GiB } })
    const candidates = snapshot.candidates.map((each) => ({
      ...each,
      benchmark: { ...each.benchmark, flopsPerSecond: { Q6_K: each.benchmark.flopsPerSecond.F16! } },
    }))
    const asked = { ...request, model }
    // 481 MiB of layers, 250 of embedding and head, 384 of KV.
    expect(machinesOf(planningPlacer(only('slow')), { ...snapshot, candidates }, asked)).toEqual([
      'machine-quick',
    ])
  })

  describe('with a ring that lost a machine', () => {
    const half = { free: 12 * GiB }
    const held: readonly HeldLayers[] = [
      { machine: idOf('a'), device: 'CUDA0', layers: { first: 0, end: 6 } },
      { machine: idOf('lost'), device: 'CUDA0', layers: { first: 6, end: 12 } },
    ]
    /** 18.6 GB of layers; half of them take 750 s over a link that nobody measured. */
    const large = { ...config, hiddenSize: 8192, feedForwardSize: 22_528, heads: 64, kvHeads: 64 }
    const asked = { ...requestFor(large), held, avoid: [idOf('lost')] }
    const base = only('c', 'd')

    test('keeps what is left of it where moving weights costs more than it brings', () => {
      const snapshot = fleet({ a: half, b: half, c: { ...half, gBs: 108 }, d: { ...half, gBs: 108 } }, [
        ['a', 'b', 1000],
        ['c', 'd', 1000],
      ])
      const { placement, reasons } = planningPlacer(base).place(asked, snapshot)
      expect(placement!.stages.map(({ machine, layers: own }) => [machine, own])).toEqual([
        ['machine-a', { first: 0, end: 6 }],
        [expect.any(String), { first: 6, end: 12 }],
      ])
      expect(reasons).toContain('1 of 2 stages stay where they were.')
      expect(reasons.at(-1)).toMatch(/of weights move first, in about/)
    })

    test('gives it up for one that is much quicker', () => {
      const quick = { ...half, gBs: 900, tflops: 90 }
      const snapshot = fleet({ a: { ...half, gBs: 20, tflops: 2 }, b: half, c: quick, d: quick }, [
        ['a', 'b', 1000],
        ['c', 'd', 1000],
      ])
      expect(machinesOf(planningPlacer(base), snapshot, asked).sort()).toEqual(['machine-c', 'machine-d'])
    })
  })

  test('any fleet: every layer once, within free memory, whatever the order of candidates', () => {
    const device = fc.record({
      gBs: fc.integer({ min: 5, max: 500 }),
      tflops: fc.integer({ min: 1, max: 80 }),
      free: fc.integer({ min: 200 * MiB, max: 2 * GiB }),
      region: fc.constantFrom('here', 'there'),
    })
    fc.assert(
      fc.property(fc.array(device, { minLength: 1, maxLength: 7 }), (devices) => {
        const snapshot = fleet(Object.fromEntries(devices.map((each, at) => [`m${at}`, each])))
        const placer = planningPlacer(ringPlacer)
        const outcome = placer.place(request, snapshot)
        expect(outcome.placement === null).toBe(ringPlacer.place(request, snapshot).placement === null)
        let next = 0
        for (const { machine, layers: own, weightBytes, kvBytes } of outcome.placement?.stages ?? []) {
          expect(own.first).toBe(next)
          next = own.end
          const { freeBytes } = snapshot.candidates.find((each) => each.machine === machine)!
          expect(weightBytes + kvBytes).toBeLessThanOrEqual(freeBytes)
        }
        if (outcome.placement !== null) expect(next).toBe(12)
        const turned = { ...snapshot, candidates: [...snapshot.candidates].reverse() }
        expect(placer.place(request, turned)).toEqual(outcome)
        // In either role beside that, too, wherever there is room for it.
        const { stages } = outcome.placement ?? { stages: [] }
        const partners = [stages.map(({ machine, device, layers }) => ({ machine, device, layers }))]
        for (const work of ['decode', 'prefill'] as const) {
          const asked = { ...request, work, partners }
          const beside = placer.place(asked, snapshot)
          expect(beside.placement === null).toBe(ringPlacer.place(asked, snapshot).placement === null)
          expect(placer.place(asked, turned)).toEqual(beside)
        }
      }),
      { numRuns: 40 },
    )
  })
})
