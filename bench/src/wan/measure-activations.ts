import { readFile } from 'node:fs/promises'
import {
  type ActivationCoding,
  balanceLayers,
  headParameters,
  type ModelConfig,
  matrixParametersOfLayers,
} from '@deos/domain'
import { openModel } from '@deos/engine/weights'
import { type EmulatedSite, parseWanProfile } from '@deos/wan'
import { type Figure, measuredFigure } from '../contract.ts'
import { measurePairs, type Pairs } from '../pairs.ts'
import { LocalRing } from '../ring/local-ring.ts'
import { greedy, promptsOf } from '../ring/workload.ts'
import { ActivationLab } from './activation-lab.ts'
import { type CodingQuality, codingQuality, textWindows } from './activation-quality.ts'
import { EmulatorProcess } from './emulator-process.ts'

export interface ActivationsOptions {
  readonly quick: boolean
  readonly model: string
  readonly cacheDir: string
  /** Text the model was not trained on. */
  readonly heldOut: string
  /** `dist/worker.mjs` and `dist/wan.mjs`. */
  readonly workerEntry: string
  readonly wanEntry: string
  progress(line: string): void
}

const codings = ['lossless', 'int8', 'int4h'] as const
type Coding = (typeof codings)[number]

/** Of a window that is read at once. */
const WINDOW_TOKENS = 176
/** Of the prompt that is timed over the slow link. */
const PROMPT_TOKENS = 448
const SESSION_TOKENS = 512
const STAGES = 3

const slow = parseWanProfile(
  {
    name: 'slow',
    title: 'Three sites 10 Mbit/s apart',
    source: 'Assumed.',
    licence: 'CC0-1.0',
    sites: [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
    inside: { oneWayMs: 0 },
    otherwise: { oneWayMs: 10, mbps: 10 },
    links: [],
  },
  'The slow network',
)

/** Hidden states in fewer bytes: how many fewer, what answers lose by it, and what a slow link gains. */
export async function measureActivations(options: ActivationsOptions) {
  const qualities = await measureQualities(options)
  const times = await measurePrompts(options)
  const figures = codings.flatMap((coding) => figuresOf(coding, qualities[coding], times[coding]))
  const prompts = Object.fromEntries(codings.map((coding) => [coding, { unit: 'ms', ...times[coding] }]))
  return { figures, raw: { qualities, prompts, promptTokens: PROMPT_TOKENS, mbps: 10, oneWayMs: 10 } }
}

function figuresOf(coding: Coding, quality: CodingQuality, { ratios }: Pairs): readonly Figure[] {
  const id = (name: string) => `wan.activations.${coding}.${name}`
  const figure = (name: string, unit: string, better: 'higher' | 'lower', value: number, bar?: number) =>
    measuredFigure({ ...{ id: id(name), unit, better, samples: [value] }, ...(bar !== undefined && { bar }) })
  const exact = coding === 'lossless'
  return [
    figure('prompt.bytesVsF32', 'ratio', 'higher', quality.promptRatio, exact ? 1.1 : undefined),
    figure('decode.bytesVsF32', 'ratio', 'higher', quality.decodeRatio, exact ? 1.1 : undefined),
    figure('meanKl', 'nat', 'lower', quality.meanKl, exact ? 0 : undefined),
    figure('p99Kl', 'nat', 'lower', quality.p99Kl, exact ? 0 : undefined),
    figure('top1Agreement', 'ratio', 'higher', quality.top1Agreement, exact ? 1 : undefined),
    figure('perplexityVsF32', 'ratio', 'lower', quality.perplexityRatio),
    measuredFigure({ id: id('prompt10Mbit.timeVsF32'), unit: 'ratio', better: 'lower', samples: ratios }),
  ]
}

async function measureQualities({ quick, model, cacheDir, heldOut, progress }: ActivationsOptions) {
  const lab = await ActivationLab.open(model, cacheDir, 256)
  try {
    const text = lab.encode(await readFile(heldOut, 'utf8'))
    const windows = textWindows(text, quick ? 4 : 32, WINDOW_TOKENS)
    const found: Partial<Record<Coding, CodingQuality>> = {}
    for (const coding of codings) {
      const quality = await codingQuality(lab, windows, coding)
      found[coding] = quality
      progress(
        `${coding}: ${quality.promptRatio.toFixed(2)} times fewer bytes in prompts, ${quality.decodeRatio.toFixed(2)} in steps, ` +
          `KL ${quality.meanKl.toFixed(5)}`,
      )
    }
    return complete(found)
  } finally {
    lab.close()
  }
}

/** Time to the first token of a prompt over links of 10 Mbit/s, each coding in turns with float32. */
async function measurePrompts(options: ActivationsOptions) {
  const { config } = await openModel(options.model, { vocabulary: false })
  const emulator = await EmulatorProcess.start(options.wanEntry, slow)
  try {
    const plain = await startRing(options, config, emulator.sites, 'f32')
    try {
      const found: Partial<Record<Coding, Pairs>> = {}
      for (const coding of codings) {
        found[coding] = await besidePlain(options, config, emulator.sites, plain, coding)
      }
      return complete(found)
    } finally {
      await plain.stop()
    }
  } finally {
    await emulator.stop()
  }
}

async function besidePlain(
  options: ActivationsOptions,
  config: ModelConfig,
  sites: readonly EmulatedSite[],
  plain: LocalRing,
  coding: Coding,
): Promise<Pairs> {
  const ring = await startRing(options, config, sites, coding)
  try {
    const [prompt] = promptsOf(config.vocabSize, 1, PROMPT_TOKENS)
    const firstTokenMs = async (asked: LocalRing) => (await asked.generate(prompt!, 1, greedy)).arrivalsMs[0]!
    const pairs = await measurePairs({
      n: options.quick ? 3 : 11,
      a: () => firstTokenMs(ring),
      b: () => firstTokenMs(plain),
    })
    options.progress(`${coding}: a prompt over 10 Mbit/s in ${pairs.medianRatio.toFixed(2)} of the time`)
    return pairs
  } finally {
    await ring.stop()
  }
}

const startRing = (
  { workerEntry, model, cacheDir }: ActivationsOptions,
  config: ModelConfig,
  places: readonly EmulatedSite[],
  activations: ActivationCoding,
): Promise<LocalRing> =>
  LocalRing.start({
    ...{ workerEntry, modelPath: model, cacheDir, places, activations },
    ...{ threadsPerWorker: 1, microbatches: STAGES, sessions: 2, tokensPerSession: SESSION_TOKENS },
    layers: balanceLayers(
      { layers: matrixParametersOfLayers(config), head: headParameters(config) },
      new Array<number>(STAGES).fill(1),
    ),
    kvBytesPerWorker: 2 * 2 * config.kvHeads * config.headDim * config.layers * SESSION_TOKENS * 2,
    prefillChunkTokens: 64,
  })

function complete<T>(found: Partial<Record<Coding, T>>): Readonly<Record<Coding, T>> {
  const { lossless, int8, int4h } = found
  if (lossless === undefined || int8 === undefined || int4h === undefined) {
    throw new RangeError('A coding was not measured.')
  }
  return { lossless, int8, int4h }
}
