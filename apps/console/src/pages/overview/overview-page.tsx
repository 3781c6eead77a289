import { getRouteApi } from '@tanstack/react-router'
import { CircleAlert, CircleCheck, CircleX } from 'lucide-react'
import { useState } from 'react'
import { Card, Figure } from '../../components/card.tsx'
import { LiveBadge } from '../../components/live-badge.tsx'
import { Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { SeriesCharts, WindowChoice } from '../../components/series.tsx'
import { Skeleton } from '../../components/skeleton.tsx'
import { Time } from '../../components/time.tsx'
import type { Moment } from '../../data/charts.ts'
import { useData } from '../../data/query.ts'
import { useClient, useSession } from '../../data/session.tsx'
import type { Status } from '../../data/types.ts'
import { useStream } from '../../data/use-stream.ts'
import { formatMoney } from '../../format/money.ts'
import { formatDuration, formatShort, formatTokenRate, nothing } from '../../format/numbers.ts'
import { FirstSteps } from './first-steps.tsx'
import { RecentEvents } from './recent-events.tsx'
import { StateCounts } from './state-counts.tsx'

const route = getRouteApi('/app/')

const refetchMs = { '15m': 15_000, '1h': 30_000, '6h': 60_000, '24h': 120_000, '7d': 600_000, '30d': 600_000 }
const keptMoments = 120

/** The newest status as one more point of the charts. */
const momentOf = ({
  at,
  tokensPerSecond,
  requestsPerSecond,
  activeRequests,
  queuedRequests,
  ttftMs,
  tpotMs,
  machines,
  deployments,
}: Status): Moment => ({
  atMs: Date.parse(at),
  values: {
    tokens_per_second: tokensPerSecond,
    requests_per_second: requestsPerSecond,
    active_requests: activeRequests,
    queued_requests: queuedRequests,
    ttft_p50_ms: ttftMs?.p50 ?? null,
    ttft_p95_ms: ttftMs?.p95 ?? null,
    ttft_p99_ms: ttftMs?.p99 ?? null,
    tpot_p50_ms: tpotMs?.p50 ?? null,
    tpot_p95_ms: tpotMs?.p95 ?? null,
    tpot_p99_ms: tpotMs?.p99 ?? null,
    ready_machines: machines.ready,
    ready_deployments: deployments.ready,
  },
})

export function OverviewPage() {
  const { window = '1h' } = route.useSearch()
  const navigate = route.useNavigate()
  const { organisation } = useSession()
  const client = useClient()
  const first = useData(['status'], (api, signal) => api.status.show({ signal }))
  const series = useData(
    ['status-series', window],
    (api, signal) => api.status.series({ query: { window }, signal }),
    {
      refetchMs: refetchMs[window],
    },
  )
  const [live, setLive] = useState<Status | null>(null)
  const [moments, setMoments] = useState<readonly Moment[]>([])
  const { state } = useStream(
    organisation?.id ?? null,
    (signal) => client.status.follow({ signal }),
    (status) => {
      setLive(status)
      setMoments((known) => [...known.slice(1 - keptMoments), momentOf(status)])
    },
  )
  const status = live ?? first.data ?? null
  return (
    <Page title="Overview" actions={<LiveBadge state={state} />}>
      {status === null && first.error ? (
        <Problem error={first.error} retry={() => void first.refetch()} />
      ) : (
        <Health status={status} />
      )}
      <FirstSteps status={status} />
      <Figures status={status} />
      <div className="grid min-w-0 gap-4 lg:grid-cols-3">
        <StateCounts title="Machines" to="/machines" counts={status?.machines ?? null} />
        <StateCounts title="Deployments" to="/deployments" counts={status?.deployments ?? null} />
        <Spend status={status} />
      </div>
      <div className="flex flex-wrap items-center justify-between gap-2">
        <h2 className="text-sm font-semibold">Over time</h2>
        <WindowChoice
          value={window}
          onValue={(next) => void navigate({ search: { window: next }, replace: true })}
        />
      </div>
      <SeriesCharts
        query={series}
        moments={moments}
        empty="As soon as requests are answered, their throughput and latency appear here."
      />
      <RecentEvents />
    </Page>
  )
}

const healthLooks = {
  ok: {
    icon: CircleCheck,
    words: 'Everything runs',
    className: 'border-ok/30 bg-ok-soft',
    iconClass: 'text-ok',
  },
  degraded: {
    icon: CircleAlert,
    words: 'Running, with trouble',
    className: 'border-warn/40 bg-warn-soft',
    iconClass: 'text-warn',
  },
  down: {
    icon: CircleX,
    words: 'Requests are not answered',
    className: 'border-bad/40 bg-bad-soft',
    iconClass: 'text-bad',
  },
}

function Health({ status }: { readonly status: Status | null }) {
  if (status === null) return <Skeleton className="h-14" />
  const { icon: Icon, words, className, iconClass } = healthLooks[status.health.state]
  return (
    <div
      role="status"
      className={`flex min-h-14 flex-wrap items-center gap-x-3 gap-y-1 rounded-lg border px-4 py-2.5 text-sm ${className}`}
    >
      <Icon className={`size-5 shrink-0 ${iconClass}`} aria-hidden="true" />
      <p className="font-medium">{words}</p>
      <p className="min-w-0 flex-1 basis-60 text-ink-2">{status.health.reasons.join(' ')}</p>
      <p className="text-xs text-ink-3">
        Last token <Time at={status.lastTokenAt} none="never" />
      </p>
    </div>
  )
}

function Figures({ status }: { readonly status: Status | null }) {
  if (status === null) {
    return (
      <div className="grid grid-cols-2 gap-4 xl:grid-cols-4">
        {['a', 'b', 'c', 'd'].map((key) => (
          <Skeleton key={key} className="h-[5.5rem]" />
        ))}
      </div>
    )
  }
  const { ttftMs, tpotMs } = status
  return (
    <div className="grid grid-cols-2 gap-3 sm:gap-4 xl:grid-cols-4">
      <Figure
        label="Throughput"
        value={formatTokenRate(status.tokensPerSecond)}
        note={`${formatShort(status.requestsPerSecond)} requests/s`}
      />
      <Figure label="At work" value={`${status.activeRequests}`} note={`${status.queuedRequests} waiting`} />
      <Figure
        label="Time to first token, p50"
        value={ttftMs === null ? nothing : formatDuration(ttftMs.p50)}
        note={
          ttftMs === null
            ? 'no requests'
            : `p95 ${formatDuration(ttftMs.p95)} · p99 ${formatDuration(ttftMs.p99)}`
        }
      />
      <Figure
        label="Time per token, p50"
        value={tpotMs === null ? nothing : formatDuration(tpotMs.p50)}
        note={
          tpotMs === null
            ? 'no requests'
            : `p95 ${formatDuration(tpotMs.p95)} · p99 ${formatDuration(tpotMs.p99)}`
        }
      />
    </div>
  )
}

function Spend({ status }: { readonly status: Status | null }) {
  return (
    <Card title="Spend">
      {status === null ? (
        <Skeleton className="h-16" />
      ) : (
        <dl className="grid grid-cols-3 gap-3 text-sm tabular-nums">
          {(
            [
              ['Now, an hour', status.spend.perHour],
              ['Today', status.spend.today],
              ['This month', status.spend.month],
            ] as const
          ).map(([label, amount]) => (
            <div key={label} className="min-w-0">
              <dt className="text-xs text-ink-3">{label}</dt>
              <dd className="truncate text-base font-semibold">{formatMoney(amount)}</dd>
            </div>
          ))}
        </dl>
      )}
    </Card>
  )
}
