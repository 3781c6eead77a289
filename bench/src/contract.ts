/** One measured number of a bench, in the form every bench prints and the docs' tables are made from. */
export interface Figure {
  /** Dotted path, the same in quick and full runs: `engine.decode.q8_0.batch1.vsLlamaCpp`. */
  readonly id: string
  /** Median of `n` measurements; null if skipped, with a `reason`. */
  readonly value: number | null
  readonly unit: string
  /** The threshold it must reach, or null if it has none. */
  readonly bar: number | null
  readonly better: 'higher' | 'lower'
  /** Whether the bar is reached; null without a bar or a value. */
  readonly pass: boolean | null
  /** What a model of the system expected, where there is one. */
  readonly predicted: number | null
  readonly n: number
  /** Interquartile range, in `unit`; null if skipped. */
  readonly spread: number | null
  readonly reason?: string
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly gpu: string | null
}

export interface BenchReport {
  readonly bench: string
  readonly commit: string
  readonly machine: Machine
  readonly quick: boolean
  readonly figures: readonly Figure[]
  /** Settings and absolute numbers behind the figures. */
  readonly raw: Readonly<Record<string, unknown>>
}

interface FigureTerms {
  readonly id: string
  readonly unit: string
  readonly better: 'higher' | 'lower'
  readonly bar?: number
}

/**
 * A figure from its measurements.
 *
 * @param samples - at least one finite number, in `unit`
 */
export function measuredFigure(
  terms: FigureTerms & { readonly samples: readonly number[]; readonly predicted?: number },
): Figure {
  const { id, unit, better, bar = null, predicted = null, samples } = terms
  const value = median(samples)
  const pass = bar === null ? null : better === 'higher' ? value >= bar : value <= bar
  return {
    id,
    value,
    unit,
    bar,
    better,
    pass,
    predicted,
    n: samples.length,
    spread: interquartileRange(samples),
  }
}

/** A figure that could not be measured here, and why. */
export function skippedFigure(terms: FigureTerms & { readonly reason: string }): Figure {
  const { id, unit, better, bar = null, reason } = terms
  return { id, value: null, unit, bar, better, pass: null, predicted: null, n: 0, spread: null, reason }
}

/** @throws RangeError if there is nothing to take it of, or a value is not finite */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** Third quartile less the first; 0 for a single value. */
export function interquartileRange(values: readonly number[]): number {
  return quantile(values, 0.75) - quantile(values, 0.25)
}

/** Linear between the two nearest ranks. */
export function quantile(values: readonly number[], fraction: number): number {
  if (values.length === 0) throw new RangeError('There are no values.')
  if (!values.every(Number.isFinite)) throw new RangeError(`Not all values are finite: ${values.join(', ')}.`)
  const sorted = [...values].sort((a, b) => a - b)
  const rank = (sorted.length - 1) * fraction
  const below = sorted[Math.floor(rank)]!
  const above = sorted[Math.ceil(rank)]!
  return below + (above - below) * (rank - Math.floor(rank))
}
