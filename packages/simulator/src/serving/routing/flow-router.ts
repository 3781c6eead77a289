import type { FleetLink, ServingFleet } from '../serving-fleet.ts'
import { atSink, atSource, type RoutedRequest, type Router } from './router.ts'

export interface FlowRouterOptions {
  /** Links with what each is to carry, in tokens/s: the maximum flow of the placement. */
  readonly flow: readonly {
    readonly from: number | 'source'
    readonly to: number | 'sink'
    readonly tokensPerSecond: number
  }[]
  /** Share of a machine's KV cache that may be spoken for before it is passed over. */
  readonly kvMost: number
  /** Tokens that a request is expected to add to its prompt. */
  readonly expectedOutputTokens: number
  /** Whether a request is turned away where no machine has room; else it goes where it would have gone. */
  readonly mayTurnAway: boolean
  /**
   * Who is next: the one that has had least for its weight, or the one that will have had least with this prompt (the
   * default), which sends short prompts to slow machines.
   */
  readonly next?: 'leastBefore' | 'leastAfter'
}

/** Links with less than this share of their sender's flow are not used. */
const leastShare = 0.05

interface Choice {
  readonly to: number
  readonly weight: number
  load: number
}

/**
 * Helix's scheduling (arXiv 2406.01566, section 5): each machine spreads what it sends by weighted round robin after
 * the flow of its links, passing over machines whose KV cache is expected to be full.
 */
export class FlowRouter implements Router {
  private readonly choices = new Map<number, readonly Choice[]>()
  private readonly spoken: Float64Array
  private readonly plans = new Map<number, readonly number[]>()

  constructor(
    private readonly fleet: ServingFleet,
    private readonly options: FlowRouterOptions,
  ) {
    this.spoken = new Float64Array(fleet.machines.length)
    const outgoing = new Map<number, Choice[]>()
    for (const { from, to, tokensPerSecond } of options.flow) {
      const sender = from === 'source' ? atSource : from
      const choice = { to: to === 'sink' ? atSink : to, weight: tokensPerSecond, load: 0 }
      outgoing.set(sender, [...(outgoing.get(sender) ?? []), choice])
    }
    for (const [sender, all] of outgoing) {
      const total = all.reduce((sum, choice) => sum + choice.weight, 0)
      this.choices.set(
        sender,
        all.filter((choice) => choice.weight >= total * leastShare),
      )
    }
  }

  admit(request: RoutedRequest): boolean {
    const plan = this.plan(request, true) ?? (this.options.mayTurnAway ? null : this.plan(request, false))
    if (plan === null) return false
    const tokens = this.expected(request)
    for (const machine of plan) this.spoken[machine]! += tokens
    this.plans.set(request.id, plan)
    return true
  }

  next(request: RoutedRequest, _from: number): number {
    return this.plans.get(request.id)![request.path.length] ?? atSink
  }

  stepBegins(request: RoutedRequest): void {
    this.load(request.path, 1)
  }

  served(): void {
    // The flow was computed beforehand.
  }

  finished(request: RoutedRequest): void {
    const tokens = this.expected(request)
    for (const machine of request.path) this.spoken[machine]! -= tokens
    this.plans.delete(request.id)
  }

  kvUsage(): number {
    const { machines, layers } = this.fleet
    let most = 0
    for (let layer = 0; layer < layers; layer += 1) {
      let free = 0
      let total = 0
      for (const [index, { layers: held, kvTokens }] of machines.entries()) {
        if (layer < held.first || layer >= held.end) continue
        free += kvTokens - this.spoken[index]!
        total += kvTokens
      }
      most = Math.max(most, 1 - free / total)
    }
    return most
  }

  private plan(request: RoutedRequest, heedKv: boolean): readonly number[] | null {
    const plan: number[] = []
    const taken: Choice[] = []
    const tokens = this.expected(request)
    for (let from = atSource; ; ) {
      let best: Choice | null = null
      let least = Number.POSITIVE_INFINITY
      for (const choice of this.choices.get(from) ?? []) {
        const after = choice.load + request.promptTokens / choice.weight
        const key = this.options.next === 'leastBefore' ? choice.load : after
        if (key >= least || (heedKv && !this.hasRoom(choice.to, tokens))) continue
        best = choice
        least = key
      }
      if (best === null) {
        for (const choice of taken) choice.load -= request.promptTokens / choice.weight
        return null
      }
      best.load += request.promptTokens / best.weight
      taken.push(best)
      if (best.to === atSink) return plan
      plan.push(best.to)
      from = best.to
    }
  }

  private load(path: readonly number[], tokens: number): void {
    let from = atSource
    for (let at = 0; at <= path.length; at += 1) {
      const to = path[at] ?? atSink
      for (const choice of this.choices.get(from)!) {
        if (choice.to === to) choice.load += tokens / choice.weight
      }
      from = to
    }
  }

  private hasRoom(machine: number, tokens: number): boolean {
    if (machine === atSink) return true
    const { kvTokens } = this.fleet.machines[machine]!
    return this.spoken[machine]! + tokens <= kvTokens * this.options.kvMost
  }

  private expected(request: RoutedRequest): number {
    return Math.floor(request.promptTokens + this.options.expectedOutputTokens)
  }
}

/** The links of a fleet over which layers continue without gap or overlap. */
export function fittingLinks({ machines, links, layers }: ServingFleet): readonly FleetLink[] {
  return links.filter(({ from, to }) => {
    const end = from === 'source' ? 0 : machines[from]!.layers.end
    return end === (to === 'sink' ? layers : machines[to]!.layers.first)
  })
}
