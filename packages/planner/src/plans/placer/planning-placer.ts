import {
  bytes,
  formatBytes,
  formatLayers,
  type Placement,
  type PlacementRequest,
  type Placer,
} from '@deos/domain'
import { Demand } from '../../demand.ts'
import { nameOfDevice } from './candidate-fleet.ts'
import {
  asked,
  forecastingPlacer,
  forecastTexts,
  kept,
  leastGain,
  withReasons,
} from './forecasting-placer.ts'
import { mendedRings } from './mended-rings.ts'
import { type MigrationPrice, migrationPrice } from './migration-price.ts'
import { type ProposedRing, plannedRings, rememberingPlans } from './planned-rings.ts'
import { forecastReplica, type ReplicaForecast } from './replica-forecast.ts'
import { type UsualRequests, usualRequests } from './ring-forecast.ts'

/** For how long a ring is expected to stay as it is, once it has its weights. */
const horizonS = 3600

const nothingMoves: MigrationPrice = { sizeBytes: 0, seconds: 0 }

interface Option extends ProposedRing {
  readonly forecast: ReplicaForecast
  readonly migration: MigrationPrice
  /** Requests in the time from now until the ring is changed again, for comparison. */
  readonly worth: number
}

/**
 * A placer that plans: beside what {@link forecastingPlacer} makes of the base it proposes the rings of a plan for
 * serving over the most promising devices, and, where the replica had a ring before, that ring mended. Each is forecast,
 * and what weights have to travel first is its price: it answers nothing meanwhile. The base is left only for a ring
 * that answers at least 5% more within the horizon, for each stage that it has more. What was rejected is among the reasons, with figures.
 *
 * Beside replicas of the other role (`partners`), and for prompts only (`work: 'prefill'`), it is the time in that role that
 * counts, with the KV that goes from one to the other. Requests that the base refuses are refused.
 */
export const planningPlacer = (base: Placer, requests: UsualRequests = usualRequests): Placer => {
  const forecasting = forecastingPlacer(base, requests)
  const plan = rememberingPlans()
  return {
    place(request, fleet) {
      const outcome = forecasting.place(request, fleet)
      if (outcome.placement?.forecast === undefined) return outcome
      const demand = new Demand(request)
      const optionOf = ({ placement, origin }: ProposedRing): readonly Option[] => {
        const forecast = forecastReplica(request, placement, fleet, requests)
        if (forecast === null || sharesMore(placement, outcome.placement!, request)) return []
        // New replicas fetch everything, wherever they are.
        const migration =
          request.held === undefined ? nothingMoves : migrationPrice(request, placement, fleet, demand)
        const share = horizonS / (horizonS + migration.seconds)
        return [{ placement, origin, forecast, migration, worth: share / forecast.requestMs }]
      }
      const [own] = optionOf({ placement: outcome.placement, origin: '' })
      if (own === undefined) return outcome
      // For prompts only, plans find next to nothing beside the rings that were forecast.
      const planned =
        request.work === 'prefill'
          ? { rings: [] }
          : plannedRings(request, fleet, demand, outcome.placement, requests, plan)
      const options = distinct(
        [...mendedRings(request, fleet, demand), ...(planned.rings ?? [])].flatMap(optionOf),
        own,
      )
      const best = options.reduce<Option | null>(
        (most, each) => (most === null || scoreOf(each, own) > scoreOf(most, own) ? each : most),
        null,
      )
      const why = planned.rings === null ? [planned.why] : []
      if (best === null || scoreOf(best, own) < own.worth) {
        const rejected = options.map((option) => rejectedText(option, own))
        return withReasons({ ...outcome.placement, ...kept(own.forecast, 1 / own.worth) }, [
          ...rejected,
          ...why,
          ...movedText(request, own),
        ])
      }
      const others = [own, ...options.filter((option) => option !== best)]
      return withReasons({ ...best.placement, ...kept(best.forecast, 1 / best.worth) }, [
        best.origin,
        ...forecastTexts(best.forecast, requests),
        ...others.map((option) => rejectedText(option, best)),
        ...movedText(request, best),
      ])
    },
  }
}

/** Its worth, less what has to be gained at least: once, and once more for each stage that others cannot have then. */
const scoreOf = ({ placement, worth }: Option, own: Option): number =>
  worth * (1 - leastGain) ** Math.max(1, placement.stages.length - own.placement.stages.length)

/** Machines to be avoided are for the base to share, where it has no others. */
function sharesMore(placement: Placement, base: Placement, { avoid }: PlacementRequest): boolean {
  const shared = ({ stages }: Placement) =>
    new Set(stages.map(({ machine }) => machine).filter((machine) => avoid.includes(machine))).size
  return shared(placement) > shared(base)
}

const keyOf = ({ stages }: Placement): string =>
  stages.map((stage) => `${nameOfDevice(stage)}:${stage.layers.first}-${stage.layers.end}`).join()

function distinct(options: readonly Option[], own: Option): readonly Option[] {
  const seen = new Set([keyOf(own.placement)])
  return options.filter(({ placement }) => {
    const key = keyOf(placement)
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

const show = (value: number): string => String(Number(value.toPrecision(3)))

/** Why not another ring, with its figures. */
function rejectedText({ placement, forecast, migration, worth }: Option, chosen: Option): string {
  const who = placement.stages
    .map((stage) => `${nameOfDevice(stage)} ${formatLayers(stage.layers)}`)
    .join(', ')
  const share = Math.round((1 - worth / chosen.worth) * 100)
  const moves =
    migration.seconds > chosen.migration.seconds + 1
      ? `, after ${show(migration.seconds)} s in which weights move`
      : ''
  const compared =
    share >= 0 ? `${share}% fewer` : `${-share}% more, too little for more stages or other machines`
  const each = asked(forecast)
  return `Not on ${who}: such a ${each} would take ${show(forecast.requestMs)} ms there${moves}; ${compared} ${each}s within an hour.`
}

function movedText({ held }: PlacementRequest, { migration }: Option): readonly string[] {
  if (held === undefined) return []
  const { sizeBytes, seconds } = migration
  return [
    sizeBytes === 0
      ? 'All weights are where they are needed.'
      : `${formatBytes(bytes(sizeBytes))} of weights move first, in about ${show(seconds)} s.`,
  ]
}
