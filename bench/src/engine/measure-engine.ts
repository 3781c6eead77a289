import type { ModelConfig } from '@deos/domain'
import { Backend, Stage } from '@deos/engine'
import { llamaCppAvailability } from '@deos/engine/testing'
import { describeModel, type ModelSource, resolveStageWeights, type WeightType } from '@deos/engine/weights'
import { type Figure, measuredFigure, skippedFigure } from '../contract.ts'
import { type MemoryBandwidth, measureMemoryBandwidth, scanThreadLimit } from '../memory-bandwidth.ts'
import { measurePairs, type Pairs } from '../pairs.ts'
import { benchModel } from './bench-models.ts'
import { type Contender, type DecodeRun, decodeRate, prefillRate } from './contender.ts'
import { LlamaCppContender } from './llama-cpp-contender.ts'
import { StageContender } from './stage-contender.ts'

export interface EngineBenchOptions {
  readonly model: string | null
  readonly quick: boolean
  readonly threads: number
  readonly types: readonly WeightType[]
  readonly cacheDir: string
  progress(line: string): void
}

const batches = [1, 4, 8, 16] as const
const maxBatch = Math.max(...batches)
const pageTokens = 32
/** Thresholds the figures are held to. */
const decodeBars: Partial<Record<(typeof batches)[number], number>> = { 1: 0.95, 8: 1 }

/** Largest first: sequences are dropped, not filled again, for the next size. */
const descending = batches.toReversed()

interface Plan {
  readonly decodePairs: number
  readonly prefillPairs: number
  readonly promptTokens: number
  /** Tokens each sequence holds when decoding starts. */
  readonly depth: number
  /** Short runs: on a machine that does other things too, more pairs say more than longer ones. */
  readonly steps: Record<(typeof batches)[number], number>
}
const fullPlan: Plan = {
  ...{ decodePairs: 11, prefillPairs: 5, promptTokens: 512, depth: 128 },
  steps: { 1: 24, 4: 8, 8: 6, 16: 4 },
}
const quickPlan: Plan = {
  ...{ decodePairs: 7, prefillPairs: 3, promptTokens: 96, depth: 32 },
  steps: { 1: 8, 4: 3, 8: 2, 16: 2 },
}

/** Figures of every type: prefill, and decode at each batch size, beside llama.cpp. */
export async function measureEngine(options: EngineBenchOptions) {
  const availability = llamaCppAvailability()
  const bandwidth = await bandwidthOf(options)
  const figures: Figure[] = []
  const raw: Record<string, unknown> = {}
  for (const type of options.types) {
    const source = await benchModel(options, type)
    const bench = new TypeBench(options, source, type, bandwidth)
    const result = availability.available ? await bench.run() : bench.skip(availability.reason)
    figures.push(...result.figures)
    raw[type] = result.raw
  }
  const { model, threads, quick } = options
  const plan = quick ? quickPlan : fullPlan
  return { figures, raw: { model: model ?? 'synthetic', threads, plan, bandwidth, types: raw } }
}

async function bandwidthOf({ threads, quick, progress }: EngineBenchOptions): Promise<MemoryBandwidth> {
  const used = Math.min(threads, scanThreadLimit())
  progress(`memory bandwidth with ${used} threads`)
  return measureMemoryBandwidth({ threads: used, runs: quick ? 5 : 11 })
}

type Batch = (typeof batches)[number]

interface Contenders {
  readonly ours: Contender
  readonly separate: Contender
  readonly unified: Contender
}

interface TypeResult {
  readonly figures: readonly Figure[]
  readonly raw: unknown
}

/** All measurements of one file. */
class TypeBench {
  readonly #plan: Plan
  readonly #prefix: string

  constructor(
    private readonly options: EngineBenchOptions,
    private readonly source: ModelSource,
    private readonly type: WeightType,
    private readonly bandwidth: MemoryBandwidth,
  ) {
    this.#plan = options.quick ? quickPlan : fullPlan
    this.#prefix = type.toLowerCase()
  }

  async run(): Promise<TypeResult> {
    const contenders = await this.#open()
    try {
      const raw: Record<string, unknown> = { file: this.source.path }
      const byBatch = new Map<Batch, Figure[]>()
      const prompt = promptOf(this.source.config, this.#plan.depth)
      for (const contender of Object.values(contenders)) await contender.fill(maxBatch, prompt)
      for (const batch of descending) {
        const { pairs, kv } = await this.#decode(contenders, batch)
        byBatch.set(batch, this.#decodeFigures(batch, pairs))
        raw[`batch${batch}`] = { ...rates(pairs), llamaCppKv: kv }
      }
      const prefill = await this.#prefill(contenders)
      raw.prefill = rates(prefill)
      const decode = batches.flatMap((batch) => byBatch.get(batch)!)
      return { figures: [measuredFigure({ ...this.#prefillTerms, samples: prefill.ratios }), ...decode], raw }
    } finally {
      for (const contender of Object.values(contenders)) contender.close()
    }
  }

  skip(reason: string): TypeResult {
    const terms = [this.#prefillTerms, ...batches.map((batch) => this.#decodeTerms(batch)), this.#shareTerms]
    return { figures: terms.map((each) => skippedFigure({ ...each, reason })), raw: null }
  }

  get #prefillTerms() {
    return { id: `engine.prefill.${this.#prefix}.vsLlamaCpp`, unit: 'ratio', better: 'higher' } as const
  }

  #decodeTerms(batch: Batch) {
    const bar = decodeBars[batch]
    const id = `engine.decode.${this.#prefix}.batch${batch}.vsLlamaCpp`
    return { id, unit: 'ratio', better: 'higher', ...(bar === undefined ? {} : { bar }) } as const
  }

  get #shareTerms() {
    return {
      id: `engine.decode.${this.#prefix}.batch1.bandwidthShare`,
      unit: 'ratio',
      better: 'higher',
    } as const
  }

  #decodeFigures(batch: Batch, pairs: Pairs): Figure[] {
    const ratio = measuredFigure({ ...this.#decodeTerms(batch), samples: pairs.ratios })
    if (batch !== 1) return [ratio]
    return [ratio, measuredFigure({ ...this.#shareTerms, samples: this.#shares(pairs.a) })]
  }

  async #prefill({ ours, separate }: Contenders): Promise<Pairs> {
    const tokens = promptOf(this.source.config, this.#plan.promptTokens)
    const a = () => prefillRate(ours, tokens)
    const b = () => prefillRate(separate, tokens)
    return this.#report('prefill', await measurePairs({ n: this.#plan.prefillPairs, a, b }))
  }

  async #decode(contenders: Contenders, batch: Batch) {
    for (const contender of Object.values(contenders)) contender.keep(batch)
    const { decodePairs, depth, steps } = this.#plan
    const { vocabSize } = this.source.config
    const token = (sequence: number, step: number) => (1009 * sequence + 7919 * step + 17) % vocabSize
    const run: DecodeRun = { batch, steps: steps[batch], depth, token }
    const kv = await this.#fasterKv(contenders, run)
    const a = () => decodeRate(contenders.ours, run)
    const b = () => decodeRate(contenders[kv], run)
    return { kv, pairs: this.#report(`decode batch ${batch}`, await measurePairs({ n: decodePairs, a, b })) }
  }

  /** llama.cpp keeps sequences in one KV buffer or in one each; it gets the one that is faster here. */
  async #fasterKv({ separate, unified }: Contenders, run: DecodeRun): Promise<'separate' | 'unified'> {
    const trial = await measurePairs({
      n: this.options.quick ? 1 : 3,
      warmUps: this.options.quick ? 0 : 1,
      a: () => decodeRate(separate, run),
      b: () => decodeRate(unified, run),
    })
    return trial.medianRatio >= 1 ? 'separate' : 'unified'
  }

  async #open(): Promise<Contenders> {
    const { threads } = this.options
    const settings = { threads, context: contextOf(this.#plan), sequences: maxBatch }
    const ours = await openStage(this.options, this.source, this.#plan)
    const opened: Contender[] = [ours]
    try {
      const separate = new LlamaCppContender(this.source.path, settings)
      opened.push(separate)
      return {
        ours,
        separate,
        unified: new LlamaCppContender(this.source.path, { ...settings, unifiedKv: true }),
      }
    } catch (error) {
      for (const contender of opened) contender.close()
      throw error
    }
  }

  #report(what: string, pairs: Pairs): Pairs {
    const ratio = pairs.medianRatio.toFixed(3)
    const { aMedian, bMedian } = rates(pairs)
    const line = `${aMedian.toFixed(1)} tokens/s, llama.cpp ${bMedian.toFixed(1)}, ratio ${ratio}`
    this.options.progress(`${this.type} ${what}: ${line}`)
    return pairs
  }

  /** Bytes a step reads, weights and KV once each, times steps a second, of what the memory can deliver. */
  #shares(rate: readonly number[]): number[] {
    const description = describeModel(this.source)
    const stored = [...description.layers, description.head].reduce(
      (sum, part) => sum + (part.storedBytes ?? 0),
      0,
    )
    const tiedHead = this.source.config.tiedEmbeddings ? (description.embedding.storedBytes ?? 0) : 0
    const kv = description.kvBytesPerToken.f16 * this.#plan.depth
    return rate.map((steps) => (steps * (stored + tiedHead + kv)) / this.bandwidth.bytesPerSecond)
  }
}

const contextOf = ({ promptTokens, depth, steps }: Plan) =>
  Math.max(promptTokens, depth + Math.max(...Object.values(steps)))

const promptOf = ({ vocabSize }: ModelConfig, length: number) =>
  Int32Array.from({ length }, (_, index) => (7919 * index + 13) % vocabSize)

function rates(pairs: Pairs) {
  const middle = (values: readonly number[]) => measuredFigure({ ...rateTerms, samples: values }).value!
  return {
    unit: 'tokens/s',
    aMedian: middle(pairs.a),
    bMedian: middle(pairs.b),
    deos: pairs.a,
    llamaCpp: pairs.b,
  }
}

const rateTerms = { id: 'rate', unit: 'tokens/s', better: 'higher' } as const

async function openStage(
  options: EngineBenchOptions,
  source: ModelSource,
  plan: Plan,
): Promise<StageContender> {
  const { config } = source
  const layers = { first: 0, end: config.layers }
  const whole = { layers, embedding: true, head: true }
  const weights = await resolveStageWeights({ source, ...whole, type: 'native', cacheDir: options.cacheDir })
  // As a worker's engine process computes, and as llama.cpp is called here.
  const backend = Backend.open({ threads: options.threads, inline: true })
  const pagesPerSequence = Math.ceil(contextOf(plan) / pageTokens)
  const kv = { type: 'F16', pageCount: maxBatch * pagesPerSequence, pageTokens } as const
  try {
    const stage = await Stage.load(backend, { config, ...whole, weights, kv, maxBatchTokens: 512 })
    return new StageContender(stage, backend, 512)
  } catch (error) {
    backend.close()
    throw error
  }
}
