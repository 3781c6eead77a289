import { scaleLinear, scaleLog } from 'd3-scale'

export interface Axis {
  /** What is along it, with its unit. */
  readonly title: string
  /** Steps are alike in ratio, not in difference; only values above 0 are shown. */
  readonly log?: boolean
  /** Linear axes begin at 0 unless this is set. */
  readonly close?: boolean
}

/** Where on the picture a value is, and where to write which values. */
export interface Placed {
  at(value: number): number
  readonly ticks: readonly { readonly at: number; readonly text: string }[]
}

/**
 * @param values - all that is to be shown
 * @param range - pixels of the lowest and the highest value
 */
export function placeAxis(
  { log = false, close = false }: Axis,
  values: readonly number[],
  range: readonly [number, number],
): Placed {
  const shown = values.filter((value) => Number.isFinite(value) && (!log || value > 0))
  const low = shown.length === 0 ? 1 : Math.min(...shown)
  const high = shown.length === 0 ? 10 : Math.max(...shown)
  const wide = high > low ? high : low + (log ? low : Math.abs(low) || 1)
  const scale = log
    ? scaleLog([low, wide], [...range])
    : scaleLinear([close ? low : Math.min(0, low), wide], [...range]).nice(5)
  const ticks = log ? roundTicks(scale.ticks(5)) : scale.ticks(5)
  return {
    at: (value) => scale(value),
    ticks: ticks.map((value) => ({ at: scale(value), text: tickText(value) })),
  }
}

/** Of all that a logarithmic scale offers as many as there is room for: powers of ten, and 2 and 5 between them. */
function roundTicks(all: readonly number[]): readonly number[] {
  const leads = [/./, /^[125]e/, /^1e/].map((lead) => all.filter((value) => lead.test(value.toExponential())))
  return leads.find((ticks) => ticks.length <= 8) ?? leads.at(-1)!
}

function tickText(value: number): string {
  const short = Number(value.toPrecision(6))
  const size = Math.abs(short)
  return size !== 0 && (size < 0.001 || size >= 1e6) ? short.toExponential() : short.toLocaleString('en-US')
}
