import type { Role } from '@deos/planner'
import { atSink, type RoutedRequest, type Router } from '../serving/routing/router.ts'

/** A pipeline; one that computes prompts only is followed by one that answers. */
export interface ReplicaRoute {
  /** Machines in order. */
  readonly path: readonly number[]
  /** Of all requests of its role, as planned. */
  readonly share: number
  readonly role: Role
  /** Of a pipeline that computes prompts only, the ones that answer them, by their numbers. */
  readonly handsTo?: readonly number[]
}

/** Each request goes to the replica with the fewest requests for its share; a computed prompt, to one that answers. */
export class ReplicaRouter implements Router {
  readonly #inFlight: number[]
  readonly #chosen = new Map<number, number>()
  readonly #first: readonly number[]

  constructor(private readonly routes: readonly ReplicaRoute[]) {
    this.#inFlight = routes.map(() => 0)
    this.#first = routes.flatMap(({ role }, at) => (role === 'decode' ? [] : [at]))
  }

  admit(request: RoutedRequest): boolean {
    this.#choose(request, this.#first)
    return true
  }

  next(request: RoutedRequest): number {
    const { path, handsTo } = this.routes[this.#chosen.get(request.id)!]!
    const next = path[request.path.length]
    if (next !== undefined) return next
    if (handsTo === undefined) return atSink
    this.finished(request)
    return this.routes[this.#choose(request, handsTo)]!.path[0]!
  }

  #choose({ id }: RoutedRequest, among: readonly number[]): number {
    let best = among[0]!
    let least = Number.POSITIVE_INFINITY
    for (const at of among) {
      const load = (this.#inFlight[at]! + 1) / this.routes[at]!.share
      if (load >= least) continue
      least = load
      best = at
    }
    this.#inFlight[best] = this.#inFlight[best]! + 1
    this.#chosen.set(id, best)
    return best
  }

  finished(request: RoutedRequest): void {
    const replica = this.#chosen.get(request.id)!
    this.#chosen.delete(request.id)
    this.#inFlight[replica] = this.#inFlight[replica]! - 1
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
