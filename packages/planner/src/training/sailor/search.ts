import { TrainingRequestError } from '../errors.ts'
import { Candidate } from './candidate.ts'
import { SailorJudge, type SailorVerdict } from './judge.ts'
import type { Pool } from './mixes.ts'
import type { SailorPlan } from './plan.ts'
import type { SailorGoal, SailorRequest } from './request.ts'

export interface SailorFinding {
  readonly plan: SailorPlan
  readonly verdict: SailorVerdict
  /** Plans that were judged. */
  readonly judged: number
}

/**
 * Searches for a plan by Sailor's own cost model: for every choice of zones, microbatch, number of stages and of
 * replicas, boundaries between stages move one layer at a time, and each stage gets the least accelerators that keep a
 * common pace; single stages are then let run faster where that pays.
 *
 * @returns `null` if no plan fits into memory and keeps the goal's limit
 * @throws TrainingRequestError for pools without accelerators
 */
export function searchSailor(request: SailorRequest): SailorFinding | null {
  const { pools } = request
  for (const [at, { count }] of pools.entries()) {
    if (!Number.isInteger(count) || count < 0) {
      throw new TrainingRequestError(`pools[${at}].count`, count, 'a whole number from 0')
    }
  }
  const judge = new SailorJudge(request.tables, request.globalBatch)
  const best: Best = { finding: null, judged: 0 }
  for (const chosen of poolChoices(pools)) searchPools(request, judge, chosen, best)
  return best.finding === null ? null : { ...best.finding, judged: best.judged }
}

interface Best {
  finding: { plan: SailorPlan; verdict: SailorVerdict } | null
  judged: number
}

const mostPoolsForAllChoices = 4

/** All sets of a few pools; of many, the first ones for each kind. */
function poolChoices(pools: readonly Pool[]): readonly (readonly Pool[])[] {
  const some = pools.filter(({ count }) => count > 0)
  if (some.length > mostPoolsForAllChoices) return some.map((_, last) => some.slice(0, last + 1))
  return Array.from({ length: (1 << some.length) - 1 }, (_, bits) =>
    some.filter((_, at) => ((bits + 1) & (1 << at)) !== 0),
  )
}

function searchPools(request: SailorRequest, judge: SailorJudge, pools: readonly Pool[], best: Best): void {
  const { tables, globalBatch, mostStages = 8 } = request
  const total = pools.reduce((sum, { count }) => sum + count, 0)
  const microbatches = new Set([...tables.times.values()].flatMap((byMicrobatch) => [...byMicrobatch.keys()]))
  for (const microbatch of microbatches) {
    for (let stages = 1; stages <= Math.min(mostStages, tables.layers, total); stages += 1) {
      for (const replicas of replicaCounts(Math.ceil(globalBatch / microbatch), Math.floor(total / stages))) {
        improve(new Candidate(request, judge, pools, { microbatch, stages, replicas }), request.goal, best)
      }
    }
  }
}

/** Numbers of replicas with fewer microbatches each than one less would have. */
function replicaCounts(microbatches: number, most: number): readonly number[] {
  const counts = new Set<number>()
  for (let replicas = Math.min(most, microbatches); replicas >= 1; replicas -= 1) {
    counts.add(Math.ceil(microbatches / Math.ceil(microbatches / replicas)))
  }
  return [...counts]
}

/** Lower is better; `Infinity` if the limit is not kept. */
function score(goal: SailorGoal, { fits, iterationS, usd }: SailorVerdict): number {
  if (!fits) return Number.POSITIVE_INFINITY
  if (goal.kind === 'fastest')
    return usd <= (goal.mostUsd ?? Number.POSITIVE_INFINITY) ? iterationS : Number.POSITIVE_INFINITY
  return 1 / iterationS >= (goal.leastPerSecond ?? 0) ? usd : Number.POSITIVE_INFINITY
}

const scoreOf = (goal: SailorGoal, best: Best): number =>
  best.finding === null ? Number.POSITIVE_INFINITY : score(goal, best.finding.verdict)

/** Moves boundaries while that makes the candidate better; then lets stages run faster. */
function improve(candidate: Candidate, goal: SailorGoal, best: Best): void {
  let bounds = candidate.evenBounds()
  let own = candidate.lowerBoundS(bounds)
  if (own === null) return
  for (let better = true; better; ) {
    better = false
    for (const moved of candidate.movedBounds(bounds)) {
      const bound = candidate.lowerBoundS(moved)
      if (bound !== null && bound < own - 1e-9) {
        bounds = moved
        own = bound
        better = true
      }
    }
  }
  if (own > longestUseful(goal, best)) return
  if (goal.kind === 'cheapest' && candidate.leastUsd(own) > scoreOf(goal, best)) return
  for (const division of candidate.divisions(bounds)) {
    let found = Number.POSITIVE_INFINITY
    for (const plan of candidate.plans(division, 'first order')) found = Math.min(found, judged(plan))
    if (found >= scoreOf(goal, best) * (1 + worthOrdering)) continue
    for (const plan of candidate.plans(division, 'all orders')) judged(plan)
  }

  function judged(plan: SailorPlan): number {
    const verdict = candidate.judge.verdict(plan)
    best.judged += 1
    const found = score(goal, verdict)
    if (found < scoreOf(goal, best)) best.finding = { plan, verdict }
    return found
  }
}

/** Seconds of arithmetic alone that no plan worth judging exceeds. */
const longestUseful = (goal: SailorGoal, best: Best): number =>
  goal.kind === 'fastest' ? scoreOf(goal, best) : 1 / (goal.leastPerSecond ?? 0)

/** Orders of zones differ by little, so that they are tried only of plans this near to the best. */
const worthOrdering = 0.006
