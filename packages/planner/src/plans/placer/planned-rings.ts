import {
  DomainError,
  type FleetSnapshot,
  type LayerRange,
  type ModelConfig,
  type Placement,
  type PlacementCandidate,
  type PlacementRequest,
  seededRandom,
} from '@deos/domain'
import type { Demand } from '../../demand.ts'
import { type Eligible, eligibleCandidates } from '../../eligible.ts'
import { LinkTimes } from '../../link-times.ts'
import type { ModelShape } from '../../models/index.ts'
import { type Ring, tokenMsOf } from '../../quick-ring.ts'
import { reasonsForRing } from '../../reasons.ts'
import { placementOf } from '../../ring-placer.ts'
import { shareLayers } from '../../share-layers.ts'
import { type ComputeFleet, canonicalFleet } from '../fleet.ts'
import type { Assigned } from '../serving/assignment.ts'
import { servingChoices } from '../serving/choices.ts'
import { unitsOfStages } from '../serving/describe.ts'
import { machineOf } from '../serving/units.ts'
import { checkServingWorkload, type ServingWorkload } from '../serving/workload.ts'
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
  | { readonly rings: null; readonly why: string }

/** Devices that are planned with beside those that the base would take: planning takes time that others wait for. */
const mostPromising = 4
const mostNearby = 2
/** Longer rings than this are left to the base. */
const mostStages = 8
const steps = 30
/** A decision is looked for again before it is stored, and replicas of several deployments are placed in one go. */
const remembered = 256
/** Of the choices that the search found. */
const mostChoices = 3

interface RingPlan {
  /** Names of the devices in the fleet, in the order of the ring. */
  readonly devices: readonly string[]
  readonly layers: readonly LayerRange[]
}

export type PlanFor = (
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
) => readonly RingPlan[]

/**
 * The search of `planServing` with one stage to a device, without bound and description, which take longer than
 * the search; remembers the last results.
 */
export function rememberingPlans(): PlanFor {
  const known = new Map<string, readonly RingPlan[]>()
  return (shape, fleet, workload) => {
    const key = JSON.stringify([shape, fleet, workload])
    const rings = known.get(key) ?? search(shape, fleet, workload)
    known.delete(key)
    known.set(key, rings)
    if (known.size > remembered) known.delete(known.keys().next().value!)
    return rings
  }
}

/** A stage of a deployment is held by one device. */
const isOfSingleDevices = (assigned: Assigned): boolean =>
  unitsOfStages(assigned).every(({ members }) => members.length === 1)

function search(shape: ModelShape, fleet: ComputeFleet, workload: ServingWorkload): readonly RingPlan[] {
  checkServingWorkload(workload)
  const options = { random: seededRandom(1), steps, degrees: [1] }
  const choices = servingChoices(shape, canonicalFleet(fleet), workload, options)
  return choices
    .filter(({ assignment }) => assignment.feasible && assignment.assigned.every(isOfSingleDevices))
    .slice(0, mostChoices)
    .flatMap(({ assignment }) => assignment.assigned)
    .map((assigned) => ({
      devices: unitsOfStages(assigned).map((unit) => machineOf(unit).name),
      layers: assigned.group.form.pipeline.stages.map(({ layers }) => layers),
    }))
}

/**
 * Rings that the search for a plan for serving finds over the devices that promise most: those of the base's placement,
 * the quickest at such requests, and the quickest of their regions. Regions, providers and machines to
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
  const nothing = (why: string): Proposals => ({ rings: null, why: `Nothing was planned: ${why}` })
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
  const who = `the ${pool.length} most promising of ${snapshot.candidates.length} devices`
  const origin = `Planned over ${who}, by what each operator costs there.`
  return plan(shape, fleet, workload).flatMap(({ devices, layers: planned }) => {
    const order = devices.map((name) => candidates.get(name)!)
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
  const requestS = new Map(
    fresh.map((candidate) => {
      const { weightBytesPerSecond, flopsPerSecond } = candidate.benchmark
      const products = (2 * elements * promptTokens) / (flopsPerSecond[weightType] ?? 0)
      return [candidate, products + (outputTokens * demand.readBytes) / weightBytesPerSecond]
    }),
  )
  const quick = fresh
    .filter((candidate) => !taken.has(nameOfDevice(candidate)) && Number.isFinite(requestS.get(candidate)))
    .sort((a, b) => requestS.get(a)! - requestS.get(b)! || (nameOfDevice(a) < nameOfDevice(b) ? -1 : 1))
  // A ring of a few stages is not planned over many more devices than it takes.
  const promising = Math.min(mostPromising, 2 * stages.length + 2)
  const nearby = Math.min(mostNearby, stages.length)
  const near = (region: string) =>
    quick
      .slice(promising)
      .filter(({ location }) => location.region === region)
      .slice(0, nearby)
  const regions = new Set([
    stages[0]!.location.region,
    ...quick.slice(0, 1).map(({ location }) => location.region),
  ])
  return [...own, ...quick.slice(0, promising), ...[...regions].flatMap(near)]
}
