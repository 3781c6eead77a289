import type { ComputeFleet, ModelShape, StepForecast, TrainingJob, TrainingRunPlan } from '@deos/planner'
import { formatFields, formatTable } from '../text/table.ts'
import type { documentSchema } from './plan-document.ts'
import { show, showBytes, showMs, showPrice, showShare } from './serving-text.ts'

/** What `deos plan train --json` writes. */
export interface TrainingDocument {
  readonly schema: typeof documentSchema
  readonly kind: 'train'
  readonly model: ModelShape
  readonly fleet: ComputeFleet
  readonly workload: TrainingJob
  readonly plan: TrainingRunPlan
  readonly planningMs: number
}

export const showSeconds = (seconds: number): string =>
  seconds < 1 ? showMs(seconds * 1000) : `${show(seconds)} s`

/** `DP 4 × PP 2 × TP 8`. */
export const degreesText = ({ degrees }: TrainingRunPlan): string =>
  (
    [
      ['DP', degrees.data],
      ['PP', degrees.pipeline],
      ['TP', degrees.tensor],
      ['CP', degrees.context],
      ['EP', degrees.expert],
    ] as const
  )
    .filter(([name, degree]) => degree > 1 || name === 'DP')
    .map(([name, degree]) => `${name} ${degree}`)
    .join(' × ')

const exchangeNames: Readonly<Record<TrainingRunPlan['exchange'], string>> = {
  ring: 'gradients round a ring',
  sharded: 'gradients to shards in turn',
  direct: 'gradients to shards at once',
  regional: 'gradients within regions, then between',
}

export function waysText(plan: TrainingRunPlan): string {
  const { schedule, chunks, microbatch, microbatches, zeroStage, rematerialise, exchange, stepsPerExchange } =
    plan
  return [
    schedule === 'interleaved' ? `interleaved 1F1B with ${chunks} parts on each device` : schedule,
    `${microbatches} microbatches of ${microbatch}`,
    ...(zeroStage > 0 ? [`ZeRO-${zeroStage}`] : []),
    ...(rematerialise ? ['activations computed anew'] : []),
    exchangeNames[exchange],
    ...(stepsPerExchange > 1 ? [`an exchange every ${stepsPerExchange} steps`] : []),
  ].join(', ')
}

const mostListed = 10

/** A training plan for people at a terminal. */
export function trainingText({ plan, model, fleet, workload, planningMs }: TrainingDocument): string {
  const { predicted, run, bound } = plan
  const accelerators = fleet.machines.reduce((sum, each) => sum + each.accelerators, 0)
  const { globalBatch, sequenceTokens, optimiser, precision } = workload
  const price =
    predicted.pricePerMillionTokens === null
      ? '–'
      : `${showPrice(predicted.pricePerHour)} USD/h, ${show(predicted.pricePerMillionTokens)} USD/M tokens`
  const list = (title: string, lines: readonly string[]) => {
    const more = lines.length - mostListed
    const shown = [...lines.slice(0, mostListed), ...(more > 0 ? [`and ${more} more`] : [])]
    return lines.length === 0 ? [] : [`${title}\n${shown.map((line) => `  ${line}`).join('\n')}`]
  }
  return [
    formatFields([
      ['model', `${model.name}, ${model.layers} layers`],
      ['fleet', `${fleet.machines.length} machines with ${accelerators} accelerators`],
      ['work', `${globalBatch} sequences of ${sequenceTokens} tokens a step, ${optimiser}, ${precision}`],
      ['plan', degreesText(plan)],
      ['runs as', waysText(plan)],
      ['planned in', showMs(planningMs)],
    ]),
    formatFields([
      [
        'step',
        `${showSeconds(predicted.stepS)}: pipeline ${showSeconds(predicted.pipelineS)}, exchange behind it ${showSeconds(predicted.exposedExchangeS)}`,
      ],
      [
        'throughput',
        `${show(predicted.tokensPerS)} tokens/s, ${showShare(predicted.modelFlopsUtilisation)} of the accelerators' peak`,
      ],
      ['price', price],
      ...(run === null ? [] : [['run', `${show(run.hours)} h, ${show(run.price)} USD`] as const]),
    ]),
    stagesTable(plan),
    formatFields([
      ['bottleneck', plan.bottleneck],
      [
        'bound',
        `${show(bound.value)} ${bound.unit}: ${bound.because}; the plan is ${showShare(bound.gap)} away`,
      ],
    ]),
    ...list(
      'Not used',
      plan.unused.map((each) => `${each.machine} (${each.accelerators}): ${each.why}`),
    ),
    ...list(
      'Rejected',
      plan.rejected.map(({ option, why }) => `${option}: ${why}`),
    ),
    ...list('Note', plan.notes),
  ].join('\n\n')
}

function stagesTable({ stages }: TrainingRunPlan): string {
  const right = (title: string) => ({ title, align: 'right' as const })
  const columns = [
    { title: 'stage' },
    { title: 'layers' },
    { title: 'replicas on' },
    { title: 'accelerator' },
    right('compute'),
    right('hop'),
    right('exchange'),
    { title: 'memory' },
    { title: 'bound' },
    right('idle'),
    right('USD/h'),
  ]
  const rows = stages.map((stage, at) => [
    String(at),
    `[${stage.layers.first}, ${stage.layers.end})`,
    placesOf(stage),
    stage.accelerators.join(', '),
    showSeconds(stage.computeS),
    showSeconds(stage.hopS),
    showSeconds(stage.exchangeS),
    `${showBytes(stage.memoryBytes)} of ${showBytes(stage.capacityBytes)}`,
    stage.bound,
    showShare(stage.bubble),
    showPrice(stage.pricePerHour),
  ])
  return formatTable(columns, rows)
}

const mostPlaces = 3

export function placesOf({ replicas }: TrainingRunPlan['stages'][number]): string {
  const machines = [...new Set(replicas.flat().map(({ machine }) => machine))]
  const more = machines.length - mostPlaces
  return `${machines.slice(0, mostPlaces).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

/** A step played again, beside what the plan said. */
export function replayText(played: StepForecast, predictedS: number): string {
  const right = (title: string) => ({ title, align: 'right' as const })
  const columns = [
    { title: 'stage' },
    { title: 'layers' },
    ...['compute', 'hop', 'exchange', 'memory', 'idle'].map(right),
  ]
  const rows = played.stages.map((stage, at) => [
    String(at),
    `[${stage.layers[0]}, ${stage.layers[1]})`,
    showSeconds(stage.computeS),
    showSeconds(stage.hopS),
    showSeconds(stage.exchangeS),
    showBytes(stage.memoryBytes),
    showShare(stage.bubble),
  ])
  return [
    formatFields([
      ['step', `${showSeconds(played.stepS)}; the plan says ${showSeconds(predictedS)}`],
      ['throughput', `${show(played.tokensPerS)} tokens/s`],
      ['memory', played.fits ? 'suffices' : 'does not suffice'],
    ]),
    formatTable(columns, rows),
  ].join('\n\n')
}
