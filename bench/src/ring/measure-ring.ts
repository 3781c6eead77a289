import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  balanceLayers,
  headParameters,
  type LayerRange,
  type ModelConfig,
  matrixParametersOfLayers,
} from '@deos/domain'
import { syntheticShapes, writeSyntheticModel } from '@deos/engine/testing'
import { describeModel, type ModelSource, openModel } from '@deos/engine/weights'
import { type Figure, measuredFigure, quantile, skippedFigure } from '../contract.ts'
import { measurePairs } from '../pairs.ts'
import { type GenerationTimes, LocalRing } from './local-ring.ts'
import { SingleProcess } from './single-process.ts'
import { greedy, promptsOf } from './workload.ts'

export interface RingBenchOptions {
  readonly quick: boolean
  readonly workers: number
  readonly model: string | null
  readonly cacheDir: string
  readonly workerEntry: string
  progress(line: string): void
}

const concurrencies = [1, 4, 16] as const
const maxSessions = Math.max(...concurrencies)
const PROMPT_TOKENS = 16
const HOP_TOKENS = 480
const WARM_UPS = 10

/** Tokens/s of a ring beside one process, the cost of a hop, and the memory of a worker. */
export async function measureRing(options: RingBenchOptions) {
  const figures: Figure[] = []
  const raw: Record<string, unknown> = { workers: options.workers }
  for (const [name, path] of await throughputModels(options)) {
    const throughput = await measureThroughput(options, name, path)
    figures.push(...throughput.figures)
    raw[name] = throughput.raw
  }
  const hops = await measureHops(options, await syntheticModel(options, '15m', 'F16'))
  return { figures: [...figures, ...hops.figures], raw: { ...raw, ...hops.raw } }
}

/** What is measured, by the name its figures carry. */
async function throughputModels(options: RingBenchOptions): Promise<readonly (readonly [string, string])[]> {
  if (options.model !== null) return [['model', options.model]]
  return [
    ['f16', await syntheticModel(options, '350m', 'F16')],
    ['q8_0', await syntheticModel(options, '350m', 'Q8_0')],
  ]
}

async function syntheticModel(
  { cacheDir, progress }: RingBenchOptions,
  shape: '15m' | '350m',
  type: 'F16' | 'Q8_0',
): Promise<string> {
  const path = join(cacheDir, `synthetic-${shape}-${type.toLowerCase()}.gguf`)
  if (existsSync(path)) return path
  progress(`writing ${path}`)
  await writeSyntheticModel({ path, type, shape: syntheticShapes[shape] })
  return path
}

async function measureThroughput(options: RingBenchOptions, name: string, modelPath: string) {
  const source = await openModel(modelPath, { vocabulary: false })
  const { config } = source
  const tokens = options.quick ? 10 : 24
  const common = { modelPath, tokensPerSession: 256, cacheDir: options.cacheDir, sessions: maxSessions }
  options.progress(`starting ${options.workers} workers on ${modelPath}`)
  const kvBytesPerWorker = kvBytes(config)
  const layers = cutsOf(config, options.workers)
  const ring = await LocalRing.start({
    ...common,
    ...{ workerEntry: options.workerEntry, layers },
    ...{ threadsPerWorker: 1, microbatches: options.workers, kvBytesPerWorker },
  })
  const single = await SingleProcess.open({
    ...common,
    threads: options.workers,
    layers: cutsOf(config, 1),
  })
  const figures: Figure[] = []
  const raw: Record<string, unknown> = {}
  try {
    for (const sessions of concurrencies) {
      const prompts = promptsOf(config.vocabSize, sessions, PROMPT_TOKENS)
      const pairs = await measurePairs({
        n: options.quick ? 2 : 7,
        a: () => ringRate(ring, prompts, tokens),
        b: () => singleRate(single, prompts, tokens),
      })
      raw[`sessions${sessions}`] = { unit: 'tokens/s', ring: pairs.a, singleProcess: pairs.b }
      const terms = { id: `ring.throughput.${name}.sessions${sessions}.vsSingleProcess`, unit: 'ratio' }
      const bar = sessions === 16 ? { bar: 0.85 } : {}
      figures.push(measuredFigure({ ...terms, better: 'higher', ...bar, samples: pairs.ratios }))
      options.progress(`${name}, ${sessions} sessions: ${pairs.medianRatio.toFixed(2)} of one process`)
    }
    figures.push(memoryFigure(name, ring, layers, source, kvBytesPerWorker))
  } finally {
    single.close()
    await ring.stop()
  }
  return { figures, raw: { modelPath, ...raw } }
}

/** Equally fast workers. */
const cutsOf = (config: ModelConfig, workers: number): readonly LayerRange[] =>
  balanceLayers(
    { layers: matrixParametersOfLayers(config), head: headParameters(config) },
    new Array<number>(workers).fill(1),
  )

/** K and V in F16 of every session's 256 tokens, for one worker as if it held all layers. */
const kvBytes = ({ kvHeads, headDim, layers }: ModelConfig): number =>
  2 * 2 * kvHeads * headDim * layers * 256 * maxSessions

/** Aggregate tokens/s while all sessions decode: after the last first token, before the first last one. */
async function ringRate(ring: LocalRing, prompts: readonly Int32Array[], tokens: number): Promise<number> {
  const runs = await Promise.all(prompts.map((prompt) => ring.generate(prompt, tokens, greedy)))
  const from = Math.max(...runs.map(({ arrivalsMs }) => arrivalsMs[0]!))
  const to = Math.min(...runs.map(({ arrivalsMs }) => arrivalsMs.at(-1)!))
  const counted = runs.flatMap(({ arrivalsMs }) => arrivalsMs.filter((ms) => ms > from && ms <= to))
  return (1000 * counted.length) / (to - from)
}

async function singleRate(
  single: SingleProcess,
  prompts: readonly Int32Array[],
  tokens: number,
): Promise<number> {
  const { stepsMs } = await single.generate(prompts, tokens)
  return (1000 * prompts.length * stepsMs.length) / stepsMs.reduce((sum, ms) => sum + ms, 0)
}

/** Resident memory of the worst worker, both its processes, beyond its layers and its KV budget. */
function memoryFigure(
  name: string,
  ring: LocalRing,
  cuts: readonly LayerRange[],
  source: ModelSource,
  kvBudget: number,
): Figure {
  const terms = { id: `ring.memory.${name}.overhead`, unit: 'MB', better: 'lower', bar: 150 } as const
  if (process.platform !== 'linux') return skippedFigure({ ...terms, reason: '/proc exists on Linux only' })
  const { embedding, head, layers } = describeModel(source)
  const overheads = ring.processIds.map((pids, stage) => {
    const { first, end } = cuts[stage]!
    const parts = [
      ...layers.slice(first, end),
      ...(first === 0 ? [embedding] : []),
      ...(end === source.config.layers ? [head] : []),
    ]
    const own = parts.reduce((sum, part) => sum + (part.storedBytes ?? 0), 0)
    return (pids.reduce((sum, pid) => sum + residentBytes(pid), 0) - own - kvBudget) / 1e6
  })
  return measuredFigure({ ...terms, samples: [Math.max(...overheads)] })
}

function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) * 1024
}

/**
 * What one hop costs beyond the engine's own time: a single session's time from token to token, less what the engines
 * of all stages spent on that token, shared out over the hops. On the way lie both pipes between a worker and its
 * engine, the link to the next worker, and the system's scheduling.
 */
async function measureHops(options: RingBenchOptions, modelPath: string) {
  const { config } = await openModel(modelPath, { vocabulary: false })
  const [prompt] = promptsOf(config.vocabSize, 1, PROMPT_TOKENS)
  const ring = await LocalRing.start({
    ...{ modelPath, tokensPerSession: 512, cacheDir: options.cacheDir, sessions: 1 },
    ...{ workerEntry: options.workerEntry, layers: cutsOf(config, options.workers) },
    ...{ threadsPerWorker: 1, microbatches: options.workers, kvBytesPerWorker: kvBytes(config) },
  })
  const p50s: number[] = []
  const p99s: number[] = []
  try {
    // Until the code of every process is compiled: the first thousands of hops cost several times the rest.
    for (let warmUps = 0; warmUps < WARM_UPS; warmUps += 1) await ring.generate(prompt!, HOP_TOKENS, greedy)
    for (let run = 0; run < (options.quick ? 5 : 15); run += 1) {
      const overheads = hopOverheads(await ring.generate(prompt!, HOP_TOKENS, greedy), options.workers)
      p50s.push(quantile(overheads, 0.5))
      p99s.push(quantile(overheads, 0.99))
    }
  } finally {
    await ring.stop()
  }
  options.progress(`a hop costs ${quantile(p50s, 0.5).toFixed(3)} ms (median)`)
  const terms = { unit: 'ms', better: 'lower' } as const
  const figures = [
    measuredFigure({ id: 'ring.hop.overheadP50', ...terms, bar: 0.3, samples: p50s }),
    measuredFigure({ id: 'ring.hop.overheadP99', ...terms, samples: p99s }),
  ]
  return { figures, raw: { hop: { p50s, p99s } } }
}

function hopOverheads({ arrivalsMs, engineMs }: GenerationTimes, hops: number): readonly number[] {
  return arrivalsMs.slice(1).map((ms, index) => (ms - arrivalsMs[index]! - engineMs[index + 1]!) / hops)
}
