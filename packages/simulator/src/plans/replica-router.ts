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

/**
 * Each request goes to the replica with the fewest requests for its share, of those whose machines are all there; a
 * computed prompt, to one that answers.
 */
export class ReplicaRouter implements Router {
  readonly #inFlight: number[]
  readonly #chosen = new Map<number, number>()
  readonly #first: readonly number[]
  readonly #lost = new Set<number>()

  constructor(private readonly routes: readonly ReplicaRoute[]) {
    this.#inFlight = routes.map(() => 0)
    this.#first = routes.flatMap(({ role }, at) => (role === 'decode' ? [] : [at]))
  }

  admit(request: RoutedRequest): boolean {
    const first = this.#first.filter((at) => this.#isWhole(at))
    if (first.length === 0) return false
    this.#choose(request, first)
    return true
  }

  next(request: RoutedRequest): number {
    const { path, handsTo } = this.routes[this.#chosen.get(request.id)!]!
    const next = path[request.path.length]
    if (next !== undefined) return next
    if (handsTo === undefined) return atSink
    this.finished(request)
    // Where all are lost by now it begins anew once it arrives.
    const whole = handsTo.filter((at) => this.#isWhole(at))
    return this.routes[this.#choose(request, whole.length > 0 ? whole : handsTo)]!.path[0]!
  }

  /** Whether its machines are all there, and those of one that answers its prompts. */
  #isWhole(at: number): boolean {
    const { path, handsTo } = this.routes[at]!
    if (this.#lost.size === 0) return true
    if (path.some((machine) => this.#lost.has(machine))) return false
    return handsTo === undefined || handsTo.some((to) => this.#isWhole(to))
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
