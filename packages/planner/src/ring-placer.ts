import {
  type FleetSnapshot,
  ms,
  type Placement,
  type PlacementOutcome,
  type PlacementRequest,
  type Placer,
} from '@deos/domain'
import { Demand } from './demand.ts'
import { eligibleCandidates } from './eligible.ts'
import { fewestStages } from './fewest-stages.ts'
import { LinkTimes } from './link-times.ts'
import { inPieces } from './prompt-pieces.ts'
import { quickRing, type Ring, tokenMsOf } from './quick-ring.ts'
import { reasonsAgainst, reasonsFor } from './reasons.ts'

/**
 * The first rule: one ring in as few stages as fit, of the machines and in the order that let a token around it
 * soonest, layers shared in proportion to measured speed as far as memory allows. Machines to be avoided are used
 * only if it does not fit without them, even where that takes more stages.
 *
 * The number of stages is the least there is for up to 8 stages, or any number if all layers have one size. Times
 * count weights read and links, not the KV read, which depends on how long sequences are.
 *
 * For prompts (`work: 'prefill'`) the same is looked for with the times that pieces of them take.
 *
 * `place` throws `PlacementRequestError` if a size of the request makes no sense.
 */
export const ringPlacer: Placer = {
  place(request, fleet) {
    return request.work === 'prefill' ? placeForPrompts(request, fleet) : placeFor(request, fleet)
  },
}

/** For decoding, or whatever else is told as if it were. */
function placeFor(request: PlacementRequest, fleet: FleetSnapshot): PlacementOutcome {
  const demand = new Demand(request)
  const eligible = eligibleCandidates(request, fleet, demand)
  const fewest = fewestStages(demand, eligible)
  if (!fewest) return { placement: null, reasons: reasonsAgainst(request, demand, eligible) }
  const links = new LinkTimes(fleet.links, request.model.boundaryBytes)
  const { fresh, avoided } = eligible
  const choice = quickRing(demand, links, fewest.order, fresh, fewest.sharing ? avoided : [])
  const reasons = reasonsFor(request, demand, eligible, links, choice)
  return { placement: placementOf(demand, choice.best, reasons), reasons }
}

/** Machines, order and layers for prompts; times are those of a token all the same, as everywhere. */
function placeForPrompts(request: PlacementRequest, fleet: FleetSnapshot): PlacementOutcome {
  const pieces = inPieces(request, fleet)
  const { placement, reasons } = placeFor(pieces.request, pieces.fleet)
  if (placement === null) return { placement, reasons }
  const demand = new Demand(request)
  const order = placement.stages.map(
    ({ machine, device }) =>
      fleet.candidates.find((candidate) => candidate.machine === machine && candidate.device === device)!,
  )
  const ranges = placement.stages.map(({ layers }) => layers)
  const links = new LinkTimes(fleet.links, request.model.boundaryBytes)
  const tokenMs = tokenMsOf(demand, links, order, ranges)
  return { placement: placementOf(demand, { order, ranges, tokenMs }, reasons), reasons }
}

export function placementOf(
  demand: Demand,
  { order, ranges, tokenMs }: Ring,
  reasons: readonly string[],
): Placement {
  const stages = order.map(({ machine, device, location, benchmark }, index) => {
    const layers = ranges[index]!
    return {
      machine,
      device,
      location,
      layers,
      weightBytes: demand.weightsOf(layers),
      kvBytes: demand.kvOf(layers),
      decodeMs: demand.readTime(layers, benchmark.weightBytesPerSecond),
    }
  })
  return { stages, tokenMs: ms(tokenMs), reasons }
}
