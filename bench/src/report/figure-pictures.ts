import { barChart, section } from '@deos/report'
import type { BenchReport, Figure } from '../contract.ts'

const reached = 2
const missed = 4

/**
 * Every figure that has a bar, by how many times it reaches it: 1 is the bar, more is better whichever way the figure
 * counts. Figures of which the bar or the value is 0 have no such number; the table shows them.
 */
export function figurePictures({ bench, figures }: BenchReport): string {
  const rows = figures.flatMap((figure) => {
    const times = timesBar(figure)
    if (times === null) return []
    const { id, pass, value, unit, bar } = figure
    return [
      {
        name: id.startsWith(`${bench}.`) ? id.slice(bench.length + 1) : id,
        value: times,
        text: `${short(value!)}${unit === 'ratio' ? '' : ` ${unit}`} (${short(bar!)})`,
        colour: pass ? reached : missed,
        mark: 1,
      },
    ]
  })
  if (rows.length === 0) return ''
  const axis = { title: 'times the bar, more is better (value, in brackets the bar)' }
  return section('Figures beside their bars', barChart('Figures beside their bars', axis, rows))
}

/** At most 3, so that one that is far above leaves the others readable. */
function timesBar({ value, bar, better }: Figure): number | null {
  if (value === null || bar === null || value <= 0 || bar <= 0) return null
  return Math.min(3, better === 'higher' ? value / bar : bar / value)
}

const short = (value: number): string => String(Number(value.toPrecision(3)))
