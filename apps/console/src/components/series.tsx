import type { UseQueryResult } from '@tanstack/react-query'
import { ChartLine } from 'lucide-react'
import { useMemo } from 'react'
import { chartsOf, continued, type Moment } from '../data/charts.ts'
import { type Series, type TimeWindow, timeWindows } from '../data/types.ts'
import { Chart } from './chart.tsx'
import { Empty } from './empty.tsx'
import { Problem } from './problem.tsx'
import { Segmented } from './segmented.tsx'
import { Skeleton } from './skeleton.tsx'

export const WindowChoice = ({
  value,
  onValue,
}: {
  readonly value: TimeWindow
  readonly onValue: (value: TimeWindow) => void
}) => (
  <Segmented
    label="Window"
    options={timeWindows.map((each) => [each, each] as const)}
    value={value}
    onValue={onValue}
  />
)

interface SeriesChartsProps {
  readonly query: UseQueryResult<Series>
  /** What came since the series was asked for. */
  readonly moments?: readonly Moment[]
  /** Said if nothing has been measured. */
  readonly empty: string
}

interface SeriesOverTimeProps extends SeriesChartsProps {
  readonly window: TimeWindow
  readonly onWindow: (value: TimeWindow) => void
}

/** The charts of a window that is chosen above them. */
export const SeriesOverTime = ({ window, onWindow, ...charts }: SeriesOverTimeProps) => (
  <>
    <div className="flex justify-end">
      <WindowChoice value={window} onValue={onWindow} />
    </div>
    <SeriesCharts {...charts} />
  </>
)

const noMoments: readonly Moment[] = []

/** Every quantity of a series as charts side by side. */
export function SeriesCharts({ query, moments = noMoments, empty }: SeriesChartsProps) {
  const { data, error, refetch } = query
  const charts = useMemo(
    () => (data === undefined ? [] : chartsOf(continued(data, moments))),
    [data, moments],
  )
  if (error && data === undefined) return <Problem error={error} retry={() => void refetch()} />
  if (data === undefined) {
    return (
      <div role="status" aria-label="Loading charts" className="grid gap-4 lg:grid-cols-2">
        <Skeleton className="h-52" />
        <Skeleton className="h-52" />
      </div>
    )
  }
  if (charts.length === 0) {
    return (
      <div className="rounded-lg border border-line bg-surface">
        <Empty icon={ChartLine} title="Nothing measured yet">
          {empty}
        </Empty>
      </div>
    )
  }
  return (
    <div className="grid min-w-0 gap-4 lg:grid-cols-2">
      {charts.map((chart) => (
        <Chart key={`${chart.title} ${chart.lines.map(({ label }) => label).join()}`} chart={chart} />
      ))}
    </div>
  )
}
