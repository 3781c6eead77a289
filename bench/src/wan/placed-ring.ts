import {
  balanceLayers,
  headParameters,
  type LayerRange,
  type ModelConfig,
  matrixParametersOfLayers,
} from '@deos/domain'
import { type EmulatedSite, linkSettings, type PairTraffic, pairKey, type WanProfile } from '@deos/wan'
import { LocalRing } from '../ring/local-ring.ts'
import { greedy } from '../ring/workload.ts'
import { EmulatorProcess } from './emulator-process.ts'
import type { LlamaRpcBinaries } from './llama-rpc-binaries.ts'
import { steadyRate } from './steady-rate.ts'

export interface WanRingOptions {
  readonly quick: boolean
  readonly model: string
  /** Text that prompts are taken from where another program computes them too. */
  readonly textPath: string
  readonly cacheDir: string
  /** Sessions at saturation. */
  readonly sessions: number
  /** Steps in flight at once. */
  readonly microbatches: number
  /** `dist/worker.mjs` and `dist/wan.mjs`. */
  readonly workerEntry: string
  readonly wanEntry: string
  /** llama.cpp's servers, to be measured beside the ring; `null` to skip that. */
  readonly peer: LlamaRpcBinaries | null
  progress(line: string): void
}

export const STAGES = 4
/** Of a session's prompt. */
export const PROMPT_TOKENS = 16
/** Room of a session. */
export const SESSION_TOKENS = 256

/** A ring whose workers stand at the sites of a profile, in order. */
export class PlacedRing {
  private constructor(
    readonly ring: LocalRing,
    private readonly emulator: EmulatorProcess,
    /** Of one way around the ring. */
    readonly aroundMs: number,
  ) {}

  /** In order of the profile; the gateway stands beside the first. */
  get sites(): readonly EmulatedSite[] {
    return this.emulator.sites
  }

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

  /** Tokens/s of many sessions that begin at once. */
  async saturatedRate(prompts: readonly Int32Array[], tokens: number): Promise<number> {
    const runs = await Promise.all(prompts.map((prompt) => this.ring.generate(prompt, tokens, greedy)))
    return steadyRate(runs.flatMap(({ arrivalsMs }) => arrivalsMs))
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
