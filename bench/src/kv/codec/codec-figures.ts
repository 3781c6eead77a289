import { compressionPays } from '@deos/codec'
import { type Figure, measuredFigure, median, skippedFigure } from '../../contract.ts'
import { advantage, bestWithin, type CurvePoint, guardedBytesPerToken } from './curves.ts'
import { ENHANCED_AFTER, type EnhancementPoint } from './enhancement.ts'
import type { GuardResult, ProbeResults } from './guard-trials.ts'
import type { Rates } from './measure-point.ts'
import type { ShiftResult } from './shift.ts'

export interface CodecResults {
  readonly ours: readonly CurvePoint[]
  readonly others: readonly CurvePoint[]
  readonly guard: GuardResult
  /** Of the best point; null if none was chosen. */
  readonly probes: ProbeResults | null
  readonly shift: ShiftResult
  /** Better copies of a prompt that came with loss, by level and by how many tokens they come late. */
  readonly enhancement: readonly EnhancementPoint[]
  /** Point of each family, and `best` of all, that the validation text chose. */
  readonly chosen: ReadonlyMap<string, string | null>
  /** By point. */
  readonly rates: ReadonlyMap<string, Rates>
  /** Share of halves that L0 gives back as they were. */
  readonly bitExact: number
  readonly positionBytes: number
}

const levels = ['l0', 'l1', 'l2', 'l3', 'l4', 'l4tokens'] as const

export function codecFigures(results: CodecResults): readonly Figure[] {
  const { ours, others, shift } = results
  const point = (name: string | null | undefined) => ours.find((own) => own.name === name)
  const lossless = point('l0')!
  return [
    ratio('codec.l0.ratio', lossless.ratio, 'higher', 1.25),
    ratio('codec.l0.bitExact', results.bitExact, 'higher', 1),
    tokens('codec.l0.tokensToRatio1_25', tokensTo(1.25, lossless.bytesPerToken, lossless, results)),
    ratio('codec.l0plain.ratio', point('l0plain')?.ratio, 'higher'),
    ratio('codec.l1.ratio', point('l1')?.ratio, 'higher'),
    ratio('codec.l2.ratio', point('l2')?.ratio, 'higher'),
    ...bestFigures(results, lossless),
    ratio(
      'codec.bestAlternative.ratioAtKl0_01',
      bestWithin(others, { meanKl: 0.01, perplexityRatio: 1.01 })?.ratio,
      'higher',
    ),
    ...advantageFigures(ours, others),
    ratio('codec.otherText.ratio', shift.before.ratio, 'higher'),
    ratio('codec.otherText.meanKl', shift.before.meanKl, 'lower'),
    ratio('codec.otherText.renewedMeanKl', shift.after.meanKl, 'lower'),
    ratio('codec.otherText.renewedRatio', shift.after.ratio, 'higher'),
    ...enhancementFigures(results),
    ...rateFigures(results),
    ...guardFigures(results),
  ]
}

/** All bytes of blocks count, those that the guard asks for again included. */
function bestFigures(results: CodecResults, lossless: CurvePoint): readonly Figure[] {
  const { ours, chosen, positionBytes } = results
  const point = (name: string | null | undefined) => ours.find((own) => own.name === name)
  const guarded = (own: CurvePoint | undefined) => own && guardedBytesPerToken(own, ours, lossless)
  const sizeRatio = (own: CurvePoint | undefined) => own && positionBytes / guarded(own)!
  const best = point(chosen.get('best'))
  return [
    ...(['l3', 'l4', 'l4tokens'] as const).map((family) =>
      ratio(`codec.${family}.ratioAtKl0_01`, sizeRatio(point(chosen.get(family))), 'higher'),
    ),
    ratio('codec.best.ratioAtKl0_01', sizeRatio(best), 'higher', 5),
    ratio('codec.best.stretch', sizeRatio(best), 'higher', 8),
    ratio('codec.best.firstSendRatio', best?.ratio, 'higher'),
    tokens('codec.best.tokensToRatio5', best && tokensTo(5, guarded(best)!, best, results)),
    tokens('codec.best.tokensToRatio8', best && tokensTo(8, guarded(best)!, best, results)),
    ratio('codec.best.perplexityRatio', best?.perplexityRatio, 'lower', 1.01),
    ratio('codec.best.meanKl', best?.meanKl, 'lower', 0.01),
    ratio('codec.best.p99Kl', best?.p99Kl, 'lower'),
    ratio('codec.best.top1Agreement', best?.top1Agreement, 'higher'),
    ratio('codec.best.copyRecall', best?.copyRecall, 'higher'),
    ratio('codec.best.needleRecall', best?.needleRecall, 'higher'),
    ratio('codec.best.needleGain', best?.needleGain, 'higher'),
    ratio('guard.falseAlarms', best?.refused, 'lower'),
  ]
}

/** Tokens of context after which all bytes, those of bases or models included, are this many times fewer. */
function tokensTo(
  wanted: number,
  bytesPerToken: number,
  { toolBytes }: CurvePoint,
  { positionBytes }: CodecResults,
): number | null {
  const spare = positionBytes / wanted - bytesPerToken
  return spare > 0 ? Math.ceil(toolBytes / spare) : null
}

/** How many times smaller ours are at the divergence of each alternative, and at that of the one that comes closest. */
function advantageFigures(ours: readonly CurvePoint[], others: readonly CurvePoint[]): readonly Figure[] {
  const each = others.map((other) => ({ name: other.name, value: advantage(ours, other) }))
  const values = each.flatMap(({ value }) => value ?? [])
  const least = values.length === each.length ? Math.min(...values) : null
  return [
    ratio('codec.vsBestAlternative', least, 'higher', 1),
    ...each.map(({ name, value }) => ratio(`codec.versus.${name.replaceAll('.', '_')}`, value, 'higher', 1)),
  ]
}

/** Divergence of the tokens behind the better copies, as a share of what it is without them. */
function enhancementFigures({ enhancement }: CodecResults): readonly Figure[] {
  const family = (name: string) => name.split('.')[0]!
  const share = (begun: string, better: string, after: number) => {
    const point = enhancement.find(
      (own) => family(own.begun) === begun && family(own.better) === better && own.after === after,
    )
    return point && point.meanKl / point.meanKlWithout
  }
  return ENHANCED_AFTER.flatMap((after) => [
    ...(['l2', 'l3', 'l4'] as const).map((begun) =>
      ratio(`enhance.${begun}.after${after}.klRatio`, share(begun, 'l0', after), 'lower'),
    ),
    ratio(`enhance.l3.after${after}.toL1.klRatio`, share('l3', 'l1', after), 'lower'),
  ])
}

/** Rates, and the goodput of a link up to which a level saves time. */
function rateFigures({ ours, chosen, rates }: CodecResults): readonly Figure[] {
  return levels.flatMap((level) => {
    const name = chosen.get(level) ?? level
    const measured = rates.get(name)
    const own = ours.find((one) => one.name === name)
    return [
      rate(`codec.${level}.encode`, 'MB/s', measured?.encode),
      rate(`codec.${level}.decode`, 'MB/s', measured?.decode),
      rate(`codec.${level}.paysUpTo`, 'Mbit/s', measured && own && [paysUpTo(own.ratio, measured)]),
    ]
  })
}

function paysUpTo(sizeRatio: number, { encode, decode }: Rates): number {
  const codecRates = {
    encodeBytesPerSecond: 1e6 * median(encode),
    decodeBytesPerSecond: 1e6 * median(decode),
  }
  let [low, high] = [1e3, 1e12]
  while (high / low > 1.001) {
    const goodput = Math.sqrt(low * high)
    if (compressionPays(sizeRatio, goodput, codecRates)) low = goodput
    else high = goodput
  }
  return (8 * low) / 1e6
}

function guardFigures({ guard, probes }: CodecResults): readonly Figure[] {
  const share = (result: ProbeResults['foreignLayer'] | null | undefined) =>
    result && result.trials > 0 ? result.refused / result.trials : null
  const passed = [...(probes?.foreignLayer.passedKl ?? []), ...(probes?.foreignReference?.passedKl ?? [])]
  return [
    ratio('guard.caught', guard.caught / guard.trials, 'higher', 1),
    ratio('guard.foreignLayerRefused', share(probes?.foreignLayer), 'higher'),
    ratio('guard.foreignReferenceRefused', share(probes?.foreignReference), 'higher'),
    ratio('guard.passedKl', probes === null ? null : Math.max(0, ...passed), 'lower'),
  ]
}

function ratio(
  id: string,
  value: number | null | undefined,
  better: 'higher' | 'lower',
  bar?: number,
): Figure {
  const terms = { id: `kv.${id}`, unit: 'ratio', better, ...(bar === undefined ? {} : { bar }) }
  return figure(terms, value === null || value === undefined ? [] : [value])
}

const tokens = (id: string, value: number | null | undefined): Figure =>
  figure(
    { id: `kv.${id}`, unit: 'tokens', better: 'lower' },
    value === null || value === undefined ? [] : [value],
  )

const rate = (id: string, unit: string, samples: readonly number[] | undefined): Figure =>
  figure({ id: `kv.${id}`, unit, better: 'higher' }, samples ?? [])

type Terms = Omit<Parameters<typeof skippedFigure>[0], 'reason'>

function figure(terms: Terms, samples: readonly number[]): Figure {
  return samples.length === 0 || !samples.every(Number.isFinite)
    ? skippedFigure({
        ...terms,
        reason: 'Nothing to measure: no point keeps the limits, or the model itself recalls nothing.',
      })
    : measuredFigure({ ...terms, samples })
}
