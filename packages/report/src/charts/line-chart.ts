import { escapeHtml } from '../page.ts'
import { colour, figure, key, label, rect, svg } from '../pictures.ts'
import { type Axis, placeAxis } from './axis.ts'

export interface Series {
  readonly name: string
  /** Points in the order in which lines join them. */
  readonly points: readonly { readonly x: number; readonly y: number; readonly title?: string }[]
  /** Points alone. */
  readonly loose?: boolean
  /** Number of its colour; by default its place. */
  readonly colour?: number
}

export interface LineChart {
  readonly name: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
  /** Lines across, such as bars to reach. */
  readonly across?: readonly { readonly y: number; readonly title: string }[]
  /** Draws the line on which both are equal. */
  readonly diagonal?: boolean
}

const [width, height, left, right, top, bottom] = [760, 320, 62, 16, 14, 44]

/** Series over two axes. Points that an axis cannot show are left out. */
export function lineChart({ name, x, y, series, across = [], diagonal = false }: LineChart): string {
  const shown = series.map((each) => ({
    ...each,
    points: each.points.filter((point) => isShown(point.x, x) && isShown(point.y, y)),
  }))
  const points = shown.flatMap((each) => each.points)
  const both = points.flatMap((point) => [point.x, point.y])
  const xs = placeAxis(x, diagonal ? both : points.map((point) => point.x), [left, width - right])
  const ys = placeAxis(
    y,
    [...(diagonal ? both : points.map((point) => point.y)), ...across.map((each) => each.y)],
    [height - bottom, top],
  )
  const grid = [
    ...ys.ticks.map(
      ({ at, text }) =>
        line([left, at], [width - right, at], 'var(--line)') +
        label(left - 6, at + 4, text, 'class="soft" text-anchor="end"'),
    ),
    ...xs.ticks.map(({ at, text }) =>
      label(at, height - bottom + 16, text, 'class="soft" text-anchor="middle"'),
    ),
    label((left + width - right) / 2, height - 8, x.title, 'class="soft" text-anchor="middle"'),
    label(left, top - 3, y.title, 'class="soft"'),
  ]
  const limits = across.map(
    (each) =>
      line([left, ys.at(each.y)], [width - right, ys.at(each.y)], 'var(--soft)', 'stroke-dasharray="5 4"') +
      label(width - right, ys.at(each.y) - 4, each.title, 'class="soft" text-anchor="end"'),
  )
  const [least, most] = [Math.min(...both), Math.max(...both)]
  const equal =
    diagonal && both.length > 0
      ? line(
          [xs.at(least), ys.at(least)],
          [xs.at(most), ys.at(most)],
          'var(--soft)',
          'stroke-dasharray="5 4"',
        )
      : ''
  const drawn = shown.map((each, at) => {
    const fill = colour(each.colour ?? at)
    const places = each.points.map((point) => ({ x: xs.at(point.x), y: ys.at(point.y), point }))
    const path =
      each.loose || places.length < 2
        ? ''
        : `<polyline fill="none" stroke="${fill}" stroke-width="2" points="${places.map((place) => `${round(place.x)},${round(place.y)}`).join(' ')}"/>`
    return (
      path +
      places
        .map((place) =>
          rect(
            { x: place.x - 3.5, y: place.y - 3.5, width: 7, height: 7 },
            fill,
            place.point.title ?? `${each.name}: ${place.point.x}, ${place.point.y}`,
            // Colours come again after eight series.
            at < 8 ? 'rx="3.5"' : '',
          ),
        )
        .join('')
    )
  })
  return figure(
    svg(width, height, name, [...grid, ...limits, equal, ...drawn].join('')),
    key(shown.map((each, at) => [each.name, colour(each.colour ?? at)])),
  )
}

const isShown = (value: number, { log = false }: Axis): boolean =>
  Number.isFinite(value) && (!log || value > 0)

const round = (value: number): string => String(Math.round(value * 10) / 10)

const line = (
  from: readonly [number, number],
  to: readonly [number, number],
  stroke: string,
  more = '',
): string =>
  `<line x1="${round(from[0])}" y1="${round(from[1])}" x2="${round(to[0])}" y2="${round(to[1])}" stroke="${escapeHtml(stroke)}" ${more}/>`
