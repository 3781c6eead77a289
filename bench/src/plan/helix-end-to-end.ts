import { seededRandom } from '@deos/domain'
import {
  deeperStages,
  type FlowInstance,
  type FlowPlacement,
  flowBounds,
  flowOfPlacement,
  petalsPlacement,
  refinePlacement,
  searchPlacement,
  separatePipelines,
  swarmPlacement,
} from '@deos/planner'
import type { ServingResult } from '@deos/simulator'
import { type HelixModel, stageFleet, withAllLinks } from './helix-cluster.ts'
import { type HelixSetup, percentiles } from './helix-rows.ts'
import {
  type Admission,
  type HelixSite,
  helixAdmission,
  loads,
  type Seconds,
  type ServingMode,
} from './helix-settings.ts'

export interface EndToEndCase {
  readonly site: HelixSite
  readonly model: HelixModel
  readonly mode: ServingMode
}

/** What is decided beside the placement. */
export interface ServingPolicy {
  readonly admission: Admission
  /** Decode steps that share a pass at most; null leaves it to the machines. */
  readonly stepsPerPass: number | null
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

const shares = [0, 0.3, 0.5, 0.6, 0.75, 0.9, 1]
/** How much slower links between sites are taken to be while candidates are searched, to make crossings rare. */
const crossings = [1, 0.5]
const slowLink = 5000
const waves = (kvLeast: number): Admission => ({
  refill: { by: 'waves', kvLeast, kvMost: 0.9 },
  kvMost: 0.95,
})
const admissions: Readonly<Record<ServingMode, readonly Admission[]>> = {
  offline: [
    helixAdmission,
    { refill: { by: 'fill', kvMost: 0.9 }, kvMost: 0.95 },
    waves(0.75),
    waves(0.65),
    waves(0.55),
  ],
  online: [helixAdmission],
}
const stepLimits = [null, 160, 80, 40]
/** By which candidates are compared. */
const firstPolicy: Readonly<Record<ServingMode, ServingPolicy>> = {
  offline: { admission: waves(0.65), stepsPerPass: 80 },
  online: { admission: helixAdmission, stepsPerPass: 80 },
}
/** Of the simulations, for changes of the placement and for policies in turn. */
const placementShare = 0.7
/** Score of what overfills a cache and would have to evict: the fuller the worse, and worse than all that does not. */
const overfull = -1e6
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
  const first = firstPolicy[task.mode]
  const refined = refinePlacement(bench.instance, {
    candidates,
    score: (placement) => bench.score(placement, first),
    evaluations: Math.round(budget.simulations * placementShare),
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
  const first = firstPolicy[task.mode]
  const policy = bench.bestPolicy(placement, bench.score(placement, first), first)
  return {
    placement,
    policy,
    simulations: bench.simulations,
    flowBound: flowBounds(bench.instance).best,
    run: (seed) => bench.run(placement, policy, seed),
  }
}

/** Simulates plans of one case. */
class PlanBench {
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
    const part = setup.flowPart(fleet, instance, placement, [20, load], admission)
    return setup.runPart(part, task.mode, seed, window)
  }

  /** More is better; what would overfill a cache is out of the question. */
  score(placement: FlowPlacement, policy: ServingPolicy): number {
    this.simulations += 1
    const { mode } = this.task
    const result = this.run(placement, policy, decisionSeed, decisionWindow[mode])
    const fullest = Math.max(...result.kvPeak)
    return fullest > 1 ? overfull * fullest : scoreOf(result, this.incumbent)
  }

  bestPolicy(placement: FlowPlacement, known: number, first: ServingPolicy): ServingPolicy {
    let best = first
    let most = known
    for (const admission of admissions[this.task.mode]) {
      for (const stepsPerPass of stepLimits) {
        const policy = { admission, stepsPerPass }
        const score = this.score(placement, policy)
        if (score <= most) continue
        most = score
        best = policy
      }
    }
    return best
  }
}

/**
 * Offline tokens/s. Online latencies as shares of the incumbent's, the less the better: half their geometric mean, half
 * the worst, for a plan that is slower for some requests is no improvement to them.
 */
function scoreOf(result: ServingResult, incumbent: readonly number[] | null): number {
  if (incumbent === null) return result.decodeTokensPerSecond
  const shares = latencyShares(result, incumbent)
  const mean = Math.exp(shares.reduce((sum, each) => sum + Math.log(each), 0) / shares.length)
  return -(mean + Math.max(...shares)) / 2
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

function candidatesOf(instance: FlowInstance, evaluations: number): readonly FlowPlacement[] {
  const slowed = (factor: number): FlowInstance => ({
    ...instance,
    links: instance.links.map((link) =>
      link.tokensPerSecond < slowLink ? { ...link, tokensPerSecond: link.tokensPerSecond * factor } : link,
    ),
  })
  const hasSites = instance.links.some((link) => link.tokensPerSecond < slowLink)
  const searched = shares.flatMap((share) =>
    (hasSites ? crossings : [1]).map(
      (factor) =>
        searchPlacement(deeperStages(slowed(factor), share), { evaluations, random: seededRandom(1) })
          .placement,
    ),
  )
  const baselines = [separatePipelines(instance), swarmPlacement(instance), petalsPlacement(instance)]
  const able = new Set<string>()
  return [...searched, ...baselines].filter((placement): placement is FlowPlacement => {
    if (placement === null || able.has(JSON.stringify(placement))) return false
    able.add(JSON.stringify(placement))
    return flowOfPlacement(instance, placement).tokensPerSecond > 0
  })
}
