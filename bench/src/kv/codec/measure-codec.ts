import { readFileSync } from 'node:fs'
import type { KvTools } from '@deos/codec'
import { alternatives } from './alternatives.ts'
import { CacheLab, type ContextCache } from './cache-lab.ts'
import {
  type FittedBasis,
  fitChannelModels,
  fitGroups,
  measureSensitivity,
  SINK_TOKENS,
  weightsOf,
} from './calibrate.ts'
import { codecFigures } from './codec-figures.ts'
import { bestWithin, type CurvePoint, type Limits } from './curves.ts'
import { tryGuard, tryProbes } from './guard-trials.ts'
import { type Method, perGroup, perLayer } from './ladder.ts'
import { type Cut, exactRecall, measureQuality, prepareTrials, type Trial } from './quality.ts'
import { measureShift } from './shift.ts'
import { splitText } from './text-splits.ts'

export interface CodecBenchOptions {
  readonly modelPath: string
  readonly textPath: string
  /** A text unlike the first. */
  readonly otherTextPath: string
  readonly quick: boolean
  readonly threads: number
  readonly cacheDir: string
  progress(line: string): void
}

const SCORED = 48
/** Chosen on the validation text a little inside of what is claimed of the test text. */
const CHOICE: Limits = { meanKl: 0.008, perplexityRatio: 1.008, refused: 0 }

/** Contexts of each text. The embedded model was trained on 256 tokens at a time and reads up to 1,024. */
const plans = {
  full: {
    calibration: { stride: 448, context: 240 },
    sensitivity: 3,
    validation: [192, 512],
    test: [192, 512],
    windows: { validation: 3, test: 6 },
    needles: 3,
    shiftWindows: 12,
    guarded: 10,
    groupSize: { l4: 4, l4tokens: 2 },
    steps: {
      l3: [0.3, 0.9, 1.6, 2.2],
      l4: [0.3, 0.9, 1.6, 2.2, 3],
      l4tokens: [0.025, 0.08, 0.25, 0.6, 1.2, 1.6, 2.2, 3],
    },
  },
  quick: {
    calibration: { stride: 3000, context: 240 },
    sensitivity: 1,
    validation: [192],
    test: [192],
    windows: { validation: 2, test: 3 },
    needles: 1,
    shiftWindows: 4,
    guarded: 2,
    groupSize: { l4: 2, l4tokens: 1 },
    steps: { l3: [0.3, 1.2], l4: [0.3, 0.9], l4tokens: [0.03, 0.25, 0.9] },
  },
} as const

type Plan = (typeof plans)[keyof typeof plans]

/**
 * Bytes and quality of every level and alternative on the same caches. Bases are fitted on one part of the text, the
 * level and step that count are chosen on a second, and what is reported is measured on a third.
 */
export async function measureCodec(options: CodecBenchOptions) {
  const { modelPath, textPath, otherTextPath, quick, threads, cacheDir, progress } = options
  const plan: Plan = quick ? plans.quick : plans.full
  const maxTokens = Math.max(...plan.test) + SCORED
  const lab = await CacheLab.open({ modelPath, threads, cacheDir, maxTokens })
  try {
    const splits = splitText(lab.encode(readFileSync(textPath, 'utf8')))
    const cut = (windows: number, context: number): Cut => ({ windows, context, scored: SCORED })
    const prepare = async (
      text: Int32Array,
      contexts: readonly number[],
      windows: number,
      needles: number,
    ) => {
      const trials: Trial[] = []
      for (const context of contexts)
        trials.push(...(await prepareTrials(lab, text, cut(windows, context), needles)))
      return trials
    }
    const caches = await calibrationCaches(lab, splits.calibration, plan.calibration)
    const probed = await prepareTrials(lab, splits.calibration, cut(plan.sensitivity, 192))
    const validation = await prepare(splits.validation, plan.validation, plan.windows.validation, 0)
    const test = await prepare(splits.test, plan.test, plan.windows.test, plan.needles)
    progress(`${caches.length} contexts of calibration, ${plan.test.join(' and ')} tokens of test`)
    const sensitivity = await measureSensitivity(
      lab,
      probed.filter(({ kind }) => kind === 'text'),
    )
    const ladder = buildLadder(lab, caches, weightsOf(sensitivity), plan, progress)
    const measure = (trials: readonly Trial[], method: Method, ours = true) =>
      measurePoint(lab, trials, method, ours)
    const measureAll = async (trials: readonly Trial[], methods: readonly Method[], ours: boolean) => {
      const points: CurvePoint[] = []
      for (const method of methods) {
        progress(method.name)
        points.push(await measure(trials, method, ours))
      }
      return points
    }
    const texts = validation.filter(({ kind }) => kind === 'text')
    const chosenFrom = await measureAll(
      texts,
      ladder.methods.filter(({ family }) => family in ladder.families),
      true,
    )
    const chosen = new Map(
      [...Object.keys(ladder.families), ''].map((family) => [
        family,
        bestWithin(
          chosenFrom.filter((point) => family === '' || point.family === family),
          CHOICE,
        )?.name,
      ]),
    )
    const ours = await measureAll(test, ladder.methods, true)
    const others = await measureAll(test, alternatives(lab, lab.rotary, caches), false)
    progress('bases that are not what they are called')
    const best = ladder.methods.find(({ name }) => name === chosen.get(''))
    const testTexts = test.filter(({ kind }) => kind === 'text')
    const tools = { rotary: lab.rotary }
    const claimedStep = best === undefined ? 0.5 : Number(best.name.split('@')[1])
    const bases = ladder.families[best?.family ?? 'l4'] ?? []
    const guard = tryGuard(lab, testTexts.slice(0, plan.guarded), bases, claimedStep, tools)
    const foreignRefused = best === undefined ? null : await tryProbes(lab, testTexts, best)
    progress('another text')
    const otherText = splitText(lab.encode(readFileSync(otherTextPath, 'utf8')))
    const seen = await prepareTrials(lab, otherText.calibration, cut(plan.shiftWindows, 192))
    const tested = await prepareTrials(lab, otherText.test, cut(plan.windows.test, 192))
    const shift = await measureShift(
      lab,
      { seen: [...new Set(seen.map(({ cache }) => cache))], tested },
      ladder.families.l4 ?? [],
      { step: Number((chosen.get('l4') ?? '@0.6').split('@')[1]), tools, exact: SINK_TOKENS },
      measure,
    )
    const raw = {
      selection: {
        text: 'calibration: first half; validation, where steps are chosen: next fifth; test, where all else is measured: the rest',
        limits: CHOICE,
        chosen: Object.fromEntries([...chosen].map(([family, name]) => [family || 'best', name ?? null])),
        validation: chosenFrom,
      },
      ...{ contexts: plan.test, windowsOfEach: plan.windows.test, scored: SCORED },
      exactRecall: exactRecall(test, lab.vocabSize),
      bases: ladder.bases,
      sensitivity: [...sensitivity],
      ...{ ours, others, guard, foreignRefused, shift },
    }
    return { figures: codecFigures({ ours, others, guard, foreignRefused, shift, chosen }), raw }
  } finally {
    lab.close()
  }
}

async function calibrationCaches(
  lab: CacheLab,
  text: Int32Array,
  { stride, context }: Plan['calibration'],
): Promise<readonly ContextCache[]> {
  const caches: ContextCache[] = []
  for (let start = 0; start + context <= text.length; start += stride)
    caches.push(await lab.prefill(text.slice(start, start + context)))
  return caches
}

/** Layers from `first` in groups of `size`. */
function groupsOf(first: number, layers: number, size: number): readonly (readonly number[])[] {
  const groups: number[][] = []
  for (let start = first; start < layers; start += size)
    groups.push(Array.from({ length: Math.min(size, layers - start) }, (_, index) => start + index))
  return groups
}

function buildLadder(
  lab: CacheLab,
  caches: readonly ContextCache[],
  weights: ReadonlyMap<string, number>,
  { groupSize, steps }: Plan,
  progress: (line: string) => void,
) {
  const tools: KvTools = { rotary: lab.rotary }
  const models = { ...tools, ...fitChannelModels(lab, caches) }
  const fit = (name: keyof typeof steps, size: number, withTokens: boolean) => {
    progress(`fitting bases for ${name}`)
    const groups = groupsOf(withTokens ? 1 : 0, lab.layers, size)
    return fitGroups(lab, caches, weights, groups, withTokens, steps[name][0])
  }
  const families: Readonly<Record<string, readonly FittedBasis[]>> = {
    l3: fit('l3', 1, false),
    l4: fit('l4', groupSize.l4, false),
    l4tokens: fit('l4tokens', groupSize.l4tokens, true),
  }
  const methods: Method[] = [
    perLayer(lab, 'l0', { name: 'lossless' }, models),
    perLayer(lab, 'l0plain', { name: 'lossless' }, tools),
    perLayer(lab, 'l1', { name: 'int8' }, tools),
    perLayer(lab, 'l2', { name: 'hadamard4' }, tools),
    ...(['l3', 'l4', 'l4tokens'] as const).flatMap((family) =>
      steps[family].map((step) => perGroup(lab, family, families[family]!, step, SINK_TOKENS, tools)),
    ),
  ]
  const bases = Object.entries(families).map(([name, fitted]) => ({
    name,
    bytes: fitted.map(({ bytes }) => bytes.length),
    rank: fitted.map(({ basis }) => basis.rank),
  }))
  return { methods, families, bases }
}

async function measurePoint(
  lab: CacheLab,
  trials: readonly Trial[],
  method: Method,
  ours: boolean,
): Promise<CurvePoint> {
  const arrived = new Map<ContextCache, ContextCache>()
  const total = { bytes: 0, encodeMs: 0, decodeMs: 0, tokens: 0 }
  for (const { cache } of trials) {
    if (arrived.has(cache)) continue
    const sent = method.send(cache)
    arrived.set(cache, sent.cache)
    total.bytes += sent.bytes
    total.encodeMs += sent.encodeMs
    total.decodeMs += sent.decodeMs
    total.tokens += cache[0]!.k.length / lab.channels
  }
  const whole = total.tokens * lab.layers * lab.channels * 4
  const quality = await measureQuality(lab, trials, (cache) => arrived.get(cache)!)
  return {
    ...{ name: method.name, family: method.family },
    ratio: whole / total.bytes,
    bytesPerToken: total.bytes / total.tokens,
    encodeMegabytesPerSecond: ours ? whole / total.encodeMs / 1e3 : null,
    decodeMegabytesPerSecond: ours ? whole / total.decodeMs / 1e3 : null,
    ...quality,
  }
}
