import { type Link, type MachineId, type Milliseconds, ms, type PlacementCandidate } from '@deos/domain'

/**
 * Round trips taken for granted where nothing was measured. Pessimistic on purpose: about what the slowest of such
 * pairs have, so that a measured link is preferred.
 */
export const unmeasuredRoundTripMs = { sameSite: 2, sameRegion: 20, elsewhere: 200 } as const
export const unmeasuredBytesPerSecond = 12_500_000

/** One machine's end of a link. */
export type LinkEnd = Pick<PlacementCandidate, 'machine' | 'location'>

export interface WayRate {
  readonly roundTripMs: number
  readonly bytesPerSecond: number
}

const unmeasuredWay = (roundTripMs: number): WayRate => ({
  roundTripMs,
  bytesPerSecond: unmeasuredBytesPerSecond,
})
const unmeasuredWays = {
  sameSite: unmeasuredWay(unmeasuredRoundTripMs.sameSite),
  sameRegion: unmeasuredWay(unmeasuredRoundTripMs.sameRegion),
  elsewhere: unmeasuredWay(unmeasuredRoundTripMs.elsewhere),
} as const

export interface Crossing {
  readonly from: PlacementCandidate
  readonly to: PlacementCandidate
  readonly timeMs: Milliseconds
  readonly measured: boolean
}

type LinksByMachine = ReadonlyMap<MachineId, ReadonlyMap<MachineId, Link>>

/** Many placements are looked for among the same links. */
const sortedOut = new WeakMap<readonly Link[], LinksByMachine>()

/** How long one token's state takes from one candidate to another. */
export class LinkTimes {
  /** @param boundaryBytes - what goes from stage to stage for each token */
  constructor(
    readonly links: readonly Link[],
    private readonly boundaryBytes: number,
  ) {}

  /** Machines with a measured link from this one, nearest first. */
  neighbours(machine: MachineId): readonly MachineId[] {
    return [...(this.#byMachine().get(machine)?.values() ?? [])]
      .sort(
        (a, b) =>
          this.#wayMs(a, this.boundaryBytes) - this.#wayMs(b, this.boundaryBytes) || (a.to < b.to ? -1 : 1),
      )
      .map(({ to }) => to)
  }

  /** The ways of one token around the ring; the last one carries only the token itself. */
  around(order: readonly PlacementCandidate[]): readonly Crossing[] {
    if (order.length === 1) return []
    return order.map((from, index) => {
      const last = index === order.length - 1
      return this.#crossing(from, last ? order[0]! : order[index + 1]!, last ? 0 : this.boundaryBytes)
    })
  }

  /** The sum of {@link around}. */
  aroundMs(order: readonly PlacementCandidate[]): number {
    const last = order.length - 1
    if (last === 0) return 0
    let sum = this.#betweenMs(order[last]!, order[0]!, 0)
    for (let index = 0; index < last; index += 1) {
      sum += this.#betweenMs(order[index]!, order[index + 1]!, this.boundaryBytes)
    }
    return sum
  }

  /** What takes a token's state there. */
  stepMs(from: PlacementCandidate, to: PlacementCandidate): number {
    return this.#betweenMs(from, to, this.boundaryBytes)
  }

  #crossing(from: PlacementCandidate, to: PlacementCandidate, size: number): Crossing {
    const measured = from.machine === to.machine || this.between(from, to) !== undefined
    return { from, to, timeMs: ms(this.#betweenMs(from, to, size)), measured }
  }

  #betweenMs(from: PlacementCandidate, to: PlacementCandidate, size: number): number {
    return from.machine === to.machine ? 0 : this.#wayMs(this.rateOf(from, to), size)
  }

  /** From one machine to another, as measured or taken for granted. */
  rateOf(from: LinkEnd, to: LinkEnd): WayRate {
    const link = this.between(from, to)
    if (link) return link
    const sameRegion = from.location.region === to.location.region
    const sameSite = sameRegion && from.location.provider === to.location.provider
    return unmeasuredWays[sameSite ? 'sameSite' : sameRegion ? 'sameRegion' : 'elsewhere']
  }

  /** As measured, in whichever direction. */
  between(
    { machine: from }: Pick<LinkEnd, 'machine'>,
    { machine: to }: Pick<LinkEnd, 'machine'>,
  ): Link | undefined {
    const known = this.#byMachine()
    return known.get(from)?.get(to) ?? known.get(to)?.get(from)
  }

  /** Sorted out when first asked for: a ring of one never asks. */
  #byMachine(): LinksByMachine {
    const known = sortedOut.get(this.links) ?? byMachine(this.links)
    sortedOut.set(this.links, known)
    return known
  }

  #wayMs({ roundTripMs, bytesPerSecond }: WayRate, size: number): number {
    return roundTripMs / 2 + (size / bytesPerSecond) * 1000
  }
}

function byMachine(links: readonly Link[]): LinksByMachine {
  const known = new Map<MachineId, Map<MachineId, Link>>()
  for (const link of links) {
    if (!(link.roundTripMs >= 0) || !(link.bytesPerSecond > 0)) continue
    const ways = known.get(link.from)
    if (ways) ways.set(link.to, link)
    else known.set(link.from, new Map([[link.to, link]]))
  }
  return known
}
