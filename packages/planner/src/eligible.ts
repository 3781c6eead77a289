import { bytes, type FleetSnapshot, type PlacementCandidate, type PlacementRequest } from '@deos/domain'
import type { Demand } from './demand.ts'

/** Why candidates were left out. */
export interface Exclusions {
  readonly region: readonly PlacementCandidate[]
  readonly provider: readonly PlacementCandidate[]
  readonly unmeasured: readonly PlacementCandidate[]
  /** Not even one layer fits. */
  readonly tooSmall: readonly PlacementCandidate[]
}

/** Who may hold a stage, most free memory first. */
export interface Eligible {
  /** Not to be avoided. */
  readonly fresh: readonly PlacementCandidate[]
  readonly avoided: readonly PlacementCandidate[]
  readonly exclusions: Exclusions
}

/** Sorts out who may hold a stage; the result does not depend on the order of the candidates. */
export function eligibleCandidates(
  request: PlacementRequest,
  fleet: FleetSnapshot,
  demand: Demand,
): Eligible {
  const regions = request.regions && new Set(request.regions)
  const providers = request.providers && new Set(request.providers)
  const avoid = new Set(request.avoid)
  const seen = new Set<string>()
  const left = {
    region: [] as PlacementCandidate[],
    provider: [] as PlacementCandidate[],
    unmeasured: [] as PlacementCandidate[],
    tooSmall: [] as PlacementCandidate[],
  }
  const fresh: PlacementCandidate[] = []
  const avoided: PlacementCandidate[] = []
  for (const candidate of [...fleet.candidates].sort(byRoom)) {
    const { machine, device, location, benchmark, freeBytes } = candidate
    const key = `${machine}\n${device}`
    if (seen.has(key)) continue
    seen.add(key)
    const speed = benchmark.weightBytesPerSecond
    if (regions && !regions.has(location.region)) left.region.push(candidate)
    else if (providers && !providers.has(location.provider)) left.provider.push(candidate)
    else if (!(speed > 0) || !Number.isFinite(speed)) left.unmeasured.push(candidate)
    else if (!(freeBytes > 0) || demand.longestRun(freeBytes) === 0) left.tooSmall.push(candidate)
    else if (avoid.has(machine)) avoided.push(candidate)
    else fresh.push(candidate)
  }
  return { fresh, avoided, exclusions: left }
}

export const totalRoom = (candidates: readonly PlacementCandidate[]) =>
  bytes(candidates.reduce((sum, { freeBytes }) => sum + Math.max(0, freeBytes), 0))

/** Most free memory first, then by name. */
export const byRoom = (a: PlacementCandidate, b: PlacementCandidate): number =>
  b.freeBytes - a.freeBytes || byName(a, b)

/** Fastest first, then by name. */
export const bySpeed = (a: PlacementCandidate, b: PlacementCandidate): number =>
  b.benchmark.weightBytesPerSecond - a.benchmark.weightBytesPerSecond || byName(a, b)

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const byName = (a: PlacementCandidate, b: PlacementCandidate): number =>
  compare(a.machine, b.machine) || compare(a.device, b.device)
