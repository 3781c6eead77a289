import type { ServingFleet } from '../serving-fleet.ts'
import { fittingLinks } from './flow-router.ts'
import { atSink, atSource, type RoutedRequest, type Router } from './router.ts'

/** Weight of the newest time in the moving average, and the average before anything was measured, in ms. */
const newest = 0.8
const initialMs = 50

interface Choice {
  readonly to: number
  averageMs: number
  priority: number
}

/**
 * SWARM's stochastic wiring (arXiv 2301.11913, section 3.2) as Helix's authors run it for serving: each sender keeps a
 * moving average of how long each receiver takes, and interleaves receivers in inverse proportion to it. Keeps no
 * account of KV caches.
 */
export class SwarmRouter implements Router {
  private readonly choices = new Map<number, Choice[]>()

  constructor(fleet: ServingFleet) {
    for (const { from, to } of fittingLinks(fleet)) {
      const sender = from === 'source' ? atSource : from
      const choice = { to: to === 'sink' ? atSink : to, averageMs: initialMs, priority: initialMs }
      this.choices.set(sender, [...(this.choices.get(sender) ?? []), choice])
    }
  }

  admit(): boolean {
    return true
  }

  next(_request: RoutedRequest, from: number): number {
    const choices = this.choices.get(from)
    if (choices === undefined) throw new Error(`No link leads on from machine ${from}.`)
    const best = choices.reduce((a, b) => (b.priority < a.priority ? b : a))
    best.priority += best.averageMs
    return best.to
  }

  stepBegins(): void {
    // Only prompts choose.
  }

  served(from: number, to: number, elapsedMs: number): void {
    const choice = this.choices.get(from)?.find((each) => each.to === to)
    if (choice !== undefined) choice.averageMs = newest * elapsedMs + (1 - newest) * choice.averageMs
  }

  finished(): void {
    // Nothing is kept for single requests.
  }

  kvUsage(): number {
    return 0
  }
}
