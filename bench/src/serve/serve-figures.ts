import { type Figure, measuredFigure, skippedFigure } from '../contract.ts'
import type { ContenderName } from './contender.ts'
import type { LoadSummary } from './load.ts'
import type { Rounds } from './rounds.ts'

interface RatioTerms {
  readonly id: string
  readonly better: 'higher' | 'lower'
  readonly bar?: number
}

/** How one contender compares with another in each round, or why there is nothing to compare with. */
export function comparison<R>(
  terms: RatioTerms,
  rounds: Rounds<R>,
  other: ContenderName,
  pick: (result: R) => number,
  reason: string,
): Figure {
  const ours = rounds.get('deos')
  const theirs = rounds.get(other)
  const common = { ...terms, unit: 'ratio' }
  if (!ours || !theirs) return skippedFigure({ ...common, reason })
  return measuredFigure({
    ...common,
    samples: ours.map((result, round) => pick(result) / pick(theirs[round]!)),
  })
}

/** A number of one contender alone, or why it has none. */
export function share(
  terms: RatioTerms,
  rounds: Rounds<number>,
  name: ContenderName,
  reason: string,
): Figure {
  const samples = rounds.get(name)
  const common = { ...terms, unit: 'ratio' }
  return samples ? measuredFigure({ ...common, samples }) : skippedFigure({ ...common, reason })
}

/** TTFT and TPOT beside llama.cpp's server, p50 and p99. */
export function latencyFigures(prefix: string, rounds: Rounds<LoadSummary>, reason: string): Figure[] {
  return (['ttft', 'tpot'] as const).flatMap((what) =>
    (['p50', 'p99'] as const).map((percentile) =>
      comparison(
        { id: `${prefix}.${what}${percentile.toUpperCase()}.vsLlamaServer`, better: 'lower' },
        rounds,
        'llamaServer',
        (summary) => summary[`${what}Ms`][percentile],
        reason,
      ),
    ),
  )
}
