import { readFileSync } from 'node:fs'
import { alternatives } from './alternatives.ts'
import { buildLadder } from './build-ladder.ts'
import { CacheLab, type ContextCache } from './cache-lab.ts'
import { measureSensitivity, SINK_TOKENS, weightsOf } from './calibrate.ts'
import { codecFigures } from './codec-figures.ts'
import { bestWithin, type CurvePoint, guardedBytesPerToken, type Limits } from './curves.ts'
import { measureEnhancement } from './enhancement.ts'
import { tryGuard, tryProbes } from './guard-trials.ts'
import type { Method } from './ladder.ts'
import { exactShare, measurePoint, measureRates } from './measure-point.ts'
import { type Plan, plans, SCORED } from './plans.ts'
import { type Cut, exactRecall, prepareTrials, type Trial } from './quality.ts'
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

/** Chosen on the validation text a little inside of what is claimed of the test text. */
const CHOICE: Limits = { meanKl: 0.008, perplexityRatio: 1.008 }

/** Families of levels that differ in their step, by how much a step is chosen. */
const families = ['l3', 'l4', 'l4tokens'] as const

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
    const sensitivity = await measureSensitivity(lab, probed.filter(isText))
    const ladder = buildLadder(lab, caches, weightsOf(sensitivity), plan, progress)
    const measureAll = async (trials: readonly Trial[], methods: readonly Method[]) => {
      const points: CurvePoint[] = []
      for (const method of methods) {
        progress(method.name)
        points.push(await measurePoint(lab, trials, method))
      }
      return points
    }
    const withSteps = ladder.methods.filter(({ family }) => family in ladder.families || family === 'l0')
    const chosenFrom = await measureAll(validation.filter(isText), withSteps)
    const chosen = choose(chosenFrom)
    const ours = await measureAll(test, ladder.methods)
    const others = await measureAll(test, alternatives(lab, lab.rotary, caches))
    progress('bases that are not what they are called')
    const testTexts = test.filter(isText)
    const best = methodNamed(ladder.methods, chosen.get('best'))
    const tools = { rotary: lab.rotary }
    const bases = ladder.families[best?.family ?? 'l4'] ?? []
    const guard = tryGuard(lab, testTexts.slice(0, plan.guarded), bases, stepOf(best?.name ?? '@0.5'), tools)
    const withReference = bases.some(({ basis }) => basis.referenceChannels > 0)
    const probes = best ? await tryProbes(lab, testTexts, best, withReference) : null
    progress('better copies after the start')
    const named = (name: string | null | undefined) => methodNamed(ladder.methods, name) ?? []
    const enhancement = await measureEnhancement(
      lab,
      testTexts,
      ['l2', chosen.get('l3'), chosen.get('l4')].flatMap(named),
      ['l0', 'l1', `l3.step@${plan.steps.l3[0]}`].flatMap(named),
    )
    progress('rates')
    const timed = [
      ...ladder.methods.filter(({ family }) => !(family in ladder.families)),
      ...families.flatMap((family) => methodNamed(ladder.methods, chosen.get(family)) ?? []),
    ]
    const rates = measureRates(
      lab,
      testTexts.slice(-2).map(({ cache }) => cache),
      timed,
      plan.rateRounds,
    )
    progress('another text')
    const otherText = splitText(lab.encode(readFileSync(otherTextPath, 'utf8')))
    const seen = await prepareTrials(lab, otherText.calibration, cut(plan.shiftWindows, 192))
    const tested = await prepareTrials(lab, otherText.test, cut(plan.windows.test, 192))
    const shift = await measureShift(
      lab,
      { seen: [...new Set(seen.map(({ cache }) => cache))], tested },
      ladder.families.l4 ?? [],
      { step: stepOf(chosen.get('l4') ?? '@0.6'), tools, exact: SINK_TOKENS },
    )
    const sentCaches = testTexts.map(({ cache }) => cache)
    const bitExact = exactShare(sentCaches, methodNamed(ladder.methods, 'l0')!)
    const raw = {
      selection: {
        text: 'calibration: first half; validation, where steps are chosen: next fifth; test, where all else is measured: the rest',
        limits: CHOICE,
        chosen: Object.fromEntries(chosen),
        validation: chosenFrom,
      },
      ...{ contexts: plan.test, windowsOfEach: plan.windows.test, scored: SCORED },
      exactRecall: exactRecall(test, lab.vocabSize),
      bases: ladder.bases,
      sensitivity: [...sensitivity],
      rates: Object.fromEntries(rates),
      ...{ ours, others, guard, probes, shift, enhancement },
    }
    const results = { ours, others, guard, probes, shift, enhancement, chosen, rates, bitExact }
    return { figures: codecFigures({ ...results, positionBytes: lab.positionBytes }), raw }
  } finally {
    lab.close()
  }
}

const isText = ({ kind }: Trial): boolean => kind === 'text'

const stepOf = (name: string): number => Number(name.split('@')[1])

const methodNamed = (methods: readonly Method[], name: string | null | undefined): Method | undefined =>
  methods.find((method) => method.name === name)

/** Of each family, and of all as `best`, the point within limits that takes the fewest bytes with what the guard asks for. */
function choose(points: readonly CurvePoint[]): ReadonlyMap<string, string | null> {
  const lossless = points.find(({ family }) => family === 'l0')!
  const smallest = (among: readonly CurvePoint[]) =>
    bestWithin(among, CHOICE, (point) => -guardedBytesPerToken(point, points, lossless))?.name ?? null
  const stepped = points.filter(({ family }) => family !== 'l0')
  return new Map([
    ...families.map((family) => [family, smallest(points.filter((one) => one.family === family))] as const),
    ['best', smallest(stepped)],
  ])
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
