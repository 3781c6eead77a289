import type { MachineId, MachineLocation } from '@deos/domain'

export interface PossiblePeer {
  readonly machine: MachineId
  readonly location: MachineLocation
  /** Of the link to it; null if it was never measured. */
  readonly measuredAtMs: number | null
}

const renewAfterMs = 60 * 60_000

/**
 * Whose links are worth measuring now: those never measured first, then the oldest, regions taking turns so that a
 * fleet spread over the world is known coarsely before any one place is known finely.
 */
export function choosePeers<P extends PossiblePeer>(
  possible: readonly P[],
  nowMs: number,
  most: number,
): readonly P[] {
  const byRegion = new Map<string, P[]>()
  const due = possible
    .filter(({ measuredAtMs }) => measuredAtMs === null || nowMs - measuredAtMs > renewAfterMs)
    .sort((a, b) => (a.measuredAtMs ?? 0) - (b.measuredAtMs ?? 0) || (a.machine < b.machine ? -1 : 1))
  for (const peer of due) {
    const { region } = peer.location
    const ofRegion = byRegion.get(region)
    if (ofRegion === undefined) byRegion.set(region, [peer])
    else ofRegion.push(peer)
  }
  const chosen: P[] = []
  for (let turn = 0; chosen.length < Math.min(most, due.length); turn += 1) {
    for (const ofRegion of byRegion.values()) {
      const peer = ofRegion[turn]
      if (peer !== undefined && chosen.length < most) chosen.push(peer)
    }
  }
  return chosen
}
