import { atSink, type RoutedRequest, type Router } from '../serving/routing/router.ts'

/** Pipelines that share nothing. */
export interface ReplicaRoute {
  /** Machines in order. */
  readonly path: readonly number[]
  /** Of all requests, as planned. */
  readonly share: number
}

/** Each request goes to the replica with the fewest requests for its share, of those whose machines are all there. */
export class ReplicaRouter implements Router {
  readonly #inFlight: number[]
  readonly #chosen = new Map<number, number>()
  readonly #lost = new Set<number>()

  constructor(private readonly routes: readonly ReplicaRoute[]) {
    this.#inFlight = routes.map(() => 0)
  }

  admit(request: RoutedRequest): boolean {
    let best: number | null = null
    let least = Number.POSITIVE_INFINITY
    for (const [at, { path, share }] of this.routes.entries()) {
      if (path.some((machine) => this.#lost.has(machine))) continue
      const load = (this.#inFlight[at]! + 1) / share
      if (load >= least) continue
      least = load
      best = at
    }
    if (best === null) return false
    this.#inFlight[best] = this.#inFlight[best]! + 1
    this.#chosen.set(request.id, best)
    return true
  }

  next(request: RoutedRequest): number {
    return this.routes[this.#chosen.get(request.id)!]!.path[request.path.length] ?? atSink
  }

  finished(request: RoutedRequest): void {
    const replica = this.#chosen.get(request.id)!
    this.#chosen.delete(request.id)
    this.#inFlight[replica] = this.#inFlight[replica]! - 1
  }

  availabilityChanged(machine: number, isThere: boolean): void {
    if (isThere) this.#lost.delete(machine)
    else this.#lost.add(machine)
  }

  stepBegins(): void {
    // Steps stay with their prompt.
  }

  served(): void {
    // Requests are counted, times are not.
  }

  kvUsage(): number {
    return 0
  }
}
