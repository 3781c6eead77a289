import { type Figure, measuredFigure, skippedFigure } from '../../contract.ts'
import { advantage, bestWithin, type CurvePoint } from './curves.ts'
import type { GuardResult } from './guard-trials.ts'
import type { ShiftResult } from './shift.ts'

export interface CodecResults {
  readonly ours: readonly CurvePoint[]
  readonly others: readonly CurvePoint[]
  readonly guard: GuardResult
  /** Share of caches with a layer of another context that the probes refuse; null if no step was chosen. */
  readonly foreignRefused: number | null
  readonly shift: ShiftResult
  /** Point of each family, and of all under '', that the validation text chose. */
  readonly chosen: ReadonlyMap<string, string | undefined>
}

export function codecFigures(results: CodecResults): readonly Figure[] {
  const { ours, others, guard, foreignRefused, shift, chosen } = results
  const point = (name: string | undefined) => ours.find((own) => own.name === name)
  const best = point(chosen.get(''))
  const families = ['l3', 'l4', 'l4tokens'] as const
  const rates = [
    ['l0', point('l0')],
    ...families.map((family) => [family, point(chosen.get(family))] as const),
  ] as const
  return [
    ratio('codec.l0.ratio', point('l0')?.ratio, 'higher', 1.25),
    ratio('codec.l0.top1Agreement', point('l0')?.top1Agreement, 'higher', 1),
    ratio('codec.l0.meanKl', point('l0')?.meanKl, 'lower', 0),
    ratio('codec.l1.ratio', point('l1')?.ratio, 'higher'),
    ratio('codec.l2.ratio', point('l2')?.ratio, 'higher'),
    ...families.map((family) =>
      ratio(`codec.${family}.ratioAtKl0_01`, point(chosen.get(family))?.ratio, 'higher'),
    ),
    ratio('codec.best.ratioAtKl0_01', best?.ratio, 'higher', 5),
    ratio('codec.best.stretch', best?.ratio, 'higher', 8),
    ratio('codec.best.perplexityRatio', best?.perplexityRatio, 'lower', 1.01),
    ratio('codec.best.meanKl', best?.meanKl, 'lower', 0.01),
    ratio('codec.best.p99Kl', best?.p99Kl, 'lower'),
    ratio('codec.best.top1Agreement', best?.top1Agreement, 'higher'),
    ratio('codec.best.copyRecall', best?.copyRecall, 'higher'),
    ratio('codec.best.needleRecall', best?.needleRecall, 'higher'),
    ratio(
      'codec.bestAlternative.ratioAtKl0_01',
      bestWithin(others, { meanKl: 0.01, perplexityRatio: 1.01, refused: 1 })?.ratio,
      'higher',
    ),
    ratio('codec.vsBestAlternative', advantage(ours, others)?.ratio, 'higher', 1),
    ratio('codec.otherText.ratio', shift.before.ratio, 'higher'),
    ratio('codec.otherText.meanKl', shift.before.meanKl, 'lower'),
    ratio('codec.otherText.renewedMeanKl', shift.after.meanKl, 'lower'),
    ratio('codec.otherText.renewedRatio', shift.after.ratio, 'higher'),
    ...rates.flatMap(([name, measured]) => [
      rate(`codec.${name}.encode`, measured?.encodeMegabytesPerSecond),
      rate(`codec.${name}.decode`, measured?.decodeMegabytesPerSecond),
    ]),
    ratio('guard.caught', guard.caught / guard.trials, 'higher', 1),
    ratio('guard.falseAlarms', best?.refused, 'lower'),
    ratio('guard.foreignRefused', foreignRefused, 'higher'),
  ]
}

function ratio(
  id: string,
  value: number | null | undefined,
  better: 'higher' | 'lower',
  bar?: number,
): Figure {
  return figure({ id: `kv.${id}`, unit: 'ratio', better, ...(bar === undefined ? {} : { bar }) }, value)
}

const rate = (id: string, value: number | null | undefined): Figure =>
  figure({ id: `kv.${id}`, unit: 'MB/s', better: 'higher' }, value)

type Terms = Omit<Parameters<typeof skippedFigure>[0], 'reason'>

function figure(terms: Terms, value: number | null | undefined): Figure {
  return value === null || value === undefined || !Number.isFinite(value)
    ? skippedFigure({
        ...terms,
        reason: 'Nothing to measure: no point keeps the limits, or the model itself recalls nothing.',
      })
    : measuredFigure({ ...terms, samples: [value] })
}
