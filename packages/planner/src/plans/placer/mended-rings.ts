import type { FleetSnapshot, HeldLayers, HeldRing, PlacementCandidate, PlacementRequest } from '@deos/domain'
import type { Demand } from '../../demand.ts'
import { eligibleCandidates } from '../../eligible.ts'
import { LinkTimes } from '../../link-times.ts'
import { inPieces } from '../../prompt-pieces.ts'
import { nameOfDevice } from './candidate-fleet.ts'
import { type ProposedRing, placementOfRing } from './planned-rings.ts'

/** Of those that could stand in for a lost one, so many are tried. */
const standIns = 8

/**
 * The ring that a replica had, its lost machines replaced and everything else where its weights are. For prompts,
 * replaced by whoever is good at pieces of them.
 *
 * @returns none if its layers were divided otherwise, all of it is gone, or nothing fits in the gaps
 */
export function mendedRings(
  request: PlacementRequest,
  snapshot: FleetSnapshot,
  demand: Demand,
): readonly ProposedRing[] {
  const { held = [], work } = request
  if (!coversAll(held, demand.layers)) return []
  const eligible = eligibleCandidates(request, snapshot, demand)
  const links = new LinkTimes(snapshot.links, request.model.boundaryBytes)
  const told = work === 'prefill' ? inPieces(request, snapshot) : { request, fleet: snapshot }
  const toldLinks = new LinkTimes(told.fleet.links, told.request.model.boundaryBytes)
  const toldSpeeds = new Map(
    told.fleet.candidates.map((each) => [nameOfDevice(each), each.benchmark.weightBytesPerSecond]),
  )
  const all = new Map([...eligible.fresh, ...eligible.avoided].map((each) => [nameOfDevice(each), each]))
  const holds = (candidate: PlacementCandidate, { layers }: HeldLayers) =>
    demand.roomOf(layers) <= candidate.freeBytes
  const order: (PlacementCandidate | null)[] = held.map((stage) => {
    const still = all.get(nameOfDevice(stage))
    return still !== undefined && holds(still, stage) ? still : null
  })
  if (order.every((each) => each === null)) return []
  for (const [at, stage] of held.entries()) {
    if (order[at] !== null) continue
    const found = standIn(at, stage)
    if (found === null) return []
    order[at] = found
  }
  const ring = order.flatMap((each) => (each === null ? [] : [each]))
  const kept = ring.filter((each, at) => nameOfDevice(each) === nameOfDevice(held[at]!)).length
  const origin = `${kept} of ${ring.length} stages stay where they were.`
  const ranges = held.map(({ layers }) => layers)
  return [{ placement: placementOfRing(request, { demand, eligible, links }, ring, ranges), origin }]

  /** With the shortest way from and to its neighbours, and the quickest at its layers. */
  function standIn(at: number, stage: HeldLayers): PlacementCandidate | null {
    const free = eligible.fresh
      .filter((candidate) => !order.includes(candidate) && holds(candidate, stage))
      .sort((a, b) => timeOf(a) - timeOf(b) || (nameOfDevice(a) < nameOfDevice(b) ? -1 : 1))
      .slice(0, standIns)
    const before = order.at(at - 1) ?? null
    const after = order[(at + 1) % order.length] ?? null
    const around = (candidate: PlacementCandidate) =>
      (before === null ? 0 : toldLinks.stepMs(before, candidate)) +
      (after === null ? 0 : toldLinks.stepMs(candidate, after)) +
      timeOf(candidate)
    return free.reduce<PlacementCandidate | null>(
      (best, each) => (best === null || around(each) < around(best) ? each : best),
      null,
    )

    function timeOf(candidate: PlacementCandidate): number {
      return demand.readTime(stage.layers, toldSpeeds.get(nameOfDevice(candidate))!)
    }
  }
}

/** Whether each layer is held once, in order. */
export function coversAll(held: HeldRing, layers: number): boolean {
  let next = 0
  for (const { layers: range } of held) {
    if (range.first !== next || range.end <= next) return false
    next = range.end
  }
  return next === layers
}
