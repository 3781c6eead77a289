import {
  bytes,
  bytesPerSecond,
  type MachineId,
  type ModelFootprint,
  type PlacementCandidate,
  type PlacementRequest,
  tokens,
} from '@deos/domain'
import { expect, test } from 'vitest'
import { inPieces } from './prompt-pieces.ts'
import { ringPlacer } from './ring-placer.ts'

const candidate = (
  machine: string,
  weightBytesPerSecond: number,
  flops: Readonly<Record<string, number>>,
  free = 1200,
): PlacementCandidate => ({
  machine: machine as MachineId,
  device: 'CPU',
  location: { region: 'eu', provider: 'home' },
  freeBytes: bytes(free),
  benchmark: {
    ...{ device: 'CPU', weightBytesPerSecond: bytesPerSecond(weightBytesPerSecond) },
    ...{ flopsPerSecond: flops, hostBytesPerSecond: null },
  },
})

const model: ModelFootprint = {
  ...{ weightType: 'F16', layerBytes: new Array(12).fill(bytes(100)), embeddingBytes: bytes(0) },
  ...{ headBytes: bytes(0), kvBytesPerLayer: bytes(0), boundaryBytes: bytes(10) },
}
const request = (work: 'decode' | 'prefill'): PlacementRequest => ({
  ...{ model, kvTokens: tokens(0), regions: null, providers: null, avoid: [], work },
})
/** Products of 512 tokens with 1,200 bytes of halves: 2 × 512 × 600. */
const PIECE_FLOPS = 614_400

const reader = candidate('reader', 12_000, { F16: PIECE_FLOPS })
const multiplier = candidate('multiplier', 6_000, { F16: PIECE_FLOPS * 10 })
const machines = (work: 'decode' | 'prefill', candidates: readonly PlacementCandidate[]) =>
  ringPlacer.place(request(work), { candidates, links: [] })

test('who reads weights fast decodes, who multiplies fast computes prompts', () => {
  const decode = machines('decode', [reader, multiplier])
  expect(decode.placement?.stages[0]?.machine).toBe('reader')
  const prefill = machines('prefill', [reader, multiplier])
  expect(prefill.placement?.stages[0]?.machine).toBe('multiplier')
  // 1,200 bytes at 6,000 a second, for a token as for a piece: its products would take half of that.
  expect(prefill.placement).toMatchObject({ tokenMs: 200, stages: [{ decodeMs: 200 }] })
  expect(prefill.reasons.join(' ')).toContain('200 ms for each piece of 512 tokens of a prompt')
  // 1,200 bytes at 12,000 a second; its products take a second.
  const alone = machines('prefill', [reader])
  expect(alone.placement).toMatchObject({ tokenMs: 100, stages: [{ decodeMs: 100 }] })
  expect(alone.reasons.join(' ')).toContain('1000 ms for each piece of 512 tokens of a prompt')
  expect(decode.reasons.join(' ')).not.toContain('piece')
})

test('a piece takes as long as its products, or as reading the weights, and is 512 times as large', () => {
  const { fleet, request: told } = inPieces(request('prefill'), {
    candidates: [reader, multiplier],
    links: [],
  })
  // 1,200 bytes in a second by its products; in a fifth of one by reading them.
  expect(fleet.candidates.map(({ benchmark }) => benchmark.weightBytesPerSecond)).toEqual([1200, 6000])
  expect(told.model.boundaryBytes).toBe(5120)
})

test('layers are shared in proportion to what each multiplies', () => {
  const free = 1000
  const candidates = [
    candidate('a', 1e6, { F16: PIECE_FLOPS * 3 }, free),
    candidate('b', 1e6, { F16: PIECE_FLOPS }, free),
  ]
  const layersOf = (work: 'decode' | 'prefill') =>
    Object.fromEntries(
      machines(work, candidates).placement!.stages.map(({ machine, layers }) => [
        machine,
        layers.end - layers.first,
      ]),
    )
  expect(layersOf('prefill')).toEqual({ a: 9, b: 3 })
  expect(layersOf('decode')).toEqual({ a: 6, b: 6 })
})

test('another weight type stands in for one that was not measured; who was not measured counts as the slowest', () => {
  const candidates = [
    candidate('other', 1e9, { Q8_0: PIECE_FLOPS * 2 }),
    candidate('slow', 1e9, { F16: PIECE_FLOPS }),
    candidate('unknown', 1e9, {}),
    candidate('absurd', 1e9, { F16: Number.NaN }),
  ]
  const speeds = (some: readonly PlacementCandidate[]) =>
    inPieces(request('prefill'), { candidates: some, links: [] }).fleet.candidates.map(
      ({ benchmark }) => benchmark.weightBytesPerSecond,
    )
  expect(speeds(candidates)).toEqual([2400, 1200, 1200, 1200])
  expect(speeds(candidates.slice(2))).toEqual([1e9, 1e9])
})
