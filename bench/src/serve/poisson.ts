import type { Random } from '@deos/domain'

export interface PoissonProcess {
  readonly count: number
  readonly ratePerSecond: number
  readonly random: Random
}

/**
 * When requests of independent users arrive: milliseconds from 0, the first at 0, gaps distributed exponentially.
 *
 * @throws RangeError if the rate is not positive
 */
export function poissonArrivals({ count, ratePerSecond, random }: PoissonProcess): readonly number[] {
  if (!(ratePerSecond > 0 && Number.isFinite(ratePerSecond))) {
    throw new RangeError(`Requests arrive at a positive rate, not ${ratePerSecond} a second.`)
  }
  const arrivalsMs: number[] = []
  for (let atMs = 0; arrivalsMs.length < count; atMs += exponentialMs(ratePerSecond, random)) {
    arrivalsMs.push(atMs)
  }
  return arrivalsMs
}

const exponentialMs = (ratePerSecond: number, random: Random): number =>
  (-Math.log(1 - random.next()) * 1000) / ratePerSecond
