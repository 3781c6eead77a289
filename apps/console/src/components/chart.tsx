import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { useEffect, useMemo, useRef, useState } from 'react'
import type { ChartData } from '../data/charts.ts'
import { useColorScheme } from '../data/theme.ts'
import { nothing } from '../format/numbers.ts'

const seriesTokens = ['--series-1', '--series-2', '--series-3', '--series-4', '--series-5']
const seriesClasses = [
  'bg-[var(--series-1)]',
  'bg-[var(--series-2)]',
  'bg-[var(--series-3)]',
  'bg-[var(--series-4)]',
  'bg-[var(--series-5)]',
]

/** What a token is in the scheme shown now, as canvases need it. */
function resolveColours(element: HTMLElement, tokens: readonly string[]): string[] {
  const probe = document.createElement('span')
  element.append(probe)
  const colours = tokens.map((token) => {
    probe.style.color = `var(${token})`
    return getComputedStyle(probe).color
  })
  probe.remove()
  return colours
}

/** Between the marks of an axis of bytes. */
const powersOfTwo = Array.from({ length: 50 }, (_, power) => 2 ** power)

const axisFont = '11px ui-sans-serif, system-ui, sans-serif'

function optionsOf(
  chart: ChartData,
  element: HTMLElement,
  height: number,
  onCursor: (index: number | null) => void,
): uPlot.Options {
  const [axis, grid, ...colours] = resolveColours(element, ['--ink-3', '--line', ...seriesTokens])
  const axisOptions = {
    stroke: axis!,
    font: axisFont,
    grid: { stroke: grid!, width: 1 },
    ticks: { show: false },
  }
  return {
    width: element.clientWidth,
    height,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'page' }, points: { size: 6 } },
    scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.15 : 1] } },
    axes: [
      {
        ...axisOptions,
        size: 28,
        space: 70,
        values: (_, splits, __, ___, stepS) => splits.map((at) => timeText(at, stepS)),
      },
      {
        ...axisOptions,
        size: 64,
        space: 34,
        ...(chart.isBinary && { incrs: powersOfTwo }),
        values: (_, splits) => splits.map((value) => chart.format(value)),
      },
    ],
    series: [
      {},
      ...chart.lines.map((line, index) => ({
        label: line.label,
        stroke: colours[index % colours.length]!,
        width: 1.5,
        points: { show: false },
        ...(chart.lines.length === 1 && { fill: alpha(colours[0]!) }),
      })),
    ],
    hooks: { setCursor: [({ cursor }) => onCursor(cursor.idx ?? null)] },
  }
}

const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })
const minute = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const second = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })

/** A time below an axis whose marks are `stepS` apart. */
const timeText = (atS: number, stepS: number): string =>
  (stepS >= 86_400 ? day : stepS >= 60 ? minute : second).format(atS * 1000)

/** A faint form of an `rgb(…)` colour. */
const alpha = (colour: string): string =>
  colour.replace(/^rgb\((.*)\)$/, (_, parts: string) => `rgb(${parts.replaceAll(',', ' ')} / 0.12)`)

const lastOf = (values: readonly (number | null)[]): number | null =>
  values.findLast((value) => value !== null) ?? null

interface ChartProps {
  readonly chart: ChartData
  readonly height?: number
}

/** Lines over time. The legend says the values under the pointer, the newest otherwise. */
export function Chart({ chart, height = 168 }: ChartProps) {
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(chart)
  latest.current = chart
  const scheme = useColorScheme()
  const [cursor, setCursor] = useState<number | null>(null)
  const shape = `${scheme} ${chart.title} ${chart.lines.map(({ label }) => label).join()}`

  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` says when the picture must be made anew
  useEffect(() => {
    const element = host.current!
    const made = new uPlot(
      optionsOf(latest.current, element, height, setCursor),
      dataOf(latest.current),
      element,
    )
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [shape, height])

  useEffect(() => plot.current?.setData(dataOf(chart)), [chart])

  const texts = useMemo(
    () =>
      chart.lines.map(({ label, values }) => {
        const value = cursor === null ? lastOf(values) : (values[cursor] ?? null)
        return { label, text: value === null ? nothing : chart.format(value) }
      }),
    [chart, cursor],
  )
  return (
    <figure className="min-w-0 rounded-lg border border-line bg-surface p-3">
      <figcaption className="mb-1 flex min-h-5 flex-wrap items-baseline justify-between gap-x-3 px-1 text-xs">
        <span className="font-medium text-ink">{chart.title}</span>
        <span className="flex flex-wrap gap-x-3 text-ink-2 tabular-nums">
          {texts.map(({ label, text }, index) => (
            <span key={label} className="inline-flex items-center gap-1.5">
              <span
                className={`h-0.5 w-3 rounded-full ${seriesClasses[index % seriesClasses.length]}`}
                aria-hidden="true"
              />
              {chart.lines.length > 1 && <span className="text-ink-3">{label}</span>}
              {text}
            </span>
          ))}
        </span>
      </figcaption>
      <div
        ref={host}
        role="img"
        aria-label={`${chart.title} over time. ${texts.map(({ label, text }) => `${label}: ${text}`).join(', ')}`}
        className="min-w-0 overflow-hidden"
        style={{ height }}
      />
    </figure>
  )
}

const dataOf = ({ times, lines }: ChartData): uPlot.AlignedData => [
  times as number[],
  ...lines.map(({ values }) => values as (number | null)[]),
]
