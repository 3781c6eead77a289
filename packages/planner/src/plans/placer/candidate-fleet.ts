import { GiB, kvWidths, type ModelConfig, type PlacementCandidate, type PlacementRequest } from '@deos/domain'
import { type LinkTimes, unmeasuredBytesPerSecond, unmeasuredRoundTripMs } from '../../link-times.ts'
import { type ModelShape, parameterCounts, shapeOfConfig } from '../../models/index.ts'
import { type ComputeFleet, type FleetMachine, type LinkRate, plainMachine } from '../fleet.ts'
import { usableMemory } from '../serving/unit-costs.ts'
import { precisions, type ServingWorkload, type WeightPrecision } from '../serving/workload.ts'
import { elementBytes, type UsualRequests } from './ring-forecast.ts'

/** Measured devices as a fleet to plan for. */
export interface CandidateFleet {
  readonly shape: ModelShape
  readonly fleet: ComputeFleet
  readonly workload: ServingWorkload
  /** By the name that each has in the fleet. */
  readonly candidates: ReadonlyMap<string, PlacementCandidate>
}

/** Between two devices of one machine: nothing that counts beside links. */
const inside: LinkRate = { delayMs: 0, bytesPerS: 1e12 }
const plannedBytesPerElement = 2
/**
 * Devices of one make are never measured quite alike; what is as good as alike is one kind to the planner, which counts
 * operators once for each. Between two powers of two: 3.5% of speed, 1% of memory.
 */
const speedSteps = 20
const memorySteps = 64

const roundTrip = (roundTripMs: number, scale: number): LinkRate => ({
  delayMs: roundTripMs / 2,
  bytesPerS: unmeasuredBytesPerSecond * scale,
})

/**
 * Each device becomes a machine with what was measured of it in place of a vendor's figures. Plans know five
 * precisions and engines more types of weights: all that is counted in bytes of weights or KV (memory, what is read a
 * second) is told in units in which the model is as large as the plan takes it to be.
 *
 * @param pool - with products in the model's weight type measured
 */
export function candidateFleet(
  { model, kvTokens }: PlacementRequest,
  config: ModelConfig,
  links: LinkTimes,
  pool: readonly PlacementCandidate[],
  { promptTokens, outputTokens, sessions }: UsualRequests,
): CandidateFleet {
  const shape = shapeOfConfig(config)
  const precision = nearestPrecision(elementBytes[model.weightType]!)
  const layerElements = parameterCounts(shape).layers.reduce((sum, { all }) => sum + all, 0)
  const layerBytes = model.layerBytes.reduce<number>((sum, each) => sum + each, 0)
  const scale = (layerElements * precisions[precision].weightBytes) / layerBytes
  const linkScale = (config.hiddenSize * plannedBytesPerElement) / Math.max(1, model.boundaryBytes)
  const { k, v } = kvWidths(config)
  const machines = pool.map((candidate) => machineOf(candidate, model.weightType, scale))
  const contextTokens = Math.max(kvTokens, promptTokens + outputTokens)
  return {
    shape,
    fleet: {
      machines,
      links: {
        sameSite: roundTrip(unmeasuredRoundTripMs.sameSite, linkScale),
        sameRegion: roundTrip(unmeasuredRoundTripMs.sameRegion, linkScale),
        elsewhere: roundTrip(unmeasuredRoundTripMs.elsewhere, linkScale),
        regions: [],
        measured: measuredLinks(links, pool, linkScale),
      },
      efficiency: { compute: 1, memory: 1, overheadMs: 0 },
    },
    workload: {
      requestsPerS: null,
      promptTokens: { mean: promptTokens, p95: promptTokens },
      outputTokens: { mean: outputTokens, p95: outputTokens },
      trace: null,
      contextTokens,
      ttftMs: null,
      tpotMs: null,
      goal: 'latency',
      precisions: [precision],
      // What all sessions together take is what the longest session is planned to take.
      kvBytesPerElement: Math.max(1e-9, (model.kvBytesPerLayer * scale * kvTokens) / contextTokens / (k + v)),
      roles: 'together',
      maxBatch: sessions,
    },
    candidates: new Map(pool.map((candidate) => [nameOfDevice(candidate), candidate])),
  }
}

export const nameOfDevice = ({ machine, device }: Pick<PlacementCandidate, 'machine' | 'device'>): string =>
  `${machine}/${device}`

function machineOf(candidate: PlacementCandidate, weightType: string, scale: number): FleetMachine {
  const { freeBytes, benchmark, location } = candidate
  const memoryGiB = roughly((freeBytes * scale) / usableMemory / GiB, memorySteps)
  const memoryGBs = roughly((benchmark.weightBytesPerSecond * scale) / 1e9, speedSteps)
  const tflops = roughly(benchmark.flopsPerSecond[weightType]! / 1e12, speedSteps)
  return plainMachine(
    nameOfDevice(candidate),
    {
      ...{ name: `${memoryGiB}/${memoryGBs}/${tflops}`, vendor: 'measured', memoryGiB, memoryGBs },
      ...{ fp32Tflops: tflops, fp16Tflops: tflops, fp8Tflops: null, int8Tops: null },
      ...{ peerLinkGBs: null, hostLinkGBs: null, powerW: null, source: 'measured', note: '' },
    },
    { inside, site: location.provider, region: location.region },
  )
}

/** Never more than it is. */
const roughly = (value: number, stepsToDouble: number): number =>
  2 ** (Math.floor(Math.log2(value) * stepsToDouble + 1e-9) / stepsToDouble)

function nearestPrecision(size: number): WeightPrecision {
  const offered = ['fp32', 'fp16', 'q8', 'q4'] as const
  const distance = (name: WeightPrecision) => Math.abs(Math.log(precisions[name].weightBytes / size))
  return offered.reduce((best, name) => (distance(name) < distance(best) ? name : best))
}

/** Between devices of two machines as between the machines, and within a machine nothing. */
function measuredLinks(links: LinkTimes, pool: readonly PlacementCandidate[], linkScale: number) {
  return pool.flatMap((from, at) =>
    pool.slice(at + 1).flatMap((to) => {
      const ends = { a: nameOfDevice(from), b: nameOfDevice(to) }
      if (from.machine === to.machine) return [{ ...ends, rate: inside }]
      const link = links.between(from, to)
      if (link === undefined) return []
      const { roundTripMs, bytesPerSecond } = link
      return [{ ...ends, rate: { delayMs: roundTripMs / 2, bytesPerS: bytesPerSecond * linkScale } }]
    }),
  )
}
