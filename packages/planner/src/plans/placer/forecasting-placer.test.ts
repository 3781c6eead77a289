import {
  bytes,
  bytesPerSecond,
  type FleetSnapshot,
  GiB,
  type MachineId,
  MiB,
  type PlacementRequest,
  tokens,
} from '@deos/domain'
import { describe, expect, test } from 'vitest'
import { ringPlacer } from '../../ring-placer.ts'
import { forecastingPlacer } from './forecasting-placer.ts'

/** 8 layers of 100 MiB in F16: 8 x 52.4e6 elements. */
const request: PlacementRequest = {
  model: {
    weightType: 'F16',
    layerBytes: Array.from({ length: 8 }, () => bytes(100 * MiB)),
    embeddingBytes: bytes(0),
    headBytes: bytes(0),
    kvBytesPerLayer: bytes(1024),
    boundaryBytes: bytes(4096),
  },
  kvTokens: tokens(1024),
  regions: null,
  providers: null,
  avoid: [],
}

function fleet(
  ...given: readonly (readonly [name: string, gBs: number, tflops: number | null, free?: number])[]
): FleetSnapshot {
  return {
    candidates: given.map(([name, gBs, tflops, free = 4 * GiB]) => ({
      machine: `machine-${name}` as MachineId,
      device: 'CUDA0',
      location: { region: 'here', provider: 'us' },
      freeBytes: bytes(free),
      benchmark: {
        device: 'CUDA0',
        weightBytesPerSecond: bytesPerSecond(gBs * 1e9),
        flopsPerSecond: tflops === null ? {} : { F16: tflops * 1e12 },
        hostBytesPerSecond: null,
      },
    })),
    links: [],
  }
}
const place = (snapshot: FleetSnapshot) => forecastingPlacer(ringPlacer).place(request, snapshot)
const machines = (snapshot: FleetSnapshot) => place(snapshot).placement!.stages.map(({ machine }) => machine)

describe('forecastingPlacer()', () => {
  test('says what a request takes', () => {
    const { placement, reasons } = place(fleet(['a', 100, 10]))
    // 838,860,800 bytes: 8.39 ms to read; 419,430,400 elements: 512 x 2 x those at 10 TFLOP/s are 42.9 ms.
    const sentence = reasons.find((each) => each.startsWith('Predicted'))
    expect(sentence).toBe(
      'Predicted for 4 sessions with prompts of 512 and answers of 128 tokens: TTFT 42.9 ms, TPOT 8.39 ms, 477 tokens/s; stage 0 sets the pace, memory-bound.',
    )
    expect(placement!.reasons).toEqual(reasons)
  })

  test('prefers a machine that computes prompts sooner to one that reads weights a little faster', () => {
    const snapshot = fleet(['reader', 105, 0.2], ['computer', 100, 10])
    expect(ringPlacer.place(request, snapshot).placement!.stages[0]!.machine).toBe('machine-reader')
    expect(machines(snapshot)).toEqual(['machine-computer'])
    expect(
      place(snapshot).reasons.find((each) => each.startsWith('Not on machine-reader/CUDA0: such')),
    ).toMatch(/% longer\.$/)
  })

  test('stays with the base where little is to be gained', () => {
    expect(machines(fleet(['a', 101, 10], ['b', 100, 10.1]))).toEqual(['machine-a'])
  })

  test('leaves it to the base, and says so, where products were not measured', () => {
    const snapshot = fleet(['a', 105, null], ['b', 100, 10])
    const { placement, reasons } = place(snapshot)
    expect(placement!.stages[0]!.machine).toBe('machine-a')
    expect(reasons.at(-1)).toMatch(/^Requests were not predicted: products of F16/)
  })

  test('gives the reasons of the base where nothing fits', () => {
    const small = fleet(['a', 100, 10, 10 * MiB])
    expect(place(small)).toEqual(ringPlacer.place(request, small))
  })

  test('does not depend on the order of candidates', () => {
    const snapshot = fleet(
      ['a', 90, 3, 300 * MiB],
      ['b', 100, 10, 500 * MiB],
      ['c', 95, 12, 600 * MiB],
      ['d', 10, 1],
    )
    const turned = { ...snapshot, candidates: [...snapshot.candidates].reverse() }
    expect(place(turned)).toEqual(place(snapshot))
  })

  test('does not share a machine to be avoided for speed', () => {
    const snapshot = fleet(['slow', 50, 1], ['quick', 500, 100])
    const asked = { ...request, avoid: ['machine-quick' as MachineId] }
    const { placement } = forecastingPlacer(ringPlacer).place(asked, snapshot)
    expect(placement!.stages.map(({ machine }) => machine)).toEqual(['machine-slow'])
  })
})
