import {
  bytes,
  bytesPerSecond,
  type DeviceBenchmark,
  type FleetSnapshot,
  type PlacementRequest,
} from '@deos/domain'

/** Tokens of a prompt that go around a ring together. */
export const PIECE_TOKENS = 512

/**
 * The same request and fleet, told in pieces of a prompt instead of tokens: a piece takes as long as its products, or as
 * reading the weights for them once, whichever is more, and is so many times larger on its way. So whoever is looked for
 * as if for decoding is good at prompts.
 */
export function inPieces(
  request: PlacementRequest,
  fleet: FleetSnapshot,
): { readonly request: PlacementRequest; readonly fleet: FleetSnapshot } {
  const { model } = request
  const rates = fleet.candidates.flatMap(({ benchmark }) => computeRate(benchmark, model.weightType) ?? [])
  // Whoever was not measured counts as the slowest that was.
  const slowest = rates.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...rates)
  return {
    request: { ...request, model: { ...model, boundaryBytes: bytes(model.boundaryBytes * PIECE_TOKENS) } },
    fleet: {
      ...fleet,
      candidates: fleet.candidates.map((candidate) => {
        const { benchmark } = candidate
        const flops = computeRate(benchmark, model.weightType) ?? slowest
        const computed = (flops * bytesPerWeight(model.weightType)) / (2 * PIECE_TOKENS)
        const weightBytesPerSecond = bytesPerSecond(Math.min(benchmark.weightBytesPerSecond, computed))
        return { ...candidate, benchmark: { ...benchmark, weightBytesPerSecond } }
      }),
    },
  }
}

/** Of that weight type, or the fastest of others; `null` if none was measured. */
function computeRate({ flopsPerSecond }: DeviceBenchmark, weightType: string): number | null {
  const measured = Object.values(flopsPerSecond).filter((flops) => flops > 0 && Number.isFinite(flops))
  const own = flopsPerSecond[weightType]
  if (own !== undefined && measured.includes(own)) return own
  return measured.length === 0 ? null : Math.max(...measured)
}

/** From the bits that the type's name begins with (`F16`, `Q8_0`, `Q4_K`), scales aside; halves if it names none. */
function bytesPerWeight(weightType: string): number {
  const bits = Number(/^[A-Z]+(\d{1,2})/.exec(weightType)?.[1] ?? 16)
  return Math.max(1, bits) / 8
}
