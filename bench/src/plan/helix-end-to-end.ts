import { seededRandom } from '@deos/domain'
import {
  type FlowInstance,
  type FlowPlacement,
  flowBounds,
  flowOfPlacement,
  refinePlacement,
} from '@deos/planner'
import type { ServingResult } from '@deos/simulator'
import { candidatesOf } from './helix-candidates.ts'
import { type HelixModel, stageFleet, withAllLinks } from './helix-cluster.ts'
import {
  admissions,
  favours,
  firstPolicies,
  routedOver,
  type ServingPolicy,
  stepLimits,
} from './helix-policies.ts'
import { type HelixSetup, percentiles } from './helix-rows.ts'
import { type HelixSite, loads, type Seconds, type ServingMode } from './helix-settings.ts'

export interface EndToEndCase {
  readonly site: HelixSite
  readonly model: HelixModel
  readonly mode: ServingMode
}

export interface EndToEndPlan {
  readonly placement: FlowPlacement
  readonly policy: ServingPolicy
  /** Simulations that the decision took. */
  readonly simulations: number
  readonly flowBound: number
  /** The plan, with requests that the decision did not see. */
  run(seed: number): ServingResult
}

export interface PlanBudget {
  readonly simulations: number
  /** Of the flow, for each candidate. */
  readonly evaluations: number
}

/** Candidates that are tried with every first policy. */
const mostPromising = 4
/** Of the simulations, for changes of the placement and for policies in turn. */
const placementShare = 0.7
/** Score of what overfills a cache and would have to evict: the fuller the worse, and worse than all that does not. */
const overfull = -1e6
/** Below all that serves. */
const unroutable = -1e12
/** What a latency above this share of the incumbent's counts. */
const wantedShare = 0.98
const slowerWeight = 5
/** Requests by which plans are compared; the figures are measured with others. */
const decisionSeed = 101
const decisionWindow: Readonly<Record<ServingMode, Seconds>> = {
  offline: { from: 60, to: 420 },
  online: { from: 0, to: 300 },
}

/**
 * Our placement and routing for a whole cluster of Helix's: candidates by flow, with shallow and with deep stages, then
 * changes of the best, and how requests are let in and batched, that the simulator finds better. All machines are one
 * pool, also where Helix splits it by kind.
 */
export function planEndToEnd(setup: HelixSetup, task: EndToEndCase, budget: PlanBudget): EndToEndPlan {
  const bench = new PlanBench(setup, task)
  const candidates = candidatesOf(bench.instance, budget.evaluations)
  const { placement: start, policy: first } = bench.best(candidates, firstPolicies[task.mode])
  const refined = refinePlacement(bench.instance, {
    candidates: [start],
    score: (placement) => bench.score(placement, first),
    evaluations: Math.max(1, Math.round(budget.simulations * placementShare) - bench.simulations),
    random: seededRandom(1),
  })
  const policy = bench.bestPolicy(refined.placement, refined.score, first)
  const again = refinePlacement(bench.instance, {
    candidates: [refined.placement],
    score: (placement) => bench.score(placement, policy),
    evaluations: Math.max(1, budget.simulations - bench.simulations),
    random: seededRandom(2),
  })
  return {
    placement: again.placement,
    policy,
    simulations: bench.simulations,
    flowBound: flowBounds(bench.instance).best,
    run: (seed) => bench.run(again.placement, policy, seed),
  }
}

/** What our policies make of a given placement: the same freedom for another planner's. */
export function withOurPolicy(setup: HelixSetup, task: EndToEndCase, placement: FlowPlacement): EndToEndPlan {
  const bench = new PlanBench(setup, task)
  const [first] = firstPolicies[task.mode]
  const policy = bench.bestPolicy(placement, bench.score(placement, first!), first!)
  return {
    placement,
    policy,
    simulations: bench.simulations,
    flowBound: flowBounds(bench.instance).best,
    run: (seed) => bench.run(placement, policy, seed),
  }
}

/** Simulates plans of one case. */
export class PlanBench {
  readonly instance: FlowInstance
  simulations = 0
  private readonly load: number
  /** Online: latencies of Helix's placement and routing under the requests of the decision. */
  private readonly incumbent: readonly number[] | null

  constructor(
    private readonly setup: HelixSetup,
    private readonly task: EndToEndCase,
  ) {
    const { site, model } = task
    const { instance: published } = setup.instance(`${site}_llama70b`)
    const devices = model === 'llama2_70b' ? published.devices : setup.rates30b(published)
    this.instance = withAllLinks(
      setup.cluster(site),
      model,
      (kind) => devices.find((device) => device.kind.toLowerCase() === kind)!.tokensPerSecondByLayers,
    )
    this.load = loads[site][model].Helix.reduce((sum, [, each]) => sum + each, 0)
    this.incumbent =
      task.mode === 'offline'
        ? null
        : latencies(
            setup.run({ ...task, method: 'Helix' }, decisionSeed, 'simulation', decisionWindow.online),
          )
  }

  run(placement: FlowPlacement, policy: ServingPolicy, seed: number, window?: Seconds): ServingResult {
    const { setup, task, instance, load } = this
    const { admission, stepsPerPass } = policy
    const fleet = stageFleet(
      setup.cluster(task.site),
      setup.profiles,
      task.model,
      placement,
      stepsPerPass === null ? {} : { stepsPerPass },
    )
    const part = setup.flowPart(
      fleet,
      routedOver(instance, policy),
      placement,
      [20, load],
      admission,
      policy.next,
    )
    return setup.runPart(part, task.mode, seed, window)
  }

  /** More is better; what would overfill a cache is out of the question. */
  score(placement: FlowPlacement, policy: ServingPolicy): number {
    const { mode } = this.task
    if (flowOfPlacement(routedOver(this.instance, policy), placement).tokensPerSecond === 0) return unroutable
    this.simulations += 1
    const result = this.run(placement, policy, decisionSeed, decisionWindow[mode])
    const fullest = Math.max(...result.kvPeak)
    return fullest > 1 ? overfull * fullest : scoreOf(result, this.incumbent)
  }

  /** Candidates by the first policy; the best of them by the others too. */
  best(candidates: readonly FlowPlacement[], [first, ...others]: readonly ServingPolicy[]) {
    const scored = (placement: FlowPlacement, policy: ServingPolicy) => ({
      placement,
      policy,
      score: this.score(placement, policy),
    })
    const ranked = candidates.map((placement) => scored(placement, first!)).sort((a, b) => b.score - a.score)
    const more = others.flatMap((policy) =>
      ranked.slice(0, mostPromising).map(({ placement }) => scored(placement, policy)),
    )
    return [...ranked, ...more].reduce((a, b) => (b.score > a.score ? b : a))
  }

  bestPolicy(placement: FlowPlacement, known: number, first: ServingPolicy): ServingPolicy {
    let best = first
    let most = known
    for (const admission of admissions[this.task.mode]) {
      for (const stepsPerPass of stepLimits) {
        for (const favour of favours[this.task.mode]) {
          const policy = { ...first, admission, stepsPerPass, favour }
          const score = this.score(placement, policy)
          if (score <= most) continue
          most = score
          best = policy
        }
      }
    }
    return best
  }
}

/**
 * Offline tokens/s. Online the geometric mean of latencies as shares of the incumbent's, the less the better; where one of
 * them is no better than the incumbent's, that counts many times, for a plan that is slower for some is no improvement to
 * them.
 */
function scoreOf(result: ServingResult, incumbent: readonly number[] | null): number {
  if (incumbent === null) return result.decodeTokensPerSecond
  const shares = latencyShares(result, incumbent)
  const mean = Math.exp(shares.reduce((sum, each) => sum + Math.log(each), 0) / shares.length)
  return -(mean + slowerWeight * Math.max(0, Math.max(...shares) - wantedShare))
}

/** p5, p25, p50, p75 and p95 of prompts and of decode steps, in seconds. */
export function latencies(result: Pick<ServingResult, 'promptMs' | 'decodeMs'>): readonly number[] {
  return [...percentiles(result.promptMs), ...percentiles(result.decodeMs)]
}

/** {@link latencies} as shares of another's. */
export function latencyShares(
  result: Pick<ServingResult, 'promptMs' | 'decodeMs'>,
  others: readonly number[],
): readonly number[] {
  return latencies(result).map((seconds, at) => seconds / others[at]!)
}
