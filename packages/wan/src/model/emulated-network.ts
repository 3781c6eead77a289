import { bytesPerSecond, linkSettings } from '../profile/link-settings.ts'
import { pairKey, type WanProfile } from '../profile/wan-profile.ts'
import type { WanAction } from '../schedule/wan-schedule.ts'
import { DirectedLink } from './directed-link.ts'
import { seededRandom } from './seeded-random.ts'
import { ShapedStream } from './shaped-stream.ts'
import { Throttle } from './throttle.ts'

/** All links of a profile, with what has happened to them. */
export class EmulatedNetwork {
  readonly #links = new Map<string, DirectedLink>()
  readonly #connections = new Map<string, number>()

  constructor(
    readonly profile: WanProfile,
    private readonly seed: number,
  ) {
    const up = new Map<string, Throttle>()
    const down = new Map<string, Throttle>()
    for (const { name, upMbps, downMbps } of profile.sites) {
      up.set(name, new Throttle(bytesPerSecond(upMbps)))
      down.set(name, new Throttle(bytesPerSecond(downMbps)))
    }
    const settings = linkSettings(profile)
    for (const { name: from } of profile.sites) {
      for (const { name: to } of profile.sites) {
        const own = settings.get(pairKey(from, to))!
        const way = new Throttle(own.bytesPerSecond)
        const throttles = from === to ? [way] : [up.get(from)!, way, down.get(to)!]
        this.#links.set(pairKey(from, to), new DirectedLink(own, throttles))
      }
    }
  }

  /** @throws Error if a site is not of the profile */
  link(from: string, to: string): DirectedLink {
    const link = this.#links.get(pairKey(from, to))
    if (link === undefined) throw new Error(`No link from ${from} to ${to}.`)
    return link
  }

  /** Both directions of a new connection, its dialler's first; chance depends on how many there were before. */
  connect(from: string, to: string): { readonly forth: ShapedStream; readonly back: ShapedStream } {
    const key = pairKey(from, to)
    const number = (this.#connections.get(key) ?? 0) + 1
    this.#connections.set(key, number)
    const stream = (out: DirectedLink, home: DirectedLink, direction: string) =>
      new ShapedStream(out, home, seededRandom(this.seed, `${key} ${number} ${direction}`))
    const there = this.link(from, to)
    const home = this.link(to, from)
    return { forth: stream(there, home, 'forth'), back: stream(home, there, 'back') }
  }

  /** Takes effect on links; cutting connections is up to who has them. */
  apply(action: WanAction, nowMs: number): void {
    const link = this.link(action.from, action.to)
    switch (action.action) {
      case 'blackhole':
        link.block(nowMs)
        break
      case 'reset':
        link.resets = true
        break
      case 'open':
        link.resets = false
        link.open(nowMs)
        break
      case 'kill':
        if (action.afterBytes > 0) link.killAfter(action.afterBytes)
    }
  }
}
