import type { MachineId } from '@deos/domain'

export interface PossiblePeer {
  readonly machine: MachineId
  readonly region: string
}

/** What is known of the links from one machine. */
export interface KnownLinks {
  /** When the link to the other was measured; null if it never was. */
  measuredAtMs(to: MachineId): number | null
}

export interface PeerWish {
  readonly self: MachineId
  /** How many now. */
  readonly most: number
  /** How many links of one machine are kept measured: all of them would be the square of the fleet. */
  readonly mostKept: number
  readonly nowMs: number
}

const renewAfterMs = 60 * 60_000

interface Region<P> {
  readonly due: readonly P[]
  fresh: number
}

/**
 * Whose links are worth measuring now: those never measured first, then the oldest; of the region first of which least
 * is known, so that a fleet spread over the world is known coarsely before any one place is known finely. Machines
 * begin at different places, so that all of them together know more than each.
 *
 * @param possible - ordered
 */
export function choosePeers<P extends PossiblePeer>(
  possible: readonly P[],
  known: KnownLinks,
  { self, most, mostKept, nowMs }: PeerWish,
): readonly P[] {
  const regions = regionsOf(startingAt(possible, self), known, nowMs - renewAfterMs, most)
  const fresh = regions.reduce((sum, region) => sum + region.fresh, 0)
  const chosen: P[] = []
  const taken = regions.map(() => 0)
  while (chosen.length < Math.min(most, mostKept - fresh)) {
    let next = -1
    for (const [index, { due, fresh }] of regions.entries()) {
      if (taken[index]! >= due.length) continue
      if (next < 0 || fresh + taken[index]! < regions[next]!.fresh + taken[next]!) next = index
    }
    if (next < 0) break
    chosen.push(regions[next]!.due[taken[next]!]!)
    taken[next]! += 1
  }
  return chosen
}

/** In the order in which they come; never more due ones than may be chosen. */
function regionsOf<P extends PossiblePeer>(
  possible: readonly P[],
  known: KnownLinks,
  freshAfterMs: number,
  most: number,
): readonly Region<P>[] {
  const regions = new Map<string, { unknown: P[]; old: { peer: P; atMs: number }[]; fresh: number }>()
  for (const peer of possible) {
    let region = regions.get(peer.region)
    if (region === undefined) {
      region = { unknown: [], old: [], fresh: 0 }
      regions.set(peer.region, region)
    }
    const atMs = known.measuredAtMs(peer.machine)
    if (atMs === null) {
      if (region.unknown.length < most) region.unknown.push(peer)
    } else if (atMs >= freshAfterMs) region.fresh += 1
    else region.old.push({ peer, atMs })
  }
  return [...regions.values()].map(({ unknown, old, fresh }) => ({
    due: [...unknown, ...old.sort((a, b) => a.atMs - b.atMs).map(({ peer }) => peer)],
    fresh,
  }))
}

/** Turned so that it begins behind the machine itself, which is left out. */
function startingAt<P extends PossiblePeer>(possible: readonly P[], self: MachineId): readonly P[] {
  const at = possible.findIndex(({ machine }) => machine >= self)
  if (at < 0) return possible
  const after = possible[at]!.machine === self ? at + 1 : at
  return [...possible.slice(after), ...possible.slice(0, at)]
}
