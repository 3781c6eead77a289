import { bytes, formatBytes } from '@deos/domain'
import type { BoundReport, ReplicaReport, ServingPlan, ServingRefusal, TrainingRefusal } from '@deos/planner'
import type { PlayedServing } from '@deos/simulator'
import { formatFields, formatTable } from '../text/table.ts'
import { alikeReplicas, andAlike } from './alike-replicas.ts'
import type { ServingDocument } from './plan-document.ts'

/** Three digits. */
export const show = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)))
export const showMs = (value: number): string =>
  value >= 10_000 ? `${show(value / 1000)} s` : `${show(value)} ms`
export const showBytes = (value: number): string => formatBytes(bytes(Math.round(value)))
export const showShare = (value: number): string => `${Math.round(value * 100)}%`
export const showPrice = (value: number): string => (value === 0 ? '–' : value.toFixed(2))

const goals = {
  throughput: 'most requests a second',
  cost: 'least cost for the load',
  latency: 'quickest answers',
} as const

/** A plan for people at a terminal. */
export function servingText({ plan, model, fleet, workload, planningMs }: ServingDocument): string {
  const accelerators = fleet.machines.reduce((sum, each) => sum + each.accelerators, 0)
  const targets = [
    ...(workload.ttftMs === null ? [] : [`TTFT ${showMs(workload.ttftMs)}`]),
    ...(workload.tpotMs === null ? [] : [`TPOT ${showMs(workload.tpotMs)}`]),
  ]
  return [
    formatFields([
      ['model', `${model.name}, ${model.layers} layers, as ${plan.precision}`],
      ['fleet', `${fleet.machines.length} machines with ${accelerators} accelerators`],
      ['goal', `${goals[plan.goal]}${targets.length > 0 ? ` within ${targets.join(' and ')}` : ''}`],
      ['planned in', showMs(planningMs)],
    ]),
    expectationTable(plan, workload),
    ...mostTexts(plan),
    ...replicaTexts(plan.replicas),
    ...(plan.handOver === null
      ? []
      : [
          `Each prompt hands over ${showBytes(plan.handOver.kvBytesPerPrompt)} of KV, which adds ${showMs(plan.handOver.addedMs)} to the first token.`,
        ]),
    boundsText(plan.layerBounds),
    formatFields([
      ['bottleneck', plan.bottleneck],
      [
        'bound',
        `${show(plan.bound.value)} ${plan.bound.unit}: ${plan.bound.because}; the plan is ${showShare(plan.bound.gap)} away`,
      ],
    ]),
    ...listed(
      'Not used',
      plan.unused.map(({ machine, accelerators: left, why }) => `${machine} (${left}): ${why}`),
    ),
    ...listed(
      'Rejected',
      plan.rejected.map(({ option, why }) => `${option}: ${why}`),
    ),
    ...listed('Note', plan.notes),
  ].join('\n\n')
}

const mostListed = 10

function listed(title: string, lines: readonly string[]): readonly string[] {
  if (lines.length === 0) return []
  const more = lines.length - mostListed
  const shown = [...lines.slice(0, mostListed), ...(more > 0 ? [`and ${more} more`] : [])]
  return [`${title}\n${shown.map((line) => `  ${line}`).join('\n')}`]
}

function expectationTable(
  { goal, predicted, simulated }: ServingPlan,
  { requestsPerS, ttftMs, tpotMs }: ServingDocument['workload'],
): string {
  const rates = [
    ['requests/s', show(predicted.requestsPerS), simulated === null ? '' : show(simulated.requestsPerS)],
    ...(simulated === null || (ttftMs === null && tpotMs === null)
      ? []
      : [['of them within the targets', '', show(simulated.goodputPerS)]]),
    ['tokens/s', show(predicted.tokensPerS), simulated === null ? '' : show(simulated.tokensPerS)],
  ]
  const rows = [
    // For a lone request there is no rate.
    ...(goal === 'latency' && requestsPerS === null ? [] : rates),
    ['TTFT mean', showMs(predicted.ttftMs), simulated === null ? '' : showMs(simulated.ttftMs.mean)],
    ['TPOT mean', showMs(predicted.tpotMs), simulated === null ? '' : showMs(simulated.tpotMs.mean)],
    ...(simulated === null
      ? []
      : [
          ['TTFT p50, p99', '', `${showMs(simulated.ttftMs.p50)}, ${showMs(simulated.ttftMs.p99)}`],
          ['TPOT p50, p99', '', `${showMs(simulated.tpotMs.p50)}, ${showMs(simulated.tpotMs.p99)}`],
        ]),
    ['USD/h', showPrice(predicted.pricePerHour), ''],
    [
      'USD/M tokens',
      predicted.pricePerMillionTokens === null ? '–' : predicted.pricePerMillionTokens.toFixed(2),
      '',
    ],
  ]
  return formatTable(
    [{ title: '' }, { title: 'predicted', align: 'right' }, { title: 'simulated', align: 'right' }],
    rows,
  )
}

/** What the plan does at its best, if that is not at the rate that is predicted. */
function mostTexts({ simulated, simulatedMost }: ServingPlan): readonly string[] {
  if (simulatedMost === null || simulatedMost.goodputPerS === simulated?.goodputPerS) return []
  const { goodputPerS, requestsPerS, ttftMs, tpotMs } = simulatedMost
  return [
    `The simulation serves most at another rate: ${show(requestsPerS)} requests/s, ${show(goodputPerS)} of them within the targets, with a mean TTFT of ${showMs(ttftMs.mean)} and TPOT of ${showMs(tpotMs.mean)}.`,
  ]
}

/** More replicas than these are shown once of each kind. */
const mostShown = 8

function replicaTexts(replicas: readonly ReplicaReport[]): readonly string[] {
  if (replicas.length <= mostShown) return replicas.map((replica, at) => replicaText(replica, String(at)))
  const kinds = alikeReplicas(replicas)
  const left = kinds.slice(mostShown).reduce((sum, { count }) => sum + count, 0)
  return [
    ...kinds.slice(0, mostShown).map((kind) => replicaText(kind.replica, `${kind.at}${andAlike(kind)}`)),
    ...(left > 0 ? [`${left} more replicas are in the plan's JSON.`] : []),
  ]
}

const roleNames = { together: '', prefill: ' (prompts)', decode: ' (answers)' } as const

function replicaText(replica: ReplicaReport, at: string): string {
  const { role, share, batch, sequences, room, ttftMs, tpotMs, requestsPerS, stages } = replica
  const times = [
    ...(role === 'decode' ? [] : [`TTFT ${showMs(ttftMs)}`]),
    ...(role === 'prefill' ? [] : [`TPOT ${showMs(tpotMs)}`]),
  ]
  const sessions =
    role === 'prefill'
      ? ''
      : `, batch ${batch}, ${show(sequences)} of ${Number.isFinite(room) ? show(room) : 'any'} sessions`
  const title = `Replica ${at}${roleNames[role]}: ${showShare(share)} of requests, ${show(requestsPerS)}/s${sessions}, ${times.join(', ')}`
  const rows = stages.map((stage, position) => [
    String(position),
    `[${stage.layers.first}, ${stage.layers.end})`,
    whereOf(stage),
    stage.accelerator,
    dividedText(stage),
    showMs(stage.prefillMs),
    role === 'prefill' ? '–' : showMs(stage.decodeMs),
    stages.length === 1 ? '–' : showMs(stage.hopMs),
    `${showBytes(stage.weightBytes)} + ${showBytes(stage.kvBytes)} of ${showBytes(stage.memoryBytes)}`,
    role === 'prefill' ? stage.prefillBound : `${stage.prefillBound}/${stage.decodeBound}`,
    showShare(stage.bubble),
    showPrice(stage.pricePerHour),
  ])
  const columns = [
    { title: 'stage' },
    { title: 'layers' },
    { title: 'where' },
    { title: 'accelerator' },
    { title: 'divided' },
    { title: 'prompt', align: 'right' as const },
    { title: 'step', align: 'right' as const },
    { title: 'hop', align: 'right' as const },
    { title: 'weights + KV' },
    { title: 'bound' },
    { title: 'idle', align: 'right' as const },
    { title: 'USD/h', align: 'right' as const },
  ]
  return `${title}\n${formatTable(columns, rows)}`
}

export function whereOf({ accelerators }: ReplicaReport['stages'][number]): string {
  const machines = [...new Set(accelerators.map(({ machine }) => machine))]
  const slots = accelerators.length === 1 ? `#${accelerators[0]!.slot}` : ` ×${accelerators.length}`
  return machines.length === 1 ? `${machines[0]}${slots}` : `${machines.join('+')}`
}

/** Among how many accelerators what is divided, and what lies with the host. */
export function dividedText(stage: ReplicaReport['stages'][number]): string {
  const { tensorParallel, expertParallel, contextParallel, offload } = stage
  const parts = [
    ...(tensorParallel > 1 ? [`TP${tensorParallel}`] : []),
    ...(expertParallel > 1 ? [`EP${expertParallel}`] : []),
    ...(contextParallel > 1 ? [`CP${contextParallel}`] : []),
    ...(offload === null ? [] : [`${showShare(offload.share)} host`]),
  ]
  return parts.length === 0 ? '–' : parts.join(' ')
}

function boundsText(reports: readonly BoundReport[]): string {
  const cell = (counts: BoundReport['prefill']) =>
    (['compute', 'memory', 'link'] as const)
      .filter((bound) => counts[bound] > 0)
      .map((bound) => `${counts[bound]} ${bound}`)
      .join(', ')
  const rows = reports.map(({ accelerator, tensorParallel, batch, prefill, decode }) => [
    accelerator,
    String(tensorParallel),
    String(batch),
    cell(prefill),
    cell(decode),
  ])
  const columns = [
    { title: 'layers bound by' },
    { title: 'TP', align: 'right' as const },
    { title: 'batch', align: 'right' as const },
    { title: 'prefill' },
    { title: 'decode' },
  ]
  return formatTable(columns, rows)
}

/** Why there is no plan, and what would make one. */
export function refusalText({ binding, fixes, bestEffort }: ServingRefusal | TrainingRefusal): string {
  const shown = fixes.map(({ change, pricePerHour, givesUp }) => {
    const price = pricePerHour > 0 ? [`${pricePerHour.toFixed(2)} USD/h`] : []
    const terms = [...price, ...(givesUp === null ? [] : [`gives up ${givesUp}`])]
    return terms.length === 0 ? change : `${change.replace(/\.$/, '')} (${terms.join('; ')}).`
  })
  return [
    `There is no plan. ${binding}`,
    ...(shown.length === 0
      ? []
      : [`What would do, the cheapest first:\n${shown.map((line) => `  ${line}`).join('\n')}`]),
    ...(bestEffort === null
      ? []
      : [
          `Without targets the fleet serves ${show(bestEffort.requestsPerS)} requests/s with a TTFT of ${showMs(bestEffort.ttftMs)} and a TPOT of ${showMs(bestEffort.tpotMs)}.`,
        ]),
  ].join('\n\n')
}

export function simulationText(simulated: PlayedServing, requestsPerS: number): string {
  const busiest = Math.max(...simulated.busy)
  return formatFields([
    ['offered', `${show(requestsPerS)} requests/s`],
    ['served', `${show(simulated.requestsPerS)} requests/s, ${show(simulated.tokensPerS)} tokens/s`],
    [
      'TTFT',
      `mean ${showMs(simulated.ttftMs.mean)}, p50 ${showMs(simulated.ttftMs.p50)}, p99 ${showMs(simulated.ttftMs.p99)}`,
    ],
    [
      'TPOT',
      `mean ${showMs(simulated.tpotMs.mean)}, p50 ${showMs(simulated.tpotMs.p50)}, p99 ${showMs(simulated.tpotMs.p99)}`,
    ],
    ['busiest stage', showShare(busiest)],
    ['fullest KV cache', showShare(Math.max(...simulated.kvPeak))],
    ['requests', `${simulated.finished} finished, ${simulated.events.toLocaleString('en')} events`],
    ...(simulated.faults === undefined
      ? []
      : [
          [
            'lost machines',
            `${simulated.faults.restarted} restarts, ${simulated.faults.unanswered} without answer`,
          ] as const,
        ]),
  ])
}
