import { pairKey, type WanProfile } from './wan-profile.ts'

/** One direction of the way between two sites, access lines included. */
export interface LinkSettings {
  readonly oneWayMs: number
  readonly jitterMs: number
  /** Share of packets that are lost. */
  readonly loss: number
  /** Of the way itself; `Infinity` is unlimited. Access lines have their own. */
  readonly bytesPerSecond: number
}

export const bytesPerSecond = (mbps: number | undefined): number =>
  mbps === undefined ? Number.POSITIVE_INFINITY : mbps * 125_000

/** Settings of every ordered pair of sites, pairs of a site with itself included, by {@link pairKey}. */
export function linkSettings(profile: WanProfile): ReadonlyMap<string, LinkSettings> {
  const { sites, inside, otherwise, links } = profile
  const between = new Map<string, Way>()
  for (const link of links) {
    between.set(pairKey(link.from, link.to), link)
    if (!link.directed) between.set(pairKey(link.to, link.from), link)
  }
  const settings = new Map<string, LinkSettings>()
  for (const from of sites) {
    for (const to of sites) {
      const key = pairKey(from.name, to.name)
      if (from === to) {
        settings.set(key, withAccess(inside, []))
        continue
      }
      const way = between.get(key) ?? otherwise
      if (way === undefined) throw new Error(`No way from ${from.name} to ${to.name} in a checked profile.`)
      settings.set(key, withAccess(way, [from, to]))
    }
  }
  return settings
}

type Way = WanProfile['inside']

function withAccess(way: Way, sites: readonly WanProfile['sites'][number][]): LinkSettings {
  let { oneWayMs, jitterMs = 0, loss = 0 } = way
  for (const { accessMs = 0, accessJitterMs = 0, accessLoss = 0 } of sites) {
    oneWayMs += accessMs
    jitterMs += accessJitterMs
    loss = 1 - (1 - loss) * (1 - accessLoss)
  }
  return { oneWayMs, jitterMs, loss, bytesPerSecond: bytesPerSecond(way.mbps) }
}
