import type { ModelShape } from '../../models/index.ts'
import type { ComputeFleet, FleetMachine, LinkRate } from '../fleet.ts'
import { mostBusy } from './pipeline.ts'
import { UnitCosts } from './unit-costs.ts'
import type { ServingWorkload, WeightPrecision } from './workload.ts'

export const freeLink: LinkRate = { delayMs: 0, bytesPerS: Number.POSITIVE_INFINITY }
const expertParts = [1, 2, 4, 8]

/** Accelerators alike in speed and price, and the least of its time that a request takes of one, layer by layer. */
interface Offer {
  readonly count: number
  readonly pricePerHour: number
  readonly promptMs: readonly number[]
  readonly answerMs: readonly number[]
  /** Prompt and answer with the same batch: no less than both apart. */
  readonly requestMs: readonly number[]
}

/** What is paid for a request's prompt and for its answer through each layer; 1 for a whole request. */
interface Prices {
  readonly prompt: readonly number[]
  readonly answer: readonly number[]
}

/**
 * A ceiling on requests/s, and a floor under what a load costs. Whatever is paid for a request through each layer, if it
 * is 1 in all, a fleet earns as much as it serves, and no accelerator earns more than in its best layer and role, busy
 * for no more than the planner lets it be. So every choice of prices proves a bound, and the tightest of those tried counts:
 * prices in proportion to time, and where prompts may be computed apart, each share of them at which one kind of accelerator
 * is worth as much in either role, among which is the best share for such prices.
 *
 * An accelerator's time is that without partners: dividing matrices, positions or weights with the host never takes less of
 * all members together. Dividing experts might, and is tried with links that cost nothing. Memory is not looked at.
 */
export class RateBound {
  readonly #offers: readonly Offer[]
  readonly #together: boolean

  constructor(shape: ModelShape, fleet: ComputeFleet, workload: ServingWorkload, precision: WeightPrecision) {
    this.#together = workload.roles === 'together'
    this.#offers = alike(fleet.machines).map(({ machine, count }) => ({
      count,
      pricePerHour: machine.pricePerHour / machine.accelerators,
      ...leastTimes(shape, fleet, workload, precision, machine),
    }))
  }

  requestsPerS(): number {
    const ceilings = this.#prices().map((prices) =>
      this.#offers.reduce((sum, offer) => sum + offer.count * this.#worth(offer, prices), 0),
    )
    return Math.min(...ceilings)
  }

  /** USD an hour; infinite if the fleet does not bear the load. */
  pricePerHour(requestsPerS: number): number {
    return Math.max(...this.#prices().map((prices) => this.#floor(prices, requestsPerS)))
  }

  #prices(): readonly Prices[] {
    const offers = this.#offers
    if (this.#together) {
      return profiles(offers.map(({ requestMs }) => requestMs)).map((answer) => ({
        prompt: answer.map(() => 0),
        answer,
      }))
    }
    const prompts = profiles(offers.map(({ promptMs }) => promptMs))
    const answers = profiles(offers.map(({ answerMs }) => answerMs))
    return prompts.flatMap((prompt, at) => {
      const answer = answers[at]!
      const shares = offers.map((offer) => {
        const forPrompts = most(prompt, offer.promptMs)
        const forAnswers = most(answer, offer.answerMs)
        return forAnswers / (forPrompts + forAnswers)
      })
      return [0, ...shares, 1].map((share) => ({
        prompt: prompt.map((each) => each * share),
        answer: answer.map((each) => each * (1 - share)),
      }))
    })
  }

  /** What one accelerator earns at most in a second. */
  #worth({ promptMs, answerMs, requestMs }: Offer, { prompt, answer }: Prices): number {
    const perMs = this.#together
      ? most(answer, requestMs)
      : Math.max(most(prompt, promptMs), most(answer, answerMs))
    return perMs * mostBusy * 1000
  }

  /** The cheapest accelerators by the fraction that earn what the load pays. */
  #floor(prices: Prices, requestsPerS: number): number {
    const ranked = this.#offers
      .map((offer) => ({ ...offer, worth: this.#worth(offer, prices) }))
      .sort((a, b) => a.pricePerHour / a.worth - b.pricePerHour / b.worth)
    let left = requestsPerS
    let price = 0
    for (const { worth, pricePerHour, count } of ranked) {
      const used = Math.min(count, left / worth)
      price += used * pricePerHour
      left -= used * worth
      if (left <= 1e-9 * requestsPerS) return price
    }
    return Number.POSITIVE_INFINITY
  }
}

function leastTimes(
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  precision: WeightPrecision,
  { accelerator }: FleetMachine,
): Pick<Offer, 'promptMs' | 'answerMs' | 'requestMs'> {
  const output = workload.outputTokens.mean
  const layers = Array.from({ length: shape.layers }, (_, first) => ({ first, end: first + 1 }))
  const never = () => layers.map(() => Number.POSITIVE_INFINITY)
  const least = { promptMs: never(), answerMs: never(), requestMs: never() }
  const { experts } = shape
  const parts = expertParts.filter((each) => each === 1 || (experts !== null && experts.count % each === 0))
  for (const members of parts) {
    const kind = { accelerator, tensorParallel: 1, expertParallel: members, link: freeLink }
    const costs = new UnitCosts(shape, kind, precision, workload, fleet.efficiency)
    for (const range of layers) {
      const at = range.first
      const promptMs = members * costs.prefillMs(range)
      least.promptMs[at] = Math.min(least.promptMs[at]!, promptMs)
      for (const batch of costs.batches) {
        const answerMs = (members * output * costs.decodeMs(range, batch)) / batch
        least.answerMs[at] = Math.min(least.answerMs[at]!, answerMs)
        least.requestMs[at] = Math.min(least.requestMs[at]!, promptMs + answerMs)
      }
    }
  }
  return least
}

/** Machines whose accelerators are alike, once, with how many of them there are. */
function alike(
  machines: readonly FleetMachine[],
): readonly { readonly machine: FleetMachine; readonly count: number }[] {
  const kinds = new Map<string, { readonly machine: FleetMachine; count: number }>()
  for (const machine of machines) {
    const { accelerator, accelerators, pricePerHour } = machine
    const key = JSON.stringify([accelerator, pricePerHour / accelerators])
    const known = kinds.get(key)
    if (known === undefined) kinds.set(key, { machine, count: accelerators })
    else known.count += accelerators
  }
  return [...kinds.values()]
}

/** Shares of the layers in the time of each, and of all on the average. */
function profiles(times: readonly (readonly number[])[]): readonly (readonly number[])[] {
  const shares = times.map((each) => {
    const total = each.reduce((sum, ms) => sum + ms, 0)
    return each.map((ms) => ms / total)
  })
  const mean = shares[0]!.map(
    (_, layer) => shares.reduce((sum, each) => sum + each[layer]!, 0) / shares.length,
  )
  return [mean, ...shares]
}

/** The most that a ms earns. */
const most = (prices: readonly number[], times: readonly number[]): number =>
  prices.reduce((best, price, layer) => Math.max(best, price / times[layer]!), 0)
