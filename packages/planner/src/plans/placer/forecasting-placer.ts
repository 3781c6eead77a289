import {
  type FleetSnapshot,
  ms,
  type Placement,
  type PlacementCandidate,
  type PlacementForecast,
  type PlacementRequest,
  type Placer,
  tokensPerSecond,
} from '@deos/domain'
import { forecastRing, type RingForecast, type UsualRequests, usualRequests } from './ring-forecast.ts'

/** Less of a gain is not worth more stages, or machines that others may need. */
export const leastGain = 0.05
/** Of more devices than these, with room for a layer, the quickest. */
const mostTried = 128

/**
 * A placer that plays requests in its head: several placements, on all machines and on the quickest ones, are forecast
 * from prompt to last token, and the base's is left only for one that answers at least 5% sooner. What is forecast is
 * among the reasons, and so is stored with the decision. Where devices were not measured for it, the base decides alone
 * and the reasons say so.
 */
export const forecastingPlacer = (base: Placer, requests: UsualRequests = usualRequests): Placer => ({
  place(request, fleet) {
    const outcome = base.place(request, fleet)
    if (outcome.placement === null) return outcome
    const own = forecastRing(request.model, outcome.placement, fleet, requests)
    if (own === null) return withReasons(outcome.placement, [notForecast(request)])
    const others = alternatives(request, fleet, base, outcome.placement).flatMap((placement) => {
      const forecast = forecastRing(request.model, placement, fleet, requests)
      return forecast === null ? [] : [{ placement, forecast }]
    })
    const best = others.reduce<(typeof others)[number] | null>(
      (least, each) => (least === null || each.forecast.requestMs < least.forecast.requestMs ? each : least),
      null,
    )
    if (best === null || best.forecast.requestMs > own.requestMs * (1 - leastGain)) {
      return withReasons({ ...outcome.placement, forecast: kept(own) }, [
        forecastText(own, requests),
        ...(best === null ? [] : [rejectedText(best.placement, best.forecast, own)]),
      ])
    }
    return withReasons({ ...best.placement, forecast: kept(best.forecast) }, [
      forecastText(best.forecast, requests),
      rejectedText(outcome.placement, own, best.forecast),
    ])
  },
})

/** What the base makes of fewer machines: of the quickest at products, at reading weights, and of one region each. */
function alternatives(
  request: PlacementRequest,
  fleet: FleetSnapshot,
  base: Placer,
  known: Placement,
): readonly Placement[] {
  const { weightType, layerBytes } = request.model
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

const compare = (a: PlacementCandidate, b: PlacementCandidate): number => {
  const [first, second] = [`${a.machine}\n${a.device}`, `${b.machine}\n${b.device}`]
  return first < second ? -1 : first > second ? 1 : 0
}

const keyOf = ({ stages }: Placement): string =>
  stages.map(({ machine, device, layers }) => `${machine}/${device}:${layers.first}-${layers.end}`).join()

export const kept = (forecast: RingForecast): PlacementForecast => ({
  ttftMs: ms(forecast.ttftMs),
  tpotMs: ms(forecast.tpotMs),
  tokensPerSecond: tokensPerSecond(forecast.tokensPerS),
})

export const withReasons = (placement: Placement, more: readonly string[]) => {
  const reasons = [...placement.reasons, ...more]
  return { placement: { ...placement, reasons }, reasons }
}

const show = (value: number): string => String(Number(value.toPrecision(3)))

export const forecastText = (
  { ttftMs, tpotMs, tokensPerS, slowest }: RingForecast,
  { promptTokens, outputTokens, sessions }: UsualRequests,
): string =>
  `Predicted for ${sessions} sessions with prompts of ${promptTokens} and answers of ${outputTokens} tokens: TTFT ${show(ttftMs)} ms, TPOT ${show(tpotMs)} ms, ${show(tokensPerS)} tokens/s; stage ${slowest.stage} sets the pace, ${slowest.bound}-bound.`

function rejectedText({ stages }: Placement, own: RingForecast, chosen: RingForecast): string {
  const who = stages.map(({ machine, device }) => `${machine}/${device}`).join(', ')
  const more = Math.round((own.requestMs / chosen.requestMs - 1) * 100)
  return `Not on ${who}: such a request would take ${show(own.requestMs)} ms there, ${more >= 0 ? `${more}% longer` : `${-more}% less, too little for a change`}.`
}

const notForecast = ({ model }: PlacementRequest): string =>
  `Requests were not predicted: products of ${model.weightType} weights were not measured on all of these devices.`
