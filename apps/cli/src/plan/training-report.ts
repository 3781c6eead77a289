import type { TrainingRunPlan } from '@deos/planner'
import { bullets, cards, escapeHtml, htmlTable, page, section } from '@deos/report'
import { fleetMap, memoryBars, type TimelineRow, timeline } from './report-pictures.ts'
import { show, showBytes, showMs, showPrice, showShare } from './serving-text.ts'
import { degreesText, placesOf, showSeconds, type TrainingDocument, waysText } from './training-text.ts'

/** A training plan as a page with pictures. */
export function trainingReport({ plan, model, fleet, workload, planningMs }: TrainingDocument): string {
  const { predicted, run, bound, stages, degrees } = plan
  const holders = new Map<string, number>()
  for (const [at, { replicas }] of stages.slice(0, degrees.pipeline).entries()) {
    for (const { machine, slot } of replicas.flat()) holders.set(`${machine}/${slot}`, at)
  }
  const exchange = `${showSeconds(predicted.exposedExchangeS)} of it exchange`
  return page(
    `${model.name}: plan for training`,
    [
      `<p class="soft">${escapeHtml(`${workload.globalBatch} sequences of ${workload.sequenceTokens} tokens a step; planned in ${showMs(planningMs)}.`)}</p>`,
      `<p><b>${escapeHtml(degreesText(plan))}</b>: ${escapeHtml(waysText(plan))}</p>`,
      cards([
        { name: 'step', value: showSeconds(predicted.stepS), more: exchange },
        { name: 'tokens/s', value: show(predicted.tokensPerS) },
        { name: 'of the peak', value: showShare(predicted.modelFlopsUtilisation) },
        { name: 'USD/h', value: showPrice(predicted.pricePerHour) },
        ...(run === null
          ? []
          : [{ name: 'whole run', value: `${show(run.hours)} h`, more: `${show(run.price)} USD` }]),
        { name: 'to the bound', value: showShare(bound.gap), more: `${show(bound.value)} ${bound.unit}` },
      ]),
      `<p><b>Bottleneck:</b> ${escapeHtml(plan.bottleneck)}</p>`,
      section(
        'Fleet',
        fleetMap(
          fleet.machines,
          (machine, slot) => holders.get(`${machine}/${slot}`) ?? null,
          (stage) => `stage ${stage}`,
        ),
      ),
      section(
        'One step of the first replica',
        timeline(timelineRows(plan), ['forward', 'backward', 'weight gradients'], 's'),
      ),
      section('Memory', memoryPicture(plan)),
      section('Stages', stagesTable(plan)),
      section(
        'Not used',
        bullets(plan.unused.map((each) => `${each.machine} (${each.accelerators}): ${each.why}`)),
      ),
      section('Rejected', bullets(plan.rejected.map(({ option, why }) => `${option}: ${why}`))),
      section('Notes', bullets(plan.notes)),
    ].join(''),
  )
}

const memoryPicture = ({ stages, degrees }: TrainingRunPlan): string =>
  memoryBars(
    stages.slice(0, degrees.pipeline).map((stage, at) => ({
      name: `${at}: ${stage.accelerators.join(', ')}`,
      totalBytes: stage.capacityBytes,
      parts: [{ sizeBytes: stage.memoryBytes, title: showBytes(stage.memoryBytes) }],
    })),
    ['weights, gradients, optimiser states and activations'],
  )

function stagesTable({ stages }: TrainingRunPlan): string {
  const rows = stages.map((stage, at) => [
    String(at),
    `[${stage.layers.first}, ${stage.layers.end})`,
    placesOf(stage),
    stage.accelerators.join(', '),
    showSeconds(stage.computeS),
    showSeconds(stage.hopS),
    showSeconds(stage.exchangeS),
    stage.bound,
    showShare(stage.bubble),
    showPrice(stage.pricePerHour),
  ])
  const titles = ['stage>', 'layers', 'replicas on', 'accelerator', 'compute>', 'hop>', 'exchange>']
  return htmlTable([...titles, 'bound', 'idle>', 'USD/h>'], rows)
}

const kinds = { forward: 0, backward: 1, weights: 2 } as const

/** One row a device; interleaved stages share theirs. */
function timelineRows({ timeline: spans, degrees, stages }: TrainingRunPlan): readonly TimelineRow[] {
  return Array.from({ length: degrees.pipeline }, (_, device) => ({
    name: `${device}: ${stages[device]!.sites.join(', ')}`,
    spans: spans
      .filter(({ stage }) => stage % degrees.pipeline === device)
      .map(({ stage, work, fromS, toS }) => ({
        from: fromS,
        to: toS,
        kind: kinds[work],
        title: `stage ${stage}, ${work}: ${showSeconds(toS - fromS)}`,
      })),
  }))
}
