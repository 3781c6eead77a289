import type { HeldRing, MachineId, PlacementOutcome, PlacementRequest } from '@deos/domain'

/** What else there is of a deployment when a replica that answers is placed. */
export interface ReplicasBeside {
  /** That answer, with a place. */
  readonly answering: readonly HeldRing[]
  /** That compute prompts, with a place. */
  readonly prompts: readonly HeldRing[]
  /** How many more are wanted that compute prompts. */
  readonly missing: number
}

export interface Answering {
  /** As it was asked in the end. */
  readonly request: PlacementRequest
  readonly outcome: PlacementOutcome
}

/** Less is not worth a change, as for placers. */
const leastGain = 0.05

/**
 * Places a replica that answers beside those that compute prompts, or are going to.
 *
 * Who answers is placed first: it does without the others, they do not without it, and their places depend on where
 * their KV has to go. Of those that are still missing it is therefore guessed where they will be, in two ways: on the
 * best machines there are for prompts, which are then left to them if there is room elsewhere; or, where requests are
 * predicted to be sooner answered by 5% that way, on the best of what the replica itself leaves over.
 */
export function placeAnswering(
  request: PlacementRequest,
  { answering, prompts, missing }: ReplicasBeside,
  place: (request: PlacementRequest) => PlacementOutcome,
): Answering {
  const left = leaving(answering, [])
  const leftMs = left.outcome.placement?.requestMs
  if (missing === 0 || leftMs === undefined) return left
  const alone = place(beside(request, prompts)).placement
  if (alone === null || sameRing(alone.stages, left.outcome.placement!.stages)) return left
  const own = ringOf(alone.stages)
  const first = leaving([...answering, own], own)
  const firstMs = first.outcome.placement?.requestMs
  if (firstMs === undefined || firstMs > leftMs * (1 - leastGain)) return left
  const reason = `Not kept off the best machines for prompts (${list(left.kept)}): such a request would take ${show(leftMs)} ms then, ${show(firstMs)} ms here.`
  return withReason(first, reason)

  /** Where the missing ones would go beside these, off a ring, and where the replica goes off theirs. */
  function leaving(partners: readonly HeldRing[], off: HeldRing) {
    const { held: _, ...others } = beside({ ...request, work: 'prefill' }, partners)
    const meant: HeldRing[] = []
    for (let count = 0; count < missing; count += 1) {
      const { placement } = place(avoiding(others, [off, ...meant]))
      if (placement === null) break
      meant.push(ringOf(placement.stages))
    }
    const asked = beside(avoiding(request, meant), [...prompts, ...meant])
    return { request: asked, outcome: place(asked), kept: meant.flatMap(machinesOf) }
  }
}

/** What is asked for a replica that computes prompts for those that answer. */
export const beside = (request: PlacementRequest, partners: readonly HeldRing[]): PlacementRequest =>
  partners.length === 0 ? request : { ...request, partners }

export const ringOf = (stages: HeldRing): HeldRing =>
  stages.map(({ machine, device, layers }) => ({ machine, device, layers }))

const machinesOf = (ring: HeldRing): readonly MachineId[] => ring.map(({ machine }) => machine)

const avoiding = (request: PlacementRequest, rings: readonly HeldRing[]): PlacementRequest => ({
  ...request,
  avoid: [...new Set([...request.avoid, ...rings.flatMap(machinesOf)])].sort(),
})

const sameRing = (a: HeldRing, b: HeldRing): boolean =>
  JSON.stringify(ringOf(a)) === JSON.stringify(ringOf(b))

function withReason({ request, outcome }: Answering, reason: string): Answering {
  const placement = outcome.placement!
  const reasons = [...placement.reasons, reason]
  return { request, outcome: { placement: { ...placement, reasons }, reasons } }
}

const list = (machines: readonly MachineId[]): string => [...new Set(machines)].join(', ')

const show = (value: number): string => String(Number(value.toPrecision(3)))
