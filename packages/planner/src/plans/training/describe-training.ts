import { keyOfAccelerator, layerTime, memoryBytes, peakFlops } from '../../devices/index.ts'
import { type ModelShape, operatorGraph } from '../../models/index.ts'
import { microbatchesOf, pipelineOf, runPipeline, type WorkSpan } from '../../training/index.ts'
import type { ComputeFleet } from '../fleet.ts'
import { sizeOf } from '../group-degrees.ts'
import type { RejectedOption } from '../serving/serving-plan.ts'
import type { TrainingJob } from './job.ts'
import type { TrainingCandidate } from './training-candidates.ts'
import type { TrainingRunPlan, TrainingStageReport } from './training-plan.ts'

const mostRejected = 8
const mostSpans = 4000

export const show = (value: number): string => String(Number(value.toPrecision(3)))

export function nameOfCandidate({ grouped, planned, chunks, costs }: TrainingCandidate): string {
  const { stages, options } = planned.plan
  const { tensor, context, expert } = grouped.degrees
  const parts = [
    `DP ${stages[0]!.devices.length}`,
    `PP ${stages.length / chunks}`,
    ...(tensor > 1 ? [`TP ${tensor}`] : []),
    ...(context > 1 ? [`CP ${context}`] : []),
    ...(expert > 1 ? [`EP ${expert}`] : []),
    chunks > 1 ? `interleaved ×${chunks}` : options.schedule,
    `microbatch ${costs.work.microbatch}`,
    ...((options.zeroStage ?? 0) > 0 ? [`ZeRO-${options.zeroStage}`] : []),
    ...(options.rematerialise ? ['activations computed anew'] : []),
    ...(options.stepsPerExchange > 1 ? [`exchange every ${options.stepsPerExchange} steps`] : []),
  ]
  return `${parts.join(', ')} on ${grouped.groups.length * sizeOf(grouped.degrees)} accelerators`
}

/** A candidate as a plan that says what it expects of every stage. */
export function describeCandidate(
  best: TrainingCandidate,
  all: readonly TrainingCandidate[],
  shape: ModelShape,
  fleet: ComputeFleet,
  job: TrainingJob,
): TrainingRunPlan {
  const { grouped, planned, chunks, costs, pricePerHour } = best
  const { plan, forecast } = planned
  const { options, stages } = plan
  const { stepS, tokensPerS, pipelineS, exposedExchangeS } = forecast
  const reports = stages.map((_, at) => stageReport(best, at, job))
  const peak = grouped.groups.reduce((sum, { accelerator }) => sum + peakFlops(accelerator, job.precision), 0)
  const modelFlops = operatorGraph(shape, {
    kind: 'training',
    sequences: job.globalBatch,
    tokens: job.sequenceTokens,
  }).reduce((sum, { flops }) => sum + flops, 0)
  const spans: WorkSpan[] = []
  runPipeline(pipelineOf(costs, plan, 0), (span) => {
    if (spans.length < mostSpans) spans.push(span)
  })
  const bound = boundOf(shape, fleet, job)
  const reached = job.goal === 'cost' ? (pricePerHour * 1e6) / 3600 / tokensPerS : tokensPerS
  const hours = job.tokens === null ? null : job.tokens / tokensPerS / 3600
  return {
    kind: 'train',
    goal: job.goal,
    degrees: { data: stages[0]!.devices.length, pipeline: stages.length / chunks, ...grouped.degrees },
    schedule: chunks > 1 ? 'interleaved' : options.schedule,
    chunks,
    zeroStage: options.zeroStage ?? 0,
    microbatch: costs.work.microbatch,
    microbatches: microbatchesOf(costs.work, stages[0]!.devices.length),
    rematerialise: options.rematerialise,
    exchange: options.exchange,
    stepsPerExchange: options.stepsPerExchange,
    options,
    stages: reports,
    predicted: {
      stepS,
      tokensPerS,
      pipelineS,
      exposedExchangeS,
      pricePerHour,
      pricePerMillionTokens: pricePerHour === 0 ? null : (pricePerHour * 1e6) / 3600 / tokensPerS,
      modelFlopsUtilisation: modelFlops / stepS / peak,
    },
    run: hours === null ? null : { hours, price: hours * pricePerHour },
    timeline: spans,
    bound: {
      ...bound,
      gap: Math.max(0, 1 - (job.goal === 'cost' ? bound.value / reached : reached / bound.value)),
    },
    bottleneck: bottleneckOf(reports, exposedExchangeS, stepS),
    unused: unusedOf(fleet, best),
    rejected: rejectedOf(all, best, job),
    notes: notesOf(best, job, shape),
  }
}

function stageReport(candidate: TrainingCandidate, at: number, job: TrainingJob): TrainingStageReport {
  const { grouped, planned, costs } = candidate
  const { first, end, devices } = planned.plan.stages[at]!
  const forecast = planned.forecast.stages[at]!
  const groups = devices.map((device) => grouped.groups[device]!)
  const size = sizeOf(grouped.degrees)
  const members = groups.flatMap((group) => group.members)
  return {
    layers: { first, end },
    replicas: groups.map((group) =>
      group.members.map(({ machine, slot }) => ({ machine: machine.name, slot })),
    ),
    accelerators: [...new Set(members.map(({ machine }) => machine.accelerator.name))],
    sites: [...new Set(members.map(({ machine }) => machine.site))],
    computeS: forecast.computeS,
    hopS: forecast.hopS,
    exchangeS: forecast.exchangeS,
    memoryBytes: forecast.memoryBytes / size,
    capacityBytes: Math.min(...groups.map(({ accelerator }) => memoryBytes(accelerator))) / size,
    bubble: forecast.bubble,
    bound: boundOfLayers(costs, devices[0]!, first, job),
    pricePerHour: members.reduce((sum, { machine }) => sum + machine.pricePerHour / machine.accelerators, 0),
  }
}

function boundOfLayers(
  { fleet, work }: TrainingCandidate['costs'],
  device: number,
  layer: number,
  job: TrainingJob,
): TrainingStageReport['bound'] {
  const accelerator = fleet.devices[device]!
  const phase = { kind: 'training' as const, sequences: work.microbatch, tokens: work.sequenceTokens }
  const graph = operatorGraph(work.shape, phase)[layer + 1]!
  const time = layerTime(graph, accelerator, { efficiency: fleet.efficiency, format: job.precision })
  const linkS = fleet.groups?.get(accelerator)?.layerS[layer] ?? 0
  return linkS * 1000 > time.timeMs ? 'link' : time.bound
}

/** Every accelerator computes all the time, alone, and nothing is sent. */
function boundOf(shape: ModelShape, { machines, efficiency }: ComputeFleet, job: TrainingJob) {
  const [microbatch] = [...job.microbatches].sort((a, b) => b - a)
  const phase = { kind: 'training' as const, sequences: microbatch!, tokens: job.sequenceTokens }
  const graph = operatorGraph(shape, phase)
  const tokens = microbatch! * job.sequenceTokens
  let tokensPerS = 0
  let cheapest = Number.POSITIVE_INFINITY
  const known = new Map<string, number>()
  for (const { accelerator, accelerators, pricePerHour } of machines) {
    const key = keyOfAccelerator(accelerator)
    const passMs =
      known.get(key) ??
      graph.reduce(
        (sum, layer) => sum + layerTime(layer, accelerator, { efficiency, format: job.precision }).timeMs,
        0,
      )
    known.set(key, passMs)
    const each = (tokens * 1000) / passMs
    tokensPerS += each * accelerators
    cheapest = Math.min(cheapest, ((pricePerHour / accelerators) * 1e6) / 3600 / each)
  }
  return job.goal === 'cost'
    ? { value: cheapest, unit: 'USD/M tokens', because: 'the cheapest accelerator, computing all the time' }
    : {
        value: tokensPerS,
        unit: 'tokens/s',
        because: 'every accelerator computing all the time, with nothing sent',
      }
}

function bottleneckOf(stages: readonly TrainingStageReport[], exposedS: number, stepS: number): string {
  if (exposedS > stepS / 3) return `the exchange of gradients: ${show(exposedS)} s of ${show(stepS)} s`
  const slowest = stages.reduce((worst, stage) => (stage.computeS > worst.computeS ? stage : worst))
  const at = stages.indexOf(slowest)
  const idle = Math.min(...stages.map(({ bubble }) => bubble))
  if (idle > 0.4) {
    const hop = stages.reduce((worst, stage) => (stage.hopS > worst.hopS ? stage : worst))
    return `waiting: even the busiest stage idles ${show(idle * 100)}% of the time; the longest hop takes ${show(hop.hopS * 1000)} ms`
  }
  return `stage ${at}: layers [${slowest.layers.first}, ${slowest.layers.end}) on ${slowest.accelerators.join(', ')}, ${slowest.bound}-bound`
}

function unusedOf({ machines }: ComputeFleet, { grouped }: TrainingCandidate): TrainingRunPlan['unused'] {
  const used = new Map<string, number>()
  for (const { machine } of grouped.groups.flatMap(({ members }) => members)) {
    used.set(machine.name, (used.get(machine.name) ?? 0) + 1)
  }
  return machines.flatMap(({ name, accelerators }) => {
    const left = accelerators - (used.get(name) ?? 0)
    return left === 0 ? [] : [{ machine: name, accelerators: left, why: 'the goal is met better without it' }]
  })
}

function rejectedOf(
  all: readonly TrainingCandidate[],
  best: TrainingCandidate,
  job: TrainingJob,
): readonly RejectedOption[] {
  const seen = new Set([nameOfCandidate(best)])
  const rejected: RejectedOption[] = []
  for (const candidate of all) {
    if (rejected.length === mostRejected) break
    const option = nameOfCandidate(candidate)
    if (seen.has(option)) continue
    seen.add(option)
    const { stepS } = candidate.planned.forecast
    const price = job.goal === 'cost' ? ` and ${candidate.cost.toPrecision(3)} USD` : ''
    rejected.push({ option, why: `${show(stepS)} s${price} a step` })
  }
  return rejected
}

function notesOf(
  { grouped, planned }: TrainingCandidate,
  { globalBatch }: TrainingJob,
  shape: ModelShape,
): readonly string[] {
  const { stepsPerExchange } = planned.plan.options
  const replicas = planned.plan.stages[0]!.devices.length
  const machines = new Set(grouped.groups.flatMap(({ members }) => members.map(({ machine }) => machine)))
  const there = [...machines].reduce((product, { availability }) => product * availability, 1)
  return [
    ...(stepsPerExchange > 1
      ? [
          `Replicas train apart for ${stepsPerExchange} steps and then average: this is local SGD, not the training asked for with a batch of ${globalBatch}. Each of the ${replicas} replicas takes ${stepsPerExchange} steps with ${show(globalBatch / replicas)} sequences between exchanges; how much loss that costs depends on data and learning rate and has to be measured.`,
        ]
      : []),
    ...(there < 1
      ? [
          `All ${machines.size} machines are there ${show(there * 100)}% of the time; a step needs all of them.`,
        ]
      : []),
    ...shape.assumptions,
  ]
}
