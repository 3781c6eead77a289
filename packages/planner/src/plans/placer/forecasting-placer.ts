import {
  type FleetSnapshot,
  type HeldRing,
  type ModelFootprint,
  ms,
  type Placement,
  type PlacementCandidate,
  type PlacementRequest,
  type Placer,
  tokensPerSecond,
} from '@deos/domain'
import { LEAST_SPLIT_GAIN } from '../../kv-split/advise-split.ts'
import { LinkTimes } from '../../link-times.ts'
import {
  endsOf,
  forecastReplica,
  type HandOver,
  kvLink,
  mean,
  type ReplicaForecast,
} from './replica-forecast.ts'
import { type UsualRequests, usualRequests } from './ring-forecast.ts'

/** Less of a gain is not worth more stages, or machines that others may need. */
export const leastGain = 0.05
/** Of more devices than these, with room for a layer, the quickest. */
const mostTried = 128

/**
 * A placer that plays requests in its head: several placements, on all machines, on the quickest ones and on those
 * nearest to replicas of the other role, are forecast in the role that is asked for ({@link forecastReplica}). The base's
 * is left only for one that is at least 5% sooner done. What is forecast is among the reasons, and so is stored with the
 * decision. Where devices were not measured for it, the base decides alone and the reasons say so.
 */
export const forecastingPlacer = (base: Placer, requests: UsualRequests = usualRequests): Placer => ({
  place(request, fleet) {
    const outcome = base.place(request, fleet)
    if (outcome.placement === null) return outcome
    const own = forecastReplica(request, outcome.placement, fleet, requests)
    if (own === null) return withReasons(outcome.placement, [notForecast(request)])
    const others = alternatives(request, fleet, base, outcome.placement).flatMap((placement) => {
      const forecast = forecastReplica(request, placement, fleet, requests)
      return forecast === null ? [] : [{ placement, forecast }]
    })
    const best = others.reduce<(typeof others)[number] | null>(
      (least, each) => (least === null || each.forecast.requestMs < least.forecast.requestMs ? each : least),
      null,
    )
    if (best === null || best.forecast.requestMs > own.requestMs * (1 - leastGain)) {
      return withReasons({ ...outcome.placement, ...kept(own) }, [
        ...forecastTexts(own, requests),
        ...(best === null ? [] : [rejectedText(best.placement, best.forecast, own)]),
      ])
    }
    return withReasons({ ...best.placement, ...kept(best.forecast) }, [
      ...forecastTexts(best.forecast, requests),
      rejectedText(outcome.placement, own, best.forecast),
    ])
  },
})

/**
 * What the base makes of fewer machines: of the quickest at products, at reading weights, at KV to or from replicas of
 * the other role, and of one region each.
 */
function alternatives(
  request: PlacementRequest,
  fleet: FleetSnapshot,
  base: Placer,
  known: Placement,
): readonly Placement[] {
  const { model, partners = [] } = request
  const { weightType, layerBytes } = model
  const leastBytes = Math.min(...layerBytes)
  const roomy = fleet.candidates.filter(({ freeBytes }) => freeBytes >= leastBytes)
  const bySpeed = (speed: (candidate: PlacementCandidate) => number, of = roomy) =>
    [...of].sort((a, b) => speed(b) - speed(a) || compare(a, b)).slice(0, mostTried)
  const ranked = (speed: (candidate: PlacementCandidate) => number) => {
    const sorted = bySpeed(speed)
    return [1, 2, 4, 8]
      .filter((count) => count < sorted.length)
      .map((count) => sorted.slice(0, Math.ceil(sorted.length / count / 2)))
  }
  const regions = [...new Set(roomy.map(({ location }) => location.region))].sort()
  const pools = [
    ...ranked(({ benchmark }) => benchmark.flopsPerSecond[weightType] ?? 0),
    ...ranked(({ benchmark }) => benchmark.weightBytesPerSecond),
    ...(partners.length === 0 ? [] : ranked(nearness(model, partners, fleet))),
    ...(regions.length < 2
      ? []
      : regions.map((region) =>
          bySpeed(
            ({ benchmark }) => benchmark.weightBytesPerSecond,
            roomy.filter(({ location }) => location.region === region),
          ),
        )),
  ]
  const seen = new Set([keyOf(known)])
  return pools.flatMap((candidates) => {
    const { placement } = base.place(request, { ...fleet, candidates })
    if (placement === null || seen.has(keyOf(placement))) return []
    seen.add(keyOf(placement))
    // Machines to be avoided are for the base to share, where it has no others.
    const shares = placement.stages.some(({ machine }) => request.avoid.includes(machine))
    const baseShares = known.stages.some(({ machine }) => request.avoid.includes(machine))
    return shares && !baseShares ? [] : [placement]
  })
}

/** Bytes a second on the best link to each partner, the mean of all; what is on a machine of theirs comes first. */
function nearness(
  model: ModelFootprint,
  partners: readonly HeldRing[],
  fleet: FleetSnapshot,
): (candidate: PlacementCandidate) => number {
  const links = new LinkTimes(fleet.links, model.boundaryBytes)
  const ends = partners.map((ring) => endsOf(ring, fleet))
  return (candidate) =>
    mean(ends.map((ring) => Math.max(...ring.map(({ end }) => kvLink(links, candidate, end).bytesPerSecond))))
}

const compare = (a: PlacementCandidate, b: PlacementCandidate): number => {
  const [first, second] = [`${a.machine}\n${a.device}`, `${b.machine}\n${b.device}`]
  return first < second ? -1 : first > second ? 1 : 0
}

const keyOf = ({ stages }: Placement): string =>
  stages.map(({ machine, device, layers }) => `${machine}/${device}:${layers.first}-${layers.end}`).join()

/** @param requestMs - if weights have to move first, longer than is forecast */
export const kept = (
  { ttftMs, tpotMs, tokensPerS, handOvers, ...forecast }: ReplicaForecast,
  requestMs = forecast.requestMs,
): Required<Pick<Placement, 'forecast' | 'requestMs'>> => ({
  forecast: {
    ttftMs: ms(ttftMs),
    tpotMs: tpotMs === null ? null : ms(tpotMs),
    tokensPerSecond: tokensPerSecond(tokensPerS),
    ...(handOvers.length === 0 ? {} : { handOverMs: ms(meanWaitMs(handOvers)) }),
  },
  requestMs: ms(requestMs),
})

const meanWaitMs = (handOvers: readonly HandOver[]): number => mean(handOvers.map(({ waitMs }) => waitMs))

export const withReasons = (placement: Placement, more: readonly string[]) => {
  const reasons = [...placement.reasons, ...more]
  return { placement: { ...placement, reasons }, reasons }
}

const percent = (share: number): string => `${Math.round(share * 100)}%`

const show = (value: number): string => String(Number(value.toPrecision(3)))

/** What it is predicted to do in its role, what binds, and where prompts are computed. */
export function forecastTexts(
  { ttftMs, tpotMs, tokensPerS, slowest, handOvers, slowPartners, hereMs }: ReplicaForecast,
  { promptTokens, outputTokens, sessions }: UsualRequests,
): readonly string[] {
  const pace =
    slowest === 'link'
      ? 'the link on which KV leaves sets the pace'
      : `stage ${slowest.stage} sets the pace, ${slowest.bound}-bound`
  if (tpotMs === null) {
    const after = handOvers.length === 0 ? '' : `, with their KV where they are decoded in ${show(ttftMs)} ms`
    return [
      `Predicted for prompts of ${promptTokens} tokens, which are all that is computed here: computed in ${show(hereMs)} ms${after}, ${show(tokensPerS)} tokens/s; ${pace}.`,
      ...handOvers.map(
        ({ partner, computedMs, waitMs, link, linkMs, ownMs }) =>
          `Decoded at ${partner}: the KV is there ${show(waitMs)} ms after the prompt is computed, ${link} carries its part in ${show(linkMs)} ms${ownMs !== null && ownMs < computedMs + waitMs ? `; computed there it takes ${show(ownMs)} ms, which is sooner` : ''}.`,
      ),
    ]
  }
  return [
    `Predicted for ${sessions} sessions with prompts of ${promptTokens} and answers of ${outputTokens} tokens: TTFT ${show(ttftMs)} ms, TPOT ${show(tpotMs)} ms, ${show(tokensPerS)} tokens/s; ${pace}.`,
    ...handOvers.map(
      ({ partner, computedMs, waitMs, link, linkMs }) =>
        `Prompts are computed at ${partner} in ${show(computedMs)} ms, not here in ${show(hereMs)} ms; the KV is here ${show(waitMs)} ms later, ${link} carries its part in ${show(linkMs)} ms.`,
    ),
    ...(slowPartners === 0
      ? []
      : [
          `Of ${slowPartners + handOvers.length} replicas for prompts, ${slowPartners} would not have them here ${percent(LEAST_SPLIT_GAIN)} sooner: prompts are then computed here, in ${show(hereMs)} ms.`,
        ]),
  ]
}

function rejectedText({ stages }: Placement, own: ReplicaForecast, chosen: ReplicaForecast): string {
  const who = stages.map(({ machine, device }) => `${machine}/${device}`).join(', ')
  const more = Math.round((own.requestMs / chosen.requestMs - 1) * 100)
  return `Not on ${who}: such a ${asked(own)} would take ${show(own.requestMs)} ms there, ${more >= 0 ? `${more}% longer` : `${-more}% less, too little for a change`}.`
}

/** What is asked of the replica, in words. */
export const asked = ({ tpotMs }: ReplicaForecast): string => (tpotMs === null ? 'prompt' : 'request')

const notForecast = ({ model }: PlacementRequest): string =>
  `Requests were not predicted: products of ${model.weightType} weights were not measured on all of these devices.`
