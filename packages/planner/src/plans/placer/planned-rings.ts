import {
  DomainError,
  type FleetSnapshot,
  type ModelConfig,
  type Placement,
  type PlacementCandidate,
  type PlacementRequest,
} from '@deos/domain'
import type { Demand } from '../../demand.ts'
import { type Eligible, eligibleCandidates } from '../../eligible.ts'
import { LinkTimes } from '../../link-times.ts'
import type { ModelShape } from '../../models/index.ts'
import { type Ring, tokenMsOf } from '../../quick-ring.ts'
import { reasonsForRing } from '../../reasons.ts'
import { placementOf } from '../../ring-placer.ts'
import { shareLayers } from '../../share-layers.ts'
import type { ComputeFleet } from '../fleet.ts'
import { planServing } from '../serving/plan-serving.ts'
import type { ServingOutcome } from '../serving/serving-plan.ts'
import type { ServingWorkload } from '../serving/workload.ts'
import { candidateFleet, nameOfDevice } from './candidate-fleet.ts'
import { elementBytes, type UsualRequests } from './ring-forecast.ts'

/** A ring that was thought of, with what is said of it if it is chosen. */
export interface ProposedRing {
  readonly placement: Placement
  readonly origin: string
}

export type Proposals =
  | { readonly rings: readonly ProposedRing[] }
  /** Why nothing was planned. */
  | { readonly rings: readonly []; readonly why: string }

/** Devices that are planned with beside those that the base would take: planning takes time that others wait for. */
const mostPromising = 6
const mostNearby = 4
/** Longer rings than this are left to the base. */
const mostStages = 8
const steps = 30
/** A decision is looked for again before it is stored, and replicas of several deployments are placed in one go. */
const remembered = 256

export type PlanFor = (shape: ModelShape, fleet: ComputeFleet, workload: ServingWorkload) => ServingOutcome

/** Plans one stage to a device, and remembers the last ones. */
export function rememberingPlans(): PlanFor {
  const known = new Map<string, ServingOutcome>()
  return (shape, fleet, workload) => {
    const key = JSON.stringify([shape, fleet, workload])
    const plan = known.get(key) ?? planServing(shape, fleet, workload, { degrees: [1], steps })
    known.delete(key)
    known.set(key, plan)
    if (known.size > remembered) known.delete(known.keys().next().value!)
    return plan
  }
}

/**
 * Rings of a plan for serving ({@link planServing}) over the devices that promise most: those of the base's placement,
 * the quickest at such requests of all and of the region in which the base's begins. Regions, providers and machines to
 * be avoided are sorted out before; layers are divided as planned where they fit to the byte, else in the same order by
 * what fits.
 */
export function plannedRings(
  request: PlacementRequest,
  snapshot: FleetSnapshot,
  demand: Demand,
  base: Placement,
  requests: UsualRequests,
  plan: PlanFor,
): Proposals {
  const { config, weightType } = request.model
  const nothing = (why: string): Proposals => ({ rings: [], why: `Nothing else was planned: ${why}` })
  if (config === undefined) return nothing('what its layers are made of was not kept at registration.')
  if (base.stages.length > mostStages)
    return nothing(`a ring of ${base.stages.length} stages takes too long.`)
  if (elementBytes[weightType] === undefined) return nothing(`${weightType} is of no known size.`)
  const eligible = eligibleCandidates(request, snapshot, demand)
  const pool = poolOf(request, eligible, demand, base, requests)
  try {
    return { rings: ringsOf(request, config, snapshot, { demand, eligible, pool, requests, plan }) }
  } catch (error) {
    // What cannot be planned is placed all the same.
    if (!(error instanceof DomainError)) throw error
    return nothing(error.message)
  }
}

interface Search {
  readonly demand: Demand
  readonly eligible: Eligible
  readonly pool: readonly PlacementCandidate[]
  readonly requests: UsualRequests
  readonly plan: PlanFor
}

function ringsOf(
  request: PlacementRequest,
  config: ModelConfig,
  snapshot: FleetSnapshot,
  { demand, eligible, pool, requests, plan }: Search,
): readonly ProposedRing[] {
  const links = new LinkTimes(snapshot.links, request.model.boundaryBytes)
  const { shape, fleet, workload, candidates } = candidateFleet(request, config, links, pool, requests)
  const outcome = plan(shape, fleet, workload)
  if (outcome.kind === 'refused') return []
  const who = `the ${pool.length} most promising of ${snapshot.candidates.length} devices`
  const origin = `Planned over ${who}, by what each operator costs there.`
  return outcome.replicas.flatMap(({ stages }) => {
    const order = stages.map(({ accelerators }) => candidates.get(accelerators[0]!.machine)!)
    const planned = stages.map(({ layers }) => layers)
    const fits = planned.every((range, at) => demand.roomOf(range) <= order[at]!.freeBytes)
    const ranges = fits ? planned : shareLayers(demand, order)
    if (ranges === null) return []
    return [{ placement: placementOfRing(request, { demand, eligible, links }, order, ranges), origin }]
  })
}

export function placementOfRing(
  request: PlacementRequest,
  { demand, eligible, links }: Pick<Search, 'demand' | 'eligible'> & { readonly links: LinkTimes },
  order: Ring['order'],
  ranges: Ring['ranges'],
): Placement {
  const ring = { order, ranges, tokenMs: tokenMsOf(demand, links, order, ranges) }
  return placementOf(demand, ring, reasonsForRing(request, demand, eligible, links, ring))
}

function poolOf(
  { model: { weightType } }: PlacementRequest,
  { fresh, avoided }: Eligible,
  demand: Demand,
  { stages }: Placement,
  { promptTokens, outputTokens }: UsualRequests,
): readonly PlacementCandidate[] {
  const taken = new Set(stages.map(nameOfDevice))
  const own = [...fresh, ...avoided].filter((candidate) => taken.has(nameOfDevice(candidate)))
  const elements = demand.readBytes / elementBytes[weightType]!
  const requestMs = new Map(
    fresh.map((candidate) => {
      const { weightBytesPerSecond, flopsPerSecond } = candidate.benchmark
      const products = (2 * elements * promptTokens) / (flopsPerSecond[weightType] ?? 0)
      return [candidate, products + (outputTokens * demand.readBytes) / weightBytesPerSecond]
    }),
  )
  const quick = fresh
    .filter((candidate) => !taken.has(nameOfDevice(candidate)) && Number.isFinite(requestMs.get(candidate)))
    .sort((a, b) => requestMs.get(a)! - requestMs.get(b)! || (nameOfDevice(a) < nameOfDevice(b) ? -1 : 1))
  // A ring of a few stages is not planned over many more devices than it takes.
  const promising = Math.min(mostPromising, 2 * stages.length + 2)
  const nearby = Math.min(mostNearby, stages.length)
  const { region } = stages[0]!.location
  const near = quick.slice(promising).filter(({ location }) => location.region === region)
  return [...own, ...quick.slice(0, promising), ...near.slice(0, nearby)]
}
