import { colour, figure, key, label, rect, svg } from '../pictures.ts'
import { type Axis, placeAxis } from './axis.ts'

export interface BarRow {
  readonly name: string
  readonly value: number
  /** Written behind the bar. */
  readonly text: string
  /** Number of its colour. */
  readonly colour: number
  /** A value to reach, marked across the bar. */
  readonly mark?: number | null
}

export interface GroupRow {
  readonly name: string
  /** One for each series; `null` where there is none. */
  readonly values: readonly (number | null)[]
}

const [width, right] = [760, 64]
/** Longest name that is written whole, and the width of one of its letters, of the wider ones. */
const [mostLetters, letterWidth] = [38, 6.7]

const clip = (name: string): string => (name.length > mostLetters ? `…${name.slice(1 - mostLetters)}` : name)

/** Where bars begin: to the right of all names. */
const leftOf = (rows: readonly { readonly name: string }[]): number =>
  Math.ceil(20 + letterWidth * Math.max(12, ...rows.map(({ name }) => clip(name).length)))

/** Bars from the left, each with its value and, where it has one, a mark to reach. Logarithmic axes begin at 1. */
export function barChart(name: string, axis: Axis, rows: readonly BarRow[]): string {
  const left = leftOf(rows)
  const values = rows.flatMap(({ value, mark }) => [value, ...(mark == null ? [] : [mark])])
  const scale = placeAxis(axis, axis.log ? [1, ...values] : values, [left, width - right])
  const zero = scale.at(axis.log ? 1 : 0)
  const [barHeight, step] = [14, 20]
  const bottom = 8 + rows.length * step
  const body = rows.map(({ name: row, value, text, colour: at, mark }, index) => {
    const y = 8 + index * step
    const end = scale.at(axis.log ? Math.max(value, 1e-12) : value)
    const box = { x: Math.min(zero, end), y, width: Math.max(1, Math.abs(end - zero)), height: barHeight }
    const marked =
      mark == null
        ? ''
        : rect(
            { x: scale.at(mark) - 1, y: y - 3, width: 2, height: barHeight + 6 },
            'var(--ink)',
            `bar ${mark}`,
          )
    return (
      label(left - 8, y + 11, clip(row), 'text-anchor="end"') +
      rect(box, colour(at), `${row}: ${text}`, 'rx="2"') +
      marked +
      label(Math.max(zero, end) + 6, y + 11, text, 'class="soft"')
    )
  })
  return figure(
    svg(width, bottom + 34, name, [...body, ...foot(scale.ticks, left, bottom, axis.title)].join('')),
  )
}

/** For each row a bar of every series, one below the other. */
export function groupedBarChart(
  name: string,
  axis: Axis,
  series: readonly string[],
  rows: readonly GroupRow[],
): string {
  const left = leftOf(rows)
  const values = rows.flatMap((row) => row.values.filter((value) => value !== null))
  const scale = placeAxis(axis, axis.log ? [Math.min(1, ...values), ...values] : values, [
    left,
    width - right,
  ])
  const zero = axis.log ? left : scale.at(0)
  const barHeight = 9
  const step = series.length * (barHeight + 2) + 9
  const bottom = 8 + rows.length * step
  const body = rows.map((row, index) => {
    const y = 8 + index * step
    const bars = row.values.map((value, at) => {
      if (value === null) return ''
      const end = scale.at(value)
      const text = String(Number(value.toPrecision(3)))
      const top = y + at * (barHeight + 2)
      const box = {
        x: Math.min(zero, end),
        y: top,
        width: Math.max(1, Math.abs(end - zero)),
        height: barHeight,
      }
      return (
        rect(box, colour(at), `${row.name}, ${series[at]}: ${text}`, 'rx="2"') +
        label(Math.max(zero, end) + 5, top + 8, text, 'class="soft" style="font-size:9px"')
      )
    })
    return label(left - 8, y + (step - 9) / 2 + 3, clip(row.name), 'text-anchor="end"') + bars.join('')
  })
  return figure(
    svg(width, bottom + 34, name, [...body, ...foot(scale.ticks, left, bottom, axis.title)].join('')),
    key(series.map((each, at) => [each, colour(at)])),
  )
}

const foot = (
  ticks: readonly { readonly at: number; readonly text: string }[],
  left: number,
  y: number,
  title: string,
): readonly string[] => [
  ...ticks.map(({ at, text }) => label(at, y + 12, text, 'class="soft" text-anchor="middle"')),
  label((left + width - right) / 2, y + 28, title, 'class="soft" text-anchor="middle"'),
]
