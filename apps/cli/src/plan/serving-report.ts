import type { ReplicaReport, ServingPlan } from '@deos/planner'
import { bullets, cards, escapeHtml, htmlTable, page, section } from '@deos/report'
import { alikeReplicas, andAlike, type ReplicaKind } from './alike-replicas.ts'
import type { ServingDocument } from './plan-document.ts'
import { fleetMap, type MemoryRow, memoryBars, type TimelineRow, timeline } from './report-pictures.ts'
import { dividedText, show, showBytes, showMs, showPrice, showShare, whereOf } from './serving-text.ts'

/** Replicas beyond these look like those shown. */
const mostDrawn = 4
const stepsDrawn = 3

/** A plan for serving as a page with pictures. */
export function servingReport({ plan, model, fleet, workload, planningMs }: ServingDocument): string {
  const { predicted, simulated, simulatedMost, bound } = plan
  const holders = new Map<string, number>()
  for (const [at, { stages }] of plan.replicas.entries()) {
    for (const { machine, slot } of stages.flatMap(({ accelerators }) => accelerators)) {
      holders.set(`${machine}/${slot}`, at)
    }
  }
  const beside = (value: string | undefined) => (value === undefined ? {} : { more: `${value} simulated` })
  const drawn = alikeReplicas(plan.replicas).slice(0, mostDrawn)
  const left = plan.replicas.length - drawn.reduce((sum, { count }) => sum + count, 0)
  return page(
    `${model.name}: plan for serving`,
    [
      `<p class="soft">${escapeHtml(`${workload.promptTokens.mean} prompt and ${workload.outputTokens.mean} answer tokens on the average; goal ${plan.goal}; planned in ${showMs(planningMs)}.`)}</p>`,
      cards([
        {
          name: 'requests/s',
          value: show(predicted.requestsPerS),
          ...beside(simulated ? show(simulated.requestsPerS) : undefined),
        },
        {
          name: 'tokens/s',
          value: show(predicted.tokensPerS),
          ...beside(simulated ? show(simulated.tokensPerS) : undefined),
        },
        {
          name: 'TTFT',
          value: showMs(predicted.ttftMs),
          ...beside(simulated ? showMs(simulated.ttftMs.mean) : undefined),
        },
        {
          name: 'TPOT',
          value: showMs(predicted.tpotMs),
          ...beside(simulated ? showMs(simulated.tpotMs.mean) : undefined),
        },
        ...(simulatedMost === null
          ? []
          : [
              {
                name: 'most within the targets',
                value: `${show(simulatedMost.goodputPerS)}/s`,
                more: `of ${show(simulatedMost.requestsPerS)} simulated`,
              },
            ]),
        { name: 'USD/h', value: showPrice(predicted.pricePerHour) },
        { name: 'precision', value: plan.precision },
        { name: 'to the bound', value: showShare(bound.gap), more: `${show(bound.value)} ${bound.unit}` },
      ]),
      `<p><b>Bottleneck:</b> ${escapeHtml(plan.bottleneck)}</p>`,
      section(
        'Fleet',
        fleetMap(
          fleet.machines,
          (machine, slot) => holders.get(`${machine}/${slot}`) ?? null,
          (holder) => `replica ${holder}`,
        ),
      ),
      ...drawn.map((kind) => section(titleOf(kind), replicaBody(kind.replica))),
      left > 0 ? `<p class="soft">${left} more replicas are in the plan's JSON.</p>` : '',
      section('What binds layers', boundsBody(plan)),
      section(
        'Not used',
        bullets(plan.unused.map((each) => `${each.machine} (${each.accelerators}): ${each.why}`)),
      ),
      section('Rejected', bullets(plan.rejected.map(({ option, why }) => `${option}: ${why}`))),
      section('Notes', bullets(plan.notes)),
    ].join(''),
  )
}

const roles = { together: 'prompts and answers', prefill: 'prompts only', decode: 'answers only' } as const

function titleOf(kind: ReplicaKind): string {
  const { role, share, requestsPerS } = kind.replica
  const each = kind.count === 1 ? '' : ' each'
  return `Replica ${kind.at}${andAlike(kind)}: ${roles[role]}, ${showShare(share)} of requests${each}, ${show(requestsPerS)}/s`
}

function replicaBody(replica: ReplicaReport): string {
  const rows = replica.stages.map((stage, at) => [
    String(at),
    `[${stage.layers.first}, ${stage.layers.end})`,
    whereOf(stage),
    stage.accelerator,
    dividedText(stage),
    showMs(stage.prefillMs),
    showMs(stage.decodeMs),
    showMs(stage.hopMs),
    `${stage.prefillBound} / ${stage.decodeBound}`,
    showShare(stage.bubble),
    showPrice(stage.pricePerHour),
  ])
  const titles = [
    'stage>',
    'layers',
    'where',
    'accelerator',
    'divided',
    'prompt>',
    'step>',
    'hop>',
    'bound',
    'idle>',
    'USD/h>',
  ]
  return [
    timeline(timelineOf(replica), ['prompt', 'step of the batch', 'link'], 'ms'),
    memoryBars(memoryOf(replica), ['weights', 'KV']),
    htmlTable(titles, rows),
  ].join('')
}

/** A lone prompt going through the stages, then steps. */
function timelineOf({ stages, role }: ReplicaReport): readonly TimelineRow[] {
  const spans = stages.map((): { from: number; to: number; kind: number; title: string }[] => [])
  let now = 0
  const pass = (
    kind: number,
    name: string,
    computeMs: (at: number) => number,
    hopMs: (at: number) => number,
  ) => {
    for (const [at] of stages.entries()) {
      spans[at]!.push({
        from: now,
        to: now + computeMs(at),
        kind,
        title: `${name}: ${showMs(computeMs(at))}`,
      })
      now += computeMs(at)
      if (stages.length === 1) continue
      spans[at]!.push({ from: now, to: now + hopMs(at), kind: 2, title: `link: ${showMs(hopMs(at))}` })
      now += hopMs(at)
    }
  }
  if (role !== 'decode')
    pass(
      0,
      'prompt',
      (at) => stages[at]!.prefillMs,
      (at) => stages[at]!.promptHopMs,
    )
  if (role !== 'prefill') {
    for (let step = 0; step < stepsDrawn; step += 1) {
      pass(
        1,
        'step',
        (at) => stages[at]!.decodeMs,
        (at) => stages[at]!.hopMs,
      )
    }
  }
  return stages.map(({ layers, site }, at) => ({
    name: `[${layers.first}, ${layers.end}) ${site}`,
    spans: spans[at]!,
  }))
}

const memoryOf = ({ stages }: ReplicaReport): readonly MemoryRow[] =>
  stages.map(({ accelerator, weightBytes, kvBytes, memoryBytes }, at) => ({
    name: `${at}: ${accelerator}`,
    totalBytes: memoryBytes,
    parts: [
      { sizeBytes: weightBytes, title: `weights: ${showBytes(weightBytes)}` },
      { sizeBytes: kvBytes, title: `KV: ${showBytes(kvBytes)}` },
    ],
  }))

function boundsBody({ layerBounds }: ServingPlan): string {
  const counts = (bounds: ServingPlan['layerBounds'][number]['prefill']) => [
    String(bounds.compute),
    String(bounds.memory),
    String(bounds.link),
  ]
  const titles = [
    'accelerator',
    'TP>',
    'batch>',
    'prefill: compute>',
    'memory>',
    'link>',
    'decode: compute>',
    'memory>',
    'link>',
  ]
  return htmlTable(
    titles,
    layerBounds.map(({ accelerator, tensorParallel, batch, prefill, decode }) => [
      accelerator,
      String(tensorParallel),
      String(batch),
      ...counts(prefill),
      ...counts(decode),
    ]),
  )
}
