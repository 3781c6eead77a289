import type { Random } from '@deos/domain'
import type { ModelShape } from '../../models/index.ts'
import {
  balancedStages,
  bestOf,
  exactOptions,
  forecastStep,
  inRankOrder,
  LayerCosts,
  type Planned,
  planTraining,
  type StepOptions,
  stageCounts,
  type TrainingWork,
} from '../../training/index.ts'
import { type ComputeFleet, type FleetMachine, LinkLookup } from '../fleet.ts'
import type { GroupDegrees } from '../group-degrees.ts'
import { classOf } from '../serving/units.ts'
import { type GroupedFleet, groupDegrees, groupedFleet, stateBytesOf } from './device-groups.ts'
import type { TrainingJob } from './job.ts'

/** One way to train, with what it needs. */
export interface TrainingCandidate {
  readonly grouped: GroupedFleet
  readonly costs: LayerCosts
  readonly planned: Planned
  readonly chunks: number
  readonly pricePerHour: number
  /** What counts, less is better: seconds of a step, or USD of one. */
  readonly cost: number
}

export interface CandidateSearch {
  readonly random: Random
  /** Candidates that are searched thoroughly. */
  readonly thorough: number
  readonly placementSteps: number
  readonly polishSteps: number
  readonly shouldStop?: () => boolean
}

const zeroStages = [0, 1, 2, 3] as const
const mostSubsets = 12

/**
 * Scouts every choice of machines, groups and microbatch with devices in order; searches the most promising ones
 * thoroughly; and tries interleaved stages and divided states on what comes out. Best first.
 *
 * @param fleet - in canonical order
 */
export function trainingCandidates(
  shape: ModelShape,
  fleet: ComputeFleet,
  job: TrainingJob,
  search: CandidateSearch,
): readonly TrainingCandidate[] {
  const scouted: TrainingCandidate[] = []
  for (const machines of subsetsOf(fleet.machines)) {
    const part = { ...fleet, machines }
    const links = new LinkLookup(part)
    for (const degrees of groupDegrees(shape, job, part)) {
      for (const microbatch of job.microbatches) {
        if (scouted.length > 0 && search.shouldStop?.() === true) break
        scouted.push(...scout(shape, part, links, job, degrees, microbatch))
      }
    }
  }
  scouted.sort((a, b) => a.cost - b.cost)
  // Exact training is searched as thoroughly as training apart, so that both can be compared.
  const promising = localSteps(job).flatMap((steps) =>
    scouted
      .filter(({ planned }) => planned.plan.options.stepsPerExchange === steps)
      .slice(0, search.thorough),
  )
  const searched = promising.flatMap((candidate) =>
    search.shouldStop?.() === true ? [] : thorough(candidate, job, search),
  )
  return [...searched, ...scouted].sort((a, b) => a.cost - b.cost)
}

const localSteps = ({ mostLocalSteps }: TrainingJob): readonly number[] =>
  mostLocalSteps > 1 ? [1, mostLocalSteps] : [1]

/** All machines; without the slowest classes; without the dearest; those of one region. */
function subsetsOf(machines: readonly FleetMachine[]): readonly (readonly FleetMachine[])[] {
  const classes = new Map<string, FleetMachine[]>()
  for (const machine of machines) {
    classes.set(classOf(machine), [...(classes.get(classOf(machine)) ?? []), machine])
  }
  const speed = ([machine]: readonly FleetMachine[]) =>
    machine!.accelerator.fp16Tflops ?? machine!.accelerator.fp32Tflops ?? 0
  const dearness = (alike: readonly FleetMachine[]) =>
    alike[0]!.pricePerHour / alike[0]!.accelerators / Math.max(1e-9, speed(alike))
  const prefixes = (ranked: readonly (readonly FleetMachine[])[]) =>
    ranked.map((_, at) => ranked.slice(0, at + 1).flat())
  const bySpeed = prefixes([...classes.values()].sort((a, b) => speed(b) - speed(a)))
  const byPrice = prefixes([...classes.values()].sort((a, b) => dearness(a) - dearness(b)))
  const regions = [...new Set(machines.map(({ region }) => region))].map((region) =>
    machines.filter((machine) => machine.region === region),
  )
  const order = new Map(machines.map((machine, at) => [machine, at]))
  const all = [machines, ...bySpeed, ...byPrice, ...regions].map((subset) =>
    [...subset].sort((a, b) => order.get(a)! - order.get(b)!),
  )
  const seen = new Set<string>()
  const distinct = all.filter((subset) => {
    const key = subset.map(({ name }) => name).join('\n')
    return !seen.has(key) && seen.add(key)
  })
  return distinct.slice(0, mostSubsets)
}

export function workOf(shape: ModelShape, job: TrainingJob, microbatch: number): TrainingWork {
  const { globalBatch, sequenceTokens, precision } = job
  return {
    shape,
    globalBatch,
    sequenceTokens,
    microbatch,
    stateBytes: stateBytesOf(job),
    activationBytes: precision === 'fp16' ? 2 : 4,
  }
}

const optionsFor = ({ precision }: TrainingJob): StepOptions => ({
  ...exactOptions,
  activationBytesPerElement: precision === 'fp16' ? 2 : 4,
})

function scout(
  shape: ModelShape,
  fleet: ComputeFleet,
  links: LinkLookup,
  job: TrainingJob,
  degrees: GroupDegrees,
  microbatch: number,
): readonly TrainingCandidate[] {
  const work = workOf(shape, job, microbatch)
  const grouped = groupedFleet(fleet, links, work, degrees, job.precision)
  if (grouped === null) return []
  const costs = new LayerCosts(grouped.fleet, work)
  const devices = grouped.groups.length
  return localSteps(job).flatMap((stepsPerExchange) => {
    let best: Planned | null = null
    for (const count of stageCounts(devices, shape.layers)) {
      if (devices / count > job.globalBatch) continue
      const stages = balancedStages(costs, inRankOrder(devices, count))
      const options = { ...optionsFor(job), stepsPerExchange }
      best = bestOf(
        costs,
        zeroStages.map((zeroStage) => ({ stages, options: { ...options, zeroStage } })),
        best,
      )
    }
    const trainsApart = best !== null && best.plan.stages[0]!.devices.length > 1
    if (best === null || (stepsPerExchange > 1 && !trainsApart)) return []
    return [candidateOf(grouped, costs, best, 1, job)]
  })
}

function candidateOf(
  grouped: GroupedFleet,
  costs: LayerCosts,
  planned: Planned,
  chunks: number,
  job: TrainingJob,
): TrainingCandidate {
  const pricePerHour = grouped.groups
    .flatMap(({ members }) => members)
    .reduce((sum, { machine }) => sum + machine.pricePerHour / machine.accelerators, 0)
  const { stepS } = planned.forecast
  const cost = job.goal === 'cost' ? (pricePerHour * stepS) / 3600 : stepS
  return { grouped, costs, planned, chunks, pricePerHour, cost }
}

/** The search over placements, schedules and exchanges. */
function thorough(
  start: TrainingCandidate,
  job: TrainingJob,
  { random, placementSteps, polishSteps }: CandidateSearch,
): readonly TrainingCandidate[] {
  const { grouped, costs } = start
  const { zeroStage = 0, stepsPerExchange, activationBytesPerElement } = start.planned.plan.options
  const fixed = { zeroStage, stepsPerExchange, activationBytesPerElement }
  const found = planTraining(costs, { random, placementSteps, polishSteps, fixed }) ?? start.planned
  const candidate = candidateOf(grouped, costs, found, 1, job)
  return [candidate, ...variations(candidate, job)]
}

/** The same rows of devices with stages interleaved, or with states divided otherwise. */
function variations(
  { grouped, costs, planned }: TrainingCandidate,
  job: TrainingJob,
): readonly TrainingCandidate[] {
  const { stages, options } = planned.plan
  const { layers } = costs.work.shape
  const rows = stages.map(({ devices }) => devices)
  const interleaved = [2, 3, 4]
    .filter((chunks) => stages.length > 1 && chunks * stages.length <= layers)
    .flatMap((chunks) => {
      const repeated = Array.from({ length: chunks }, () => rows).flat()
      const plan = {
        stages: balancedStages(costs, repeated),
        options: { ...options, schedule: '1f1b' as const },
      }
      return [{ chunks, plan }]
    })
  const divided = zeroStages.map((zeroStage) => ({
    chunks: 1,
    plan: { stages, options: { ...options, zeroStage } },
  }))
  return [...interleaved, ...divided].flatMap(({ chunks, plan }) => {
    const forecast = forecastStep(costs, plan)
    return forecast.fits ? [candidateOf(grouped, costs, { plan, forecast }, chunks, job)] : []
  })
}
