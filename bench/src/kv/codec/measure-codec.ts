import { readFileSync } from 'node:fs'
import { type Figure, measuredFigure, skippedFigure } from '../../contract.ts'
import { alternatives } from './alternatives.ts'
import { CacheLab, type ContextCache } from './cache-lab.ts'
import { fitChannelModels, fitGroups, measureSensitivity, SINK_TOKENS, weightsOf } from './calibrate.ts'
import { advantage, bestWithin, type CurvePoint } from './curves.ts'
import { type GuardResult, tryGuard } from './guard-trials.ts'
import { type Method, perGroup, perLayer } from './ladder.ts'
import { measureQuality, prepareTrials, type Trial } from './quality.ts'

export interface CodecBenchOptions {
  readonly modelPath: string
  readonly textPath: string
  readonly quick: boolean
  readonly threads: number
  readonly cacheDir: string
  progress(line: string): void
}

const CONTEXT = 192
const SCORED = 64
const STEPS = [0.06, 0.12, 0.25, 0.5, 1, 1.4, 2, 2.8, 4]
/** Fine enough for the probes to let sound caches pass: otherwise they would catch everything. */
const GUARD_STEP = 0.5
/** Tokens at the beginning of a context that are sent without loss. */
const EXACT_FIRST = [1, SINK_TOKENS]

/** Bytes and quality of every level and alternative on the same caches; calibrated on one half of the text, measured on the other. */
export async function measureCodec(options: CodecBenchOptions) {
  const { modelPath, textPath, quick, threads, cacheDir, progress } = options
  const lab = await CacheLab.open({ modelPath, threads, cacheDir, maxTokens: CONTEXT + SCORED })
  try {
    const text = lab.encode(readFileSync(textPath, 'utf8'))
    const half = text.length >> 1
    const cut = { context: CONTEXT, scored: SCORED }
    const trials = await prepareTrials(lab, text.subarray(half), { ...cut, windows: quick ? 8 : 40 })
    const calibration = await prepareTrials(lab, text.subarray(0, half), { ...cut, windows: 4 })
    const caches = await calibrationCaches(lab, text.subarray(0, half), quick ? 1024 : 256)
    progress(`${trials.length / 2} contexts of ${CONTEXT} tokens; calibration on ${caches.length} others`)
    const sensitivity = await measureSensitivity(
      lab,
      calibration.filter(({ copied }) => !copied),
    )
    const ladder = buildLadder(lab, caches, weightsOf(sensitivity), quick, progress)
    const { rotary } = lab
    const measureAll = async (methods: readonly Method[], ours: boolean): Promise<readonly CurvePoint[]> => {
      const points: CurvePoint[] = []
      for (const method of methods) {
        progress(method.name)
        points.push(await measurePoint(lab, trials, method, ours))
      }
      return points
    }
    const ours = await measureAll(ladder.methods, true)
    const others = await measureAll(alternatives(lab, rotary, caches), false)
    progress('bases that are not what they are called')
    const guarded = trials.filter(({ copied }) => !copied).slice(0, quick ? 4 : 20)
    const guard = await tryGuard(lab, guarded, ladder.shared, GUARD_STEP, { rotary })
    const raw = {
      context: CONTEXT,
      scored: SCORED,
      bases: ladder.bases,
      sensitivity: [...sensitivity],
      ours,
      others,
      guard,
    }
    return { figures: figuresOf(ours, others, guard), raw }
  } finally {
    lab.close()
  }
}

async function calibrationCaches(
  lab: CacheLab,
  text: Int32Array,
  stride: number,
): Promise<readonly ContextCache[]> {
  const caches: ContextCache[] = []
  const window = CONTEXT + SCORED
  for (let start = 0; start + window <= text.length; start += stride)
    caches.push(await lab.prefill(text.slice(start, start + window)))
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
  quick: boolean,
  progress: (line: string) => void,
) {
  const { rotary } = lab
  const tools = { rotary }
  const models = { rotary, ...fitChannelModels(lab, caches) }
  const steps = quick ? STEPS.filter((_, index) => index % 2 === 0) : STEPS
  const fit = (name: string, size: number, withTokens: boolean) => {
    progress(`fitting bases for ${name}`)
    return fitGroups(
      lab,
      caches,
      weights,
      groupsOf(withTokens ? 1 : 0, lab.layers, size),
      withTokens,
      STEPS[0]!,
    )
  }
  const families = [
    { name: 'l3', bases: fit('l3', 1, false) },
    { name: 'l4', bases: fit('l4', quick ? 2 : 4, false) },
    { name: 'l4tokens', bases: fit('l4tokens', quick ? 2 : 4, true) },
  ]
  const methods: Method[] = [
    perLayer(lab, 'l0', { name: 'lossless' }, models),
    perLayer(lab, 'l0plain', { name: 'lossless' }, tools),
    perLayer(lab, 'l1', { name: 'int8' }, tools),
    perLayer(lab, 'l2', { name: 'hadamard4' }, tools),
    ...families.flatMap(({ name, bases }) =>
      EXACT_FIRST.flatMap((first) =>
        steps.map((step) => perGroup(lab, `${name}.exact${first}.step@${step}`, bases, step, first, tools)),
      ),
    ),
  ]
  return {
    methods,
    shared: families[1]!.bases,
    bases: families.map(({ name, bases }) => ({
      name,
      bytes: bases.map(({ bytes }) => bytes.length),
      rank: bases.map(({ basis }) => basis.rank),
    })),
  }
}

async function measurePoint(
  lab: CacheLab,
  trials: readonly Trial[],
  method: Method,
  ours: boolean,
): Promise<CurvePoint> {
  const arrived = new Map<ContextCache, ContextCache>()
  let bytes = 0
  let tokens = 0
  const started = performance.now()
  for (const { cache } of trials) {
    if (arrived.has(cache)) continue
    const sent = method.send(cache)
    arrived.set(cache, sent.cache)
    bytes += sent.bytes
    tokens += cache[0]!.k.length / lab.channels
  }
  const seconds = (performance.now() - started) / 1000
  const whole = tokens * lab.layers * lab.channels * 4
  const quality = await measureQuality(lab, trials, (cache) => arrived.get(cache)!)
  return {
    name: method.name,
    ratio: whole / bytes,
    bytesPerToken: bytes / tokens,
    megabytesPerSecond: ours ? whole / seconds / 1e6 : null,
    ...quality,
  }
}

function figuresOf(
  ours: readonly CurvePoint[],
  others: readonly CurvePoint[],
  guard: GuardResult,
): readonly Figure[] {
  const point = (name: string) => ours.find((own) => own.name === name)!
  const figure = (
    id: string,
    value: number | null | undefined,
    better: 'higher' | 'lower',
    bar?: number,
  ): Figure => {
    const terms = { id: `kv.${id}`, unit: 'ratio', better, ...(bar === undefined ? {} : { bar }) }
    return value === null || value === undefined
      ? skippedFigure({ ...terms, reason: 'No measured point keeps the limits.' })
      : measuredFigure({ ...terms, samples: [value] })
  }
  const within = (prefix: string) =>
    bestWithin(
      ours.filter(({ name }) => name.startsWith(prefix)),
      0.01,
      1.01,
    )
  const best = within('')
  const won = advantage(ours, others)
  return [
    figure('codec.l0.ratio', point('l0').ratio, 'higher', 1.25),
    figure('codec.l0.top1Agreement', point('l0').top1Agreement, 'higher', 1),
    figure('codec.l1.ratio', point('l1').ratio, 'higher'),
    figure('codec.l2.ratio', point('l2').ratio, 'higher'),
    ...(['l3.', 'l4.', 'l4tokens.'] as const).map((prefix) =>
      figure(`codec.${prefix}ratioAtKl0_01`, within(prefix)?.ratio, 'higher'),
    ),
    figure('codec.best.ratioAtKl0_01', best?.ratio, 'higher', 5),
    figure('codec.best.stretch', best?.ratio, 'higher', 8),
    figure('codec.best.perplexityRatio', best?.perplexityRatio, 'lower', 1.01),
    figure('codec.best.meanKl', best?.meanKl, 'lower', 0.01),
    figure('codec.best.top1Agreement', best?.top1Agreement, 'higher'),
    figure('codec.best.copyRecall', best?.copyRecall, 'higher'),
    figure('codec.bestAlternative.ratioAtKl0_01', bestWithin(others, 0.01, 1.01)?.ratio, 'higher'),
    figure('codec.vsBestAlternative', won?.ratio, 'higher', 1),
    figure('guard.caught', guard.caught / guard.trials, 'higher', 1),
    figure('guard.falseAlarms', guard.falseAlarms / guard.soundTrials, 'lower'),
  ]
}
