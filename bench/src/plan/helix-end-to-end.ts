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
import {
  type HelixSetup,
  type HelixSite,
  helixAdmission,
  loads,
  percentiles,
  type ServingMode,
} from './helix-rows.ts'

export interface EndToEndCase {
  readonly site: HelixSite
  readonly model: HelixModel
  readonly mode: ServingMode
}

export interface EndToEndPlan {
  readonly placement: FlowPlacement
  readonly admission: typeof helixAdmission
  /** Simulations that the decision took. */
  readonly simulations: number
  readonly flowBound: number
  /** The plan, with requests that the decision did not see. */
  run(seed: number): ServingResult
}

const shares = [0, 0.3, 0.5, 0.6, 0.75, 0.9, 1]
/** How much slower links between sites are taken to be while candidates are searched, to make crossings rare. */
const crossings = [1, 0.5]
const slowLink = 5000
const fullerAdmission = { fillUpTo: 0.9, kvMost: 0.95 }
/** Requests by which plans are compared; the figures are measured with others. */
const decisionSeed = 101
const decisionWindow = {
  offline: { from: 60, to: 500 },
  online: { from: 0, to: 300 },
} as const

/**
 * Our placement and routing for a whole cluster of Helix's: candidates by flow, with shallow and with deep stages, then
 * changes of the best that the simulator finds better. All machines are one pool, also where Helix splits it by kind.
 */
export function planEndToEnd(
  setup: HelixSetup,
  { site, model, mode }: EndToEndCase,
  budget: { readonly simulations: number; readonly evaluations: number },
): EndToEndPlan {
  const cluster = setup.cluster(site)
  const { instance: published } = setup.instance(`${site}_llama70b`)
  const devices = model === 'llama2_70b' ? published.devices : setup.rates30b(published)
  const instance = withAllLinks(
    cluster,
    model,
    (kind) => devices.find((device) => device.kind.toLowerCase() === kind)!.tokensPerSecondByLayers,
  )
  const load = loads[site][model].Helix.reduce((sum, [, each]) => sum + each, 0)
  const run = (
    placement: FlowPlacement,
    admission: typeof helixAdmission,
    seed: number,
    window?: { readonly from: number; readonly to: number },
  ) => {
    const fleet = stageFleet(cluster, setup.profiles, model, placement)
    return setup.runPart(
      setup.flowPart(fleet, instance, placement, [20, load], admission),
      mode,
      seed,
      window,
    )
  }
  let simulations = 0
  const score = (placement: FlowPlacement, admission = helixAdmission) => {
    simulations += 1
    const result = run(placement, admission, decisionSeed, decisionWindow[mode])
    return result.kvPeak.some((peak) => peak > 1) ? Number.NEGATIVE_INFINITY : scoreOf(result, mode)
  }
  const refined = refinePlacement(instance, {
    candidates: candidatesOf(instance, budget.evaluations),
    score,
    evaluations: budget.simulations,
    random: seededRandom(1),
  })
  const fuller = mode === 'offline' && score(refined.placement, fullerAdmission) > refined.score
  const admission = fuller ? fullerAdmission : helixAdmission
  return {
    placement: refined.placement,
    admission,
    simulations,
    flowBound: flowBounds(instance).best,
    run: (seed) => run(refined.placement, admission, seed),
  }
}

/** Offline tokens/s; online the geometric mean of latencies, the less the better. */
function scoreOf(result: ServingResult, mode: ServingMode): number {
  if (mode === 'offline') return result.decodeTokensPerSecond
  const seconds = [...percentiles(result.promptMs), ...percentiles(result.decodeMs)]
  return -Math.exp(seconds.reduce((sum, each) => sum + Math.log(each), 0) / seconds.length)
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
