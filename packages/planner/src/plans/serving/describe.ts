import { bytes, formatBytes } from '@deos/domain'
import { memoryBytes } from '../../devices/index.ts'
import type { ModelShape } from '../../models/index.ts'
import type { ComputeFleet } from '../fleet.ts'
import type { Assigned, Assignment } from './assignment.ts'
import type { ServingChoice } from './choices.ts'
import type { PipelineState, ServingPipeline } from './pipeline.ts'
import { gapTo, type ServingBound } from './serving-bound.ts'
import type { BoundReport, ReplicaReport, ServingFigures, ServingPlan, StageReport } from './serving-plan.ts'
import type { Bound } from './unit-costs.ts'
import { machineOf, type Unit } from './units.ts'
import type { ServingWorkload } from './workload.ts'

export function figuresOf(
  assignment: Assignment,
  { outputTokens, goal, requestsPerS: load }: ServingWorkload,
): ServingFigures {
  const { requestsPerS, ttftMs, tpotMs, pricePerHour } = assignment
  const tokensPerS = requestsPerS * outputTokens.mean
  // A lone request is no load over which a price could be spread.
  const isLone = goal === 'latency' && load === null
  return {
    requestsPerS,
    tokensPerS,
    ttftMs,
    tpotMs,
    pricePerHour,
    pricePerMillionTokens: pricePerHour === 0 || isLone ? null : (pricePerHour / 3600 / tokensPerS) * 1e6,
  }
}

/** The unit that holds each stage: pipelines are remembered for alike units and stand for all of them. */
export const unitsOfStages = ({ group }: Assigned): readonly Unit[] =>
  group.form.positions.map((position) => group.units[position]!)

/** A choice as a plan that says what it expects of every stage. */
export function describeChoice(
  choice: ServingChoice,
  shape: ModelShape,
  fleet: ComputeFleet,
  workload: ServingWorkload,
  bound: ServingBound,
): ServingPlan {
  const { assignment, roles, precision, handOver } = choice
  const { goal } = workload
  const predicted = figuresOf(assignment, workload)
  const replicas = assignment.assigned.map((assigned) => replicaOf(assigned, assignment))
  const reached = {
    throughput: predicted.requestsPerS,
    cost: predicted.pricePerHour,
    latency: predicted.ttftMs + workload.outputTokens.mean * predicted.tpotMs,
  }[goal]
  return {
    kind: 'serve',
    goal,
    precision,
    roles,
    replicas,
    handOver,
    predicted,
    simulated: null,
    simulatedMost: null,
    bound: {
      value: bound.value,
      unit: { throughput: 'requests/s', cost: 'USD/h', latency: 'ms a request' }[goal],
      gap: gapTo(bound.value, reached, goal),
      because: bound.because,
    },
    bottleneck: bottleneckOf(replicas),
    layerBounds: layerBounds(assignment.assigned),
    unused: unusedOf(fleet, replicas, choice),
    rejected: [],
    notes: notesOf(choice, shape, workload),
  }
}

function replicaOf(assigned: Assigned, { assigned: all }: Assignment): ReplicaReport {
  const { group, role, state } = assigned
  const { pipeline } = group.form
  const units = unitsOfStages(assigned)
  const ofRole = all.filter((each) => each.role === role)
  const rate = ofRole.reduce((sum, each) => sum + each.state.requestsPerS, 0)
  const stages = units.map((unit, at) => stageOf(unit, pipeline, state, at))
  return {
    role,
    stages,
    requestsPerS: state.requestsPerS,
    share: rate === 0 ? 0 : state.requestsPerS / rate,
    batch: state.batch,
    sequences: state.sequences,
    room: pipeline.room,
    ttftMs: state.ttftMs,
    tpotMs: state.tpotMs,
    pricePerHour: pipeline.pricePerHour,
    bottleneck: whatBinds(stages, state),
  }
}

function stageOf(unit: Unit, pipeline: ServingPipeline, state: PipelineState, at: number): StageReport {
  const { costs, layers } = pipeline.stages[at]!
  const machine = machineOf(unit)
  const { prefill, decode } = costs.bounds(state.batch)
  const own = <T>(all: readonly T[]) => all.slice(layers.first, layers.end)
  const busy = state.busy[at]!
  const prompt = pipeline.workload.promptTokens.mean
  return {
    layers,
    accelerators: unit.members.map((member) => ({ machine: member.machine.name, slot: member.slot })),
    accelerator: unit.kind.accelerator.name,
    site: machine.site,
    region: machine.region,
    tensorParallel: unit.kind.tensorParallel,
    expertParallel: unit.kind.expertParallel ?? 1,
    contextParallel: unit.kind.contextParallel ?? 1,
    offload: offloadOf(unit, costs.hostBytes(layers)),
    prefillMs: pipeline.prefillMs[at]!,
    decodeMs: pipeline.decodeMs(at, state.batch),
    hopMs: pipeline.hopDelayMs[at]! + state.batch * pipeline.hopMsPerToken[at]!,
    promptHopMs: pipeline.hopDelayMs[at]! + prompt * pipeline.hopMsPerToken[at]!,
    weightBytes: costs.weightBytes(layers),
    kvBytes: Math.max(
      Math.ceil(state.sequences) * costs.kvBytesPerSequence(layers),
      costs.kvBytesOfLongest(layers),
    ),
    memoryBytes: memoryBytes(unit.kind.accelerator),
    busy,
    bubble: Math.max(0, 1 - busy),
    prefillBound: mostOf(own(prefill)),
    decodeBound: mostOf(own(decode)),
    pricePerHour: unit.pricePerHour,
  }
}

function offloadOf({ kind: { offload } }: Unit, hostBytes: number): StageReport['offload'] {
  if (offload === undefined) return null
  return { share: offload.share, hostBytes, streamMs: (hostBytes / offload.bytesPerS) * 1000 }
}

const countBounds = (bounds: readonly Bound[]): Record<Bound, number> => {
  const counts = { compute: 0, memory: 0, link: 0 }
  for (const bound of bounds) counts[bound] += 1
  return counts
}

function mostOf(bounds: readonly Bound[]): Bound {
  const counts = countBounds(bounds)
  return (['compute', 'memory', 'link'] as const).reduce((most, each) =>
    counts[each] > counts[most] ? each : most,
  )
}

function whatBinds(stages: readonly StageReport[], { bottleneck }: PipelineState): string {
  const { stage, part } = bottleneck
  const { layers, accelerator, decodeBound } = stages[stage]!
  if (part === 'link') {
    const next = stages[stage + 1] ?? stages[0]!
    return `the link behind stage ${stage} (${stages[stage]!.site} → ${next.site})`
  }
  return `stage ${stage}: layers [${layers.first}, ${layers.end}) on ${accelerator}, ${decodeBound}-bound in decode`
}

function bottleneckOf(replicas: readonly ReplicaReport[]): string {
  let most = -1
  let what = ''
  for (const [at, { stages, bottleneck }] of replicas.entries()) {
    const busiest = Math.max(...stages.map(({ busy }) => busy))
    if (busiest <= most) continue
    most = busiest
    what = `replica ${at}, ${bottleneck}`
  }
  return what
}

function layerBounds(assigned: readonly Assigned[]): readonly BoundReport[] {
  const reports = new Map<string, BoundReport>()
  for (const { group, state } of assigned) {
    for (const { unit, costs } of group.form.pipeline.stages) {
      const key = `${unit.kindKey}|${state.batch}`
      if (reports.has(key)) continue
      const { prefill, decode } = costs.bounds(state.batch)
      reports.set(key, {
        accelerator: unit.kind.accelerator.name,
        tensorParallel: unit.kind.tensorParallel,
        batch: state.batch,
        prefill: countBounds(prefill),
        decode: countBounds(decode),
      })
    }
  }
  return [...reports.values()]
}

function unusedOf(
  { machines }: ComputeFleet,
  replicas: readonly ReplicaReport[],
  { forms }: ServingChoice,
): ServingPlan['unused'] {
  const used = new Map<string, number>()
  for (const { machine } of replicas.flatMap(({ stages }) => stages.flatMap((stage) => stage.accelerators))) {
    used.set(machine, (used.get(machine) ?? 0) + 1)
  }
  const why = {
    throughput: 'no pipeline found that carries more with it',
    cost: 'the load is carried without it',
    latency: 'requests are no quicker with it',
  }[forms.workload.goal]
  return machines.flatMap(({ name, accelerators }) => {
    const left = accelerators - (used.get(name) ?? 0)
    return left === 0 ? [] : [{ machine: name, accelerators: left, why }]
  })
}

function notesOf(choice: ServingChoice, shape: ModelShape, workload: ServingWorkload): readonly string[] {
  const { precision } = choice
  return [
    ...(precision === 'fp32' || precision === 'fp16'
      ? []
      : [`Weights as ${precision} change what the model says; measure its quality before relying on it.`]),
    ...offloadNotes(choice),
    ...(workload.contextTokens > shape.contextLength
      ? [
          `Sessions of ${workload.contextTokens} tokens are longer than the ${shape.contextLength} that ${shape.name} was made for${shape.learnedPositions > 0 ? ', beyond which it has no positions: it cannot run them' : ''}.`,
        ]
      : []),
    ...(workload.kvBytesPerElement < 2 ? ['K and V in fewer than 16 bits change what the model says.'] : []),
    ...shape.assumptions,
  ]
}

/** What lies with hosts, and that every pass fetches it. */
function offloadNotes({ assignment }: ServingChoice): readonly string[] {
  let sizeBytes = 0
  for (const { group } of assignment.assigned) {
    for (const { unit, costs, layers } of group.form.pipeline.stages) {
      sizeBytes += costs.hostBytes(layers) * unit.members.length
    }
  }
  if (sizeBytes === 0) return []
  const size = formatBytes(bytes(Math.round(sizeBytes)))
  return [`${size} of weights lie in host memory and are fetched in every pass, a layer ahead of its use.`]
}
