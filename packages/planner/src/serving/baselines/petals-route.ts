import type { LayerRange } from '@deos/domain'

/** A server of a Petals swarm as a client sees it. */
export interface PetalsServer {
  readonly layers: LayerRange
  /** Of one layer and one step, as the server announces it. */
  readonly msPerLayer: number
  /** Tokens times layers for which its cache has room; not given is always enough. */
  readonly cacheTokensLeft?: number
}

export interface PetalsRouteOptions {
  /** Round trip between two servers; undefined where it was not measured. */
  readonly roundTripMs: (from: number, to: number) => number | undefined
  /** Round trip between the client and a server. */
  readonly clientRoundTripMs: (server: number) => number | undefined
  /** Longest the request may become; not given, caches are not looked at. */
  readonly cacheTokens?: number
}

/** Layers of a request on one server. */
export interface PetalsHop extends LayerRange {
  readonly server: number
}

const overheadMs = 18
const fullCacheMs = 10_000
const unknownDelayMs = 150
const mostDelayMs = 5000

/**
 * The chain of servers with the least time for one step, as Petals' clients choose it (arXiv 2312.08361;
 * petals/client/routing/sequence_manager.py at 063e94b, mode `min_latency`): half a round trip and 18 ms for each hop to
 * a server, its layers' time, and 10 s where its cache is too full. A server may be entered at any of its layers but is
 * left only at its end. Null if some layer is held by nobody.
 */
export function petalsRoute(
  layers: number,
  servers: readonly PetalsServer[],
  options: PetalsRouteOptions,
): { readonly hops: readonly PetalsHop[]; readonly ms: number } | null {
  const { roundTripMs, clientRoundTripMs, cacheTokens } = options
  const isFull = ({ layers: held, cacheTokensLeft }: PetalsServer) =>
    cacheTokens !== undefined &&
    cacheTokensLeft !== undefined &&
    cacheTokens * 2 * (held.end - held.first) > cacheTokensLeft
  const enter = (server: number) => overheadMs + (isFull(servers[server]!) ? fullCacheMs : 0)
  // A chain moves towards the end, so the best way to each server's end can be settled in order of the ends.
  const order = servers
    .map((_, server) => server)
    .sort((a, b) => ends(servers, a) - ends(servers, b) || a - b)
  const best = new Map<
    number,
    { readonly ms: number; readonly from: number | null; readonly entered: number }
  >()
  for (const server of order) {
    const { layers: held, msPerLayer } = servers[server]!
    const offer = (ms: number, from: number | null, entered: number) => {
      const total = ms + enter(server) + (held.end - entered) * msPerLayer
      if (total < (best.get(server)?.ms ?? Number.POSITIVE_INFINITY))
        best.set(server, { ms: total, from, entered })
    }
    if (held.first === 0) offer(delay(clientRoundTripMs(server)), null, 0)
    for (const [from, { ms }] of [...best]) {
      const at = ends(servers, from)
      if (from === server || at < held.first || at >= held.end) continue
      offer(ms + delay(roundTripMs(from, server)), from, at)
    }
  }
  let last: number | null = null
  let ms = Number.POSITIVE_INFINITY
  for (const server of order) {
    const found = best.get(server)
    if (found === undefined || ends(servers, server) !== layers) continue
    const total = found.ms + delay(clientRoundTripMs(server))
    if (total >= ms) continue
    ms = total
    last = server
  }
  if (last === null) return null
  const hops: PetalsHop[] = []
  for (let server: number | null = last; server !== null; server = best.get(server)!.from) {
    hops.unshift({ server, first: best.get(server)!.entered, end: ends(servers, server) })
  }
  return { hops, ms }
}

const ends = (servers: readonly PetalsServer[], server: number) => servers[server]!.layers.end

function delay(roundTripMs: number | undefined): number {
  return roundTripMs === undefined ? unknownDelayMs : Math.min(roundTripMs / 2, mostDelayMs)
}
