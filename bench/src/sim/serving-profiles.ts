import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Accelerator,
  allReduceMs,
  catalogue,
  type Efficiency,
  findAccelerator,
  fitEfficiency,
  type LayerGraph,
  type LayerProfile,
  layerTime,
  type ModelShape,
  operatorGraph,
  type Phase,
  partOfLayer,
  peakFlops,
  shapeFromHuggingFace,
} from '@deos/planner'
import { z } from 'zod'
import { median } from '../contract.ts'

/** One shape of requests on one set of accelerators, as measured: medians of its repetitions. */
interface ProfileRow {
  readonly promptTokens: number
  readonly batch: number
  readonly outputTokens: number
  readonly promptMs: number
  readonly tokenMs: number
}

export interface ProfileGroup {
  /** Model, accelerator and degree of tensor parallelism. */
  readonly name: string
  readonly model: string
  readonly hardware: string
  readonly degree: number
  readonly rows: readonly ProfileRow[]
}

export interface PredictedGroup {
  readonly name: string
  readonly efficiency: Efficiency
  /** Of rows that the efficiencies were not fitted to, relative. */
  readonly promptErrors: readonly number[]
  readonly tokenErrors: readonly number[]
  /** Rows quicker than the accelerators' own peak allows: nobody measured what they claim. */
  readonly impossible: readonly string[]
}

const cell = z.coerce.number()
const schema = z.object({
  model: z.string(),
  hardware: z.string(),
  prompt_size: cell,
  batch_size: cell,
  token_size: cell,
  prompt_time: cell,
  token_time: cell,
  tensor_parallel: cell,
})

/** Shapes of the sweeps that efficiencies are fitted to; every second one of each. */
const fittedPrompts: readonly number[] = [128, 512, 2048, 8192]
const fittedBatches: readonly number[] = [1, 4, 16, 64]
const isFitted = ({ promptTokens, batch, outputTokens }: ProfileRow): boolean =>
  fittedPrompts.includes(promptTokens) &&
  fittedBatches.includes(batch) &&
  fittedPrompts.includes(outputTokens)

/** From the models' `config.json`; what BLOOM calls otherwise is named as OPT does, whose layers have the same matrices. */
const shapes: Readonly<Record<string, ModelShape>> = {
  'llama2-70b': shapeFromHuggingFace(
    {
      ...{ model_type: 'llama', num_hidden_layers: 80, hidden_size: 8192, intermediate_size: 28672 },
      ...{ num_attention_heads: 64, num_key_value_heads: 8, vocab_size: 32000 },
      ...{ max_position_embeddings: 16384, tie_word_embeddings: false },
    },
    'llama2-70b',
  ),
  'bloom-176b': shapeFromHuggingFace(
    {
      ...{ model_type: 'gpt_neox', num_hidden_layers: 70, hidden_size: 14336, intermediate_size: 57344 },
      ...{ num_attention_heads: 112, vocab_size: 250880, max_position_embeddings: 16384 },
      ...{ tie_word_embeddings: true },
    },
    'bloom-176b',
  ),
}

const accelerators: Readonly<Record<string, Accelerator>> = {
  'a100-80gb': findAccelerator(catalogue, 'A100-SXM4-80GB'),
  'h100-80gb': findAccelerator(catalogue, 'H100-SXM5-80GB'),
  // The same, held at a lower power.
  'h100-80gb-pcap': findAccelerator(catalogue, 'H100-SXM5-80GB'),
}

/** Between accelerators of one machine. */
const peerDelayMs = 0.01
const format = 'fp16'
const bytes = { weightBytes: 2, activationBytes: 2, kvBytes: 2 }

/** @param folder - `serving-profiles`, with `splitwise/perf_model.csv` */
export function readProfileGroups(folder: string): readonly ProfileGroup[] {
  const path = join(folder, 'splitwise', 'perf_model.csv')
  const [head, ...lines] = readFileSync(path, 'utf8').trim().split('\n')
  const names = head!.trim().split(',')
  const runs = lines.map((line) => {
    const cells = line.trim().split(',')
    return schema.parse(Object.fromEntries(names.map((name, at) => [name, cells[at]])))
  })
  const groups = groupBy(runs, (run) => `${run.model}.${run.hardware}.tp${run.tensor_parallel}`)
  return [...groups].map(([name, members]): ProfileGroup => {
    const { model, hardware, tensor_parallel: degree } = members[0]!
    const same = groupBy(members, (run) => `${run.prompt_size}/${run.batch_size}/${run.token_size}`)
    const rows = [...same.values()].map(
      (repeated): ProfileRow => ({
        promptTokens: repeated[0]!.prompt_size,
        batch: repeated[0]!.batch_size,
        outputTokens: repeated[0]!.token_size,
        promptMs: median(repeated.map((run) => run.prompt_time)),
        tokenMs: median(repeated.map((run) => run.token_time)),
      }),
    )
    return { name, model, hardware, degree, rows }
  })
}

/** Fits the cost model's three efficiencies to a half of a group's rows and predicts the other half with them. */
export function predictGroup(group: ProfileGroup): PredictedGroup {
  const setting = new GroupCosts(group)
  const impossible = group.rows.filter((row) => setting.isImpossible(row))
  const rows = group.rows.filter((row) => !impossible.includes(row))
  const fitted = rows.filter(isFitted)
  const profiles = fitted.flatMap((row) => [
    setting.profile(prefill(row), row.promptMs),
    setting.profile(decode(row), row.tokenMs),
  ])
  const { efficiency } = fitEfficiency(profiles, setting.device, format)
  const held = rows.filter((row) => !isFitted(row))
  return {
    name: group.name,
    efficiency,
    promptErrors: held.map((row) => setting.timeMs(prefill(row), efficiency) / row.promptMs - 1),
    tokenErrors: held.map((row) => setting.timeMs(decode(row), efficiency) / row.tokenMs - 1),
    impossible: impossible.map(({ promptTokens, batch }) => `${batch} prompts of ${promptTokens}`),
  }
}

const prefill = ({ promptTokens, batch }: ProfileRow): Phase => ({
  ...{ kind: 'prefill', sequences: batch, tokens: promptTokens, past: 0 },
})
/** The middle one of the answer's steps. */
const decode = ({ promptTokens, batch, outputTokens }: ProfileRow): Phase => ({
  ...{ kind: 'decode', sequences: batch, past: promptTokens + Math.round(outputTokens / 2) },
})

/** What a model's layers cost on the accelerators of a group. */
class GroupCosts {
  readonly device: Accelerator
  private readonly shape: ModelShape

  constructor(private readonly group: ProfileGroup) {
    this.device = found(accelerators, group.hardware)
    this.shape = found(shapes, group.model)
  }

  /** A layer in the middle, with its part of what stands before and behind the layers. */
  profile(phase: Phase, measuredMs: number): LayerProfile {
    const { layers } = this.shape
    return { graph: this.graphs(phase)[1]!, measuredMs: measuredMs / layers - 2 * this.sumMs(phase) }
  }

  timeMs(phase: Phase, efficiency: Efficiency): number {
    const computeMs = this.graphs(phase).reduce(
      (sum, graph) => sum + layerTime(graph, this.device, { format, efficiency }).timeMs,
      0,
    )
    return computeMs + 2 * this.shape.layers * this.sumMs(phase)
  }

  isImpossible(row: ProfileRow): boolean {
    const flops = this.graphs(prefill(row)).reduce((sum, graph) => sum + graph.flops, 0)
    return row.promptMs < (1000 * flops) / peakFlops(this.device, format)
  }

  private sumMs(phase: Phase): number {
    const tokens = phase.kind === 'decode' ? phase.sequences : phase.sequences * phase.tokens
    const link = { delayMs: peerDelayMs, bytesPerS: (this.device.peerLinkGBs ?? 0) * 1e9 }
    return allReduceMs(this.group.degree, tokens * this.shape.hiddenSize * bytes.activationBytes, link)
  }

  private graphs(phase: Phase): readonly LayerGraph[] {
    return operatorGraph(this.shape, phase, bytes).map((graph) =>
      partOfLayer(graph, this.shape, this.group.degree),
    )
  }
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group === undefined) groups.set(keyOf(item), [item])
    else group.push(item)
  }
  return groups
}

function found<T>(table: Readonly<Record<string, T>>, name: string): T {
  const value = table[name]
  if (value === undefined) throw new RangeError(`The profiles name ${name}, which is not known here.`)
  return value
}
