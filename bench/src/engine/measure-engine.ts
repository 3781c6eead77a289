import { llamaCppAvailability } from '@deos/engine/testing'
import type { ModelSource, WeightType } from '@deos/engine/weights'
import { type Figure, measuredFigure, median, skippedFigure } from '../contract.ts'
import { MemoryScan, scanThreadLimit } from '../memory-bandwidth.ts'
import { measurePairs, type Pairs } from '../pairs.ts'
import { benchModel, longPromptModel } from './bench-models.ts'
import { type Contender, type DecodeRun, decodeRate, prefillRate } from './contender.ts'
import { LlamaCppContender } from './llama-cpp-contender.ts'
import {
  type Batch,
  bandwidthShareBar,
  batches,
  decodeBars,
  type EnginePlan,
  fullPlan,
  longPromptTokens,
  maxBatch,
  type PromptLength,
  prefillBar,
  promptLengths,
  quickPlan,
} from './plan.ts'
import { StageContender } from './stage-contender.ts'
import { stepBytes } from './step-bytes.ts'

export interface EngineBenchOptions {
  readonly model: string | null
  readonly quick: boolean
  readonly threads: number
  readonly types: readonly WeightType[]
  readonly cacheDir: string
  progress(line: string): void
}

/** Largest first: sequences are dropped, not filled again, for the next size. */
const descending = batches.toReversed()
/** Scans beside each decode run that its share of the bandwidth is taken of. */
const scansPerShare = 3

/** Figures of every type: prefill, and decode at each batch size, beside llama.cpp. */
export async function measureEngine(options: EngineBenchOptions) {
  const availability = llamaCppAvailability()
  const plan = options.quick ? quickPlan : fullPlan
  const scan = new MemoryScan({ threads: Math.min(options.threads, scanThreadLimit()) })
  try {
    const figures: Figure[] = []
    const raw: Record<string, unknown> = {}
    for (const type of options.types) {
      const bench = new TypeBench(options, plan, type, scan)
      if (availability.available) await bench.run()
      else bench.skip(availability.reason)
      figures.push(...bench.figures)
      raw[type] = bench.raw
    }
    const { model, threads } = options
    const bandwidth = { threads: scan.threads, bufferBytes: scan.bufferBytes }
    return { figures, raw: { model: model ?? 'synthetic', threads, plan, bandwidth, types: raw } }
  } finally {
    scan.close()
  }
}

interface Contenders {
  readonly ours: Contender
  readonly separate: Contender
  readonly unified: Contender
}

/** All measurements of one element type. */
class TypeBench {
  readonly raw: Record<string, unknown> = {}
  readonly #found = new Map<string, Figure>()

  constructor(
    private readonly options: EngineBenchOptions,
    private readonly plan: EnginePlan,
    private readonly type: WeightType,
    private readonly scan: MemoryScan,
  ) {}

  /** In the same order however they were measured. */
  get figures(): readonly Figure[] {
    return this.#terms.map(({ id }) => this.#found.get(id)!)
  }

  async run(): Promise<void> {
    const source = await benchModel(this.options, this.type)
    this.raw.file = source.path
    const { depth, steps } = this.plan
    const short = promptLengths.filter((length) => length < longPromptTokens)
    const context = Math.max(...short, depth + Math.max(...Object.values(steps)))
    await this.#with(source, { context, sequences: maxBatch }, async (contenders) => {
      await this.#decodeAll(contenders, source)
      for (const length of short) await this.#prefill(contenders, source, length)
    })
    await this.#longPrompts()
  }

  skip(reason: string): void {
    for (const terms of this.#terms) this.#add(skippedFigure({ ...terms, reason }))
  }

  get #terms() {
    const decode = batches.flatMap((batch) => [
      this.#decodeTerms(batch),
      ...(batch === 1 ? [this.#shareTerms] : []),
    ])
    return [...promptLengths.map((length) => this.#prefillTerms(length)), ...decode]
  }

  #prefillTerms(length: PromptLength) {
    const which = length === 512 ? '' : `.tokens${length}`
    return this.#termsOf(`prefill.${this.#prefix}${which}.vsLlamaCpp`, prefillBar)
  }

  #decodeTerms(batch: Batch) {
    return this.#termsOf(`decode.${this.#prefix}.batch${batch}.vsLlamaCpp`, decodeBars[batch])
  }

  get #shareTerms() {
    return this.#termsOf(`decode.${this.#prefix}.batch1.bandwidthShare`, bandwidthShareBar)
  }

  #termsOf(name: string, bar: number) {
    return { id: `engine.${name}`, unit: 'ratio', better: 'higher', bar } as const
  }

  get #prefix(): string {
    return this.type.toLowerCase()
  }

  #add(figure: Figure): void {
    this.#found.set(figure.id, figure)
  }

  async #decodeAll(contenders: Contenders, source: ModelSource): Promise<void> {
    const prompt = promptOf(source, this.plan.depth)
    for (const contender of Object.values(contenders)) await contender.fill(maxBatch, prompt)
    for (const batch of descending) {
      for (const contender of Object.values(contenders)) contender.keep(batch)
      await this.#decode(contenders, source, batch)
    }
  }

  async #decode(contenders: Contenders, source: ModelSource, batch: Batch): Promise<void> {
    const { decodePairs, depth, steps } = this.plan
    const { vocabSize } = source.config
    const token = (sequence: number, step: number) => (1009 * sequence + 7919 * step + 17) % vocabSize
    const run: DecodeRun = { batch, steps: steps[batch], depth, token }
    const kv = await this.#fasterKv(contenders, run)
    const a = () => decodeRate(contenders.ours, run)
    const b = () => decodeRate(contenders[kv], run)
    const pairs = this.#report(`decode batch ${batch}`, await measurePairs({ n: decodePairs, a, b }))
    this.#add(measuredFigure({ ...this.#decodeTerms(batch), samples: pairs.ratios }))
    this.raw[`batch${batch}`] = { ...rates(pairs), llamaCppKv: kv }
    if (batch === 1) await this.#bandwidthShare(source, run.steps, a)
  }

  /** llama.cpp keeps sequences in one KV buffer or in one each; it gets the one that is faster here. */
  async #fasterKv({ separate, unified }: Contenders, run: DecodeRun): Promise<'separate' | 'unified'> {
    const trial = await measurePairs({
      n: 1,
      warmUps: 0,
      a: () => decodeRate(separate, run),
      b: () => decodeRate(unified, run),
    })
    return trial.medianRatio >= 1 ? 'separate' : 'unified'
  }

  /** Bytes a second that decoding cannot do without, of what a plain scan right beside it gets from memory. */
  async #bandwidthShare(source: ModelSource, steps: number, decode: () => Promise<number>): Promise<void> {
    const { decodePairs, depth } = this.plan
    const bytes = stepBytes(source, depth + (steps - 1) / 2)
    const pairs = await measurePairs({ n: decodePairs, a: decode, b: () => this.scan.best(scansPerShare) })
    const samples = pairs.ratios.map((ratio) => ratio * bytes)
    this.#add(measuredFigure({ ...this.#shareTerms, samples }))
    const bytesPerSecond = median(pairs.b)
    this.raw.bandwidth = { stepBytes: bytes, bytesPerSecond, stepsPerSecond: pairs.a }
    const gigabytes = (bytesPerSecond / 1e9).toFixed(1)
    this.options.progress(
      `${this.type} reads ${median(samples).toFixed(3)} of the ${gigabytes} GB/s of a plain scan`,
    )
  }

  async #longPrompts(): Promise<void> {
    const long = promptLengths.filter((length) => length >= longPromptTokens)
    const measured = long.filter((length) => this.plan.prefillPairs[length] > 0)
    for (const length of long.filter((each) => !measured.includes(each))) {
      const reason = `A prompt of ${length} tokens takes too long for --quick.`
      this.#add(skippedFigure({ ...this.#prefillTerms(length), reason }))
    }
    if (measured.length === 0) return
    const source = await longPromptModel(this.options, this.type)
    await this.#with(source, { context: Math.max(...measured), sequences: 1 }, async (contenders) => {
      for (const length of measured) await this.#prefill(contenders, source, length)
    })
  }

  async #prefill(
    { ours, separate }: Pick<Contenders, 'ours' | 'separate'>,
    source: ModelSource,
    length: PromptLength,
  ): Promise<void> {
    const tokens = promptOf(source, length)
    const pairs = await measurePairs({
      n: this.plan.prefillPairs[length],
      warmUps: length < longPromptTokens ? 1 : 0,
      a: () => prefillRate(ours, tokens),
      b: () => prefillRate(separate, tokens),
    })
    this.#report(`prefill of ${length}`, pairs)
    this.#add(measuredFigure({ ...this.#prefillTerms(length), samples: pairs.ratios }))
    this.raw[`prefill${length}`] = { file: source.path, ...rates(pairs) }
  }

  /** Ours is opened first: whoever maps a file first decides on the size of its pages, for all. */
  async #with(
    source: ModelSource,
    room: { readonly context: number; readonly sequences: number },
    use: (contenders: Contenders) => Promise<void>,
  ): Promise<void> {
    const { threads, cacheDir } = this.options
    const opened: Contender[] = []
    const keep = <C extends Contender>(contender: C): C => {
      opened.push(contender)
      return contender
    }
    const theirs = (unifiedKv: boolean) =>
      keep(new LlamaCppContender(source.path, { threads, ...room, unifiedKv }))
    try {
      const ours = keep(await StageContender.open({ source, threads, cacheDir, ...room }))
      const separate = theirs(false)
      await use({ ours, separate, unified: room.sequences > 1 ? theirs(true) : separate })
    } finally {
      for (const contender of opened) contender.close()
    }
  }

  #report(what: string, pairs: Pairs): Pairs {
    const ratio = pairs.medianRatio.toFixed(3)
    const { aMedian, bMedian } = rates(pairs)
    const line = `${aMedian.toFixed(1)} tokens/s, llama.cpp ${bMedian.toFixed(1)}, ratio ${ratio}`
    this.options.progress(`${this.type} ${what}: ${line}`)
    return pairs
  }
}

const promptOf = ({ config: { vocabSize } }: ModelSource, length: number) =>
  Int32Array.from({ length }, (_, index) => (7919 * index + 13) % vocabSize)

const rates = ({ a, b }: Pairs) => ({
  unit: 'tokens/s',
  aMedian: median(a),
  bMedian: median(b),
  deos: a,
  llamaCpp: b,
})
