import {
  balanceLayers,
  headParameters,
  type LayerRange,
  type ModelConfig,
  matrixParametersOfLayers,
} from '@deos/domain'
import { openModel } from '@deos/engine/weights'
import { builtInProfiles, linkSettings, type PairTraffic, pairKey, type WanProfile } from '@deos/wan'
import { type Figure, measuredFigure, median } from '../contract.ts'
import { measurePairs } from '../pairs.ts'
import { LocalRing } from '../ring/local-ring.ts'
import { greedy, promptsOf } from '../ring/workload.ts'
import { EmulatorProcess } from './emulator-process.ts'

export interface WanRingOptions {
  readonly quick: boolean
  readonly model: string
  readonly cacheDir: string
  /** Sessions at saturation. */
  readonly sessions: number
  /** Steps in flight at once. */
  readonly microbatches: number
  /** `dist/worker.mjs` and `dist/wan.mjs`. */
  readonly workerEntry: string
  readonly wanEntry: string
  progress(line: string): void
}

const STAGES = 4
const PROMPT_TOKENS = 16
const SESSION_TOKENS = 256

/** A ring of four workers in four regions: one session beside the ideal, many beside the same ring without a network. */
export async function measureWanRing(options: WanRingOptions) {
  const { config } = await openModel(options.model, { vocabulary: false })
  const far = builtInProfiles.get('aws-4-regions')!
  const farRing = await PlacedRing.start(options, config, far)
  const nearRing = await PlacedRing.start(options, config, builtInProfiles.get('zero')!)
  try {
    const single = await measureSingle(options, config, farRing)
    const saturated = await measureSaturated(options, config, farRing, nearRing)
    return {
      figures: [...single.figures, ...saturated.figures],
      raw: { single: single.raw, saturated: saturated.raw, traffic: await farRing.traffic() },
    }
  } finally {
    await farRing.stop()
    await nearRing.stop()
  }
}

/** A ring whose workers stand at the sites of a profile, in order. */
class PlacedRing {
  private constructor(
    readonly ring: LocalRing,
    private readonly emulator: EmulatorProcess,
    /** Of one way around the ring. */
    readonly aroundMs: number,
  ) {}

  static async start(options: WanRingOptions, config: ModelConfig, profile: WanProfile): Promise<PlacedRing> {
    options.progress(`starting a ring over ${profile.name}`)
    const emulator = await EmulatorProcess.start(options.wanEntry, profile)
    const ring = await LocalRing.start({
      ...{ workerEntry: options.workerEntry, modelPath: options.model, layers: cutsOf(config) },
      ...{ threadsPerWorker: 1, microbatches: options.microbatches, sessions: options.sessions },
      ...{ tokensPerSession: SESSION_TOKENS, cacheDir: options.cacheDir, places: emulator.sites },
      kvBytesPerWorker:
        2 * 2 * config.kvHeads * config.headDim * config.layers * SESSION_TOKENS * options.sessions,
    }).catch(async (error: unknown) => {
      await emulator.stop()
      throw error
    })
    return new PlacedRing(ring, emulator, aroundMs(profile))
  }

  /** Bytes between sites so far. */
  traffic(): Promise<readonly PairTraffic[]> {
    return this.emulator.traffic()
  }

  async stop(): Promise<void> {
    await this.ring.stop()
    await this.emulator.stop()
  }
}

function aroundMs(profile: WanProfile): number {
  const settings = linkSettings(profile)
  const names = profile.sites.slice(0, STAGES).map(({ name }) => name)
  return names.reduce(
    (sum, name, index) => sum + settings.get(pairKey(name, names[(index + 1) % STAGES]!))!.oneWayMs,
    0,
  )
}

const cutsOf = (config: ModelConfig): readonly LayerRange[] =>
  balanceLayers(
    { layers: matrixParametersOfLayers(config), head: headParameters(config) },
    new Array<number>(STAGES).fill(1),
  )

/** Time from token to token of a session that is alone, beside what engines and links need. */
async function measureSingle({ quick, progress }: WanRingOptions, config: ModelConfig, placed: PlacedRing) {
  const [prompt] = promptsOf(config.vocabSize, 1, PROMPT_TOKENS)
  const { ring, aroundMs } = placed
  const ratios: number[] = []
  const raw: { tokenMs: number; engineMs: number }[] = []
  const runs = quick ? 3 : 9
  for (let run = -1; run < runs; run++) {
    const { arrivalsMs, engineMs } = await ring.generate(prompt!, quick ? 40 : 80, greedy)
    if (run < 0) continue // code is compiled meanwhile
    const tokenMs = median(arrivalsMs.slice(1).map((atMs, index) => atMs - arrivalsMs[index]!))
    const computeMs = median(engineMs.slice(1))
    raw.push({ tokenMs, engineMs: computeMs })
    ratios.push(tokenMs / (computeMs + aroundMs))
  }
  const terms = { id: 'wan.ring4.single.vsIdeal', unit: 'ratio', better: 'lower', bar: 1.1 } as const
  const figure = measuredFigure({ ...terms, samples: ratios })
  progress(`one session: ${median(raw.map(({ tokenMs }) => tokenMs)).toFixed(1)} ms a token`)
  return { figures: [figure], raw: { aroundMs, runs: raw } }
}

async function measureSaturated(
  { quick, sessions, progress }: WanRingOptions,
  config: ModelConfig,
  far: PlacedRing,
  near: PlacedRing,
): Promise<{ readonly figures: readonly Figure[]; readonly raw: Record<string, unknown> }> {
  const prompts = promptsOf(config.vocabSize, sessions, PROMPT_TOKENS)
  const tokens = quick ? 64 : 160
  const before = await far.traffic()
  const pairs = await measurePairs({
    n: quick ? 3 : 7,
    a: () => saturatedRate(far.ring, prompts, tokens),
    b: () => saturatedRate(near.ring, prompts, tokens),
  })
  const after = await far.traffic()
  const produced = (quick ? 4 : 8) * sessions * tokens
  const bytesPerToken = after.map(({ from, to, bytes }) => {
    const earlier = before.find((pair) => pair.from === from && pair.to === to)?.bytes ?? 0
    return { from, to, bytes: (bytes - earlier) / produced }
  })
  progress(`${sessions} sessions: ${pairs.medianRatio.toFixed(2)} of the rate without a network`)
  const terms = {
    id: 'wan.ring4.saturated.vsZeroLatency',
    unit: 'ratio',
    better: 'higher',
    bar: 0.85,
  } as const
  return {
    figures: [measuredFigure({ ...terms, samples: pairs.ratios })],
    raw: { unit: 'tokens/s', sessions, fourRegions: pairs.a, zeroLatency: pairs.b, bytesPerToken },
  }
}

/** Tokens/s of the middle half of all tokens, in order of their arrival: neither prompts nor stragglers. */
async function saturatedRate(
  ring: LocalRing,
  prompts: readonly Int32Array[],
  tokens: number,
): Promise<number> {
  const runs = await Promise.all(prompts.map((prompt) => ring.generate(prompt, tokens, greedy)))
  const arrivals = runs.flatMap(({ arrivalsMs }) => arrivalsMs).sort((a, b) => a - b)
  const from = Math.floor(arrivals.length / 4)
  const to = Math.floor((3 * arrivals.length) / 4)
  return (1000 * (to - from)) / (arrivals[to]! - arrivals[from]!)
}
