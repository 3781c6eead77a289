import { getRouteApi, Link } from '@tanstack/react-router'
import { ArrowLeft, MessageSquare } from 'lucide-react'
import { useState } from 'react'
import { StateBadge } from '../../components/badge.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { DeploymentActions } from '../../components/deployment-actions.tsx'
import { EventList } from '../../components/event-list.tsx'
import { LiveBadge } from '../../components/live-badge.tsx'
import { Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { SeriesCharts, WindowChoice } from '../../components/series.tsx'
import { SkeletonPage } from '../../components/skeleton.tsx'
import { Tabs } from '../../components/tabs.tsx'
import { Time } from '../../components/time.tsx'
import type { Moment } from '../../data/charts.ts'
import { useData } from '../../data/query.ts'
import { useClient, useMay } from '../../data/session.tsx'
import type { DeploymentLive } from '../../data/types.ts'
import { useStream } from '../../data/use-stream.ts'
import type { deploymentTabs } from '../../search.ts'
import { Decisions } from './decisions.tsx'
import { Logs } from './logs.tsx'
import { Replicas } from './replicas.tsx'
import { Revisions } from './revisions.tsx'
import { Summary } from './summary.tsx'

const route = getRouteApi('/app/deployments/$deployment')
const keptMoments = 120

const momentOf = ({ at, replicas }: DeploymentLive): Moment => {
  const sum = (of: (replica: DeploymentLive['replicas'][number]) => number) =>
    replicas.reduce((total, replica) => total + of(replica), 0)
  const capacity = sum((replica) => replica.kvCapacityTokens)
  return {
    atMs: Date.parse(at),
    values: {
      tokens_per_second: sum((replica) => replica.tokensPerSecond),
      active_sessions: sum((replica) => replica.activeSessions),
      kv_used_ratio: capacity === 0 ? null : sum((replica) => replica.kvUsedTokens) / capacity,
    },
  }
}

export function DeploymentPage() {
  const { deployment: id } = route.useParams()
  const { tab = 'ring', window = '1h' } = route.useSearch()
  const navigate = route.useNavigate()
  const client = useClient()
  const mayReadEvents = useMay('events:read')
  const mayPlay = useMay('playground:use')
  const params = { deployment: id }
  const query = useData(['deployments', id], (api, signal) => api.deployments.show({ params, signal }), {
    refetchMs: 10_000,
  })
  const series = useData(
    ['deployment-series', id, window],
    (api, signal) => api.deployments.series({ params, query: { window }, signal }),
    { refetchMs: 30_000, enabled: tab === 'charts' },
  )
  const [live, setLive] = useState<DeploymentLive | null>(null)
  const [moments, setMoments] = useState<readonly Moment[]>([])
  const stream = useStream(
    query.data === undefined ? null : id,
    (signal) => client.deployments.live({ params, signal }),
    (event) => {
      setLive(event)
      setMoments((known) => [...known.slice(1 - keptMoments), momentOf(event)])
    },
  )
  if (query.data === undefined) {
    return query.error ? <Problem error={query.error} retry={() => void query.refetch()} /> : <SkeletonPage />
  }
  const { deployment, replicas } = query.data
  const tabs = [
    { id: 'ring', label: 'Ring', content: <Replicas detail={query.data} live={live} /> },
    {
      id: 'charts',
      label: 'Charts',
      content: (
        <>
          <div className="flex justify-end">
            <WindowChoice
              value={window}
              onValue={(next) =>
                void navigate({ search: (known) => ({ ...known, window: next }), replace: true })
              }
            />
          </div>
          <SeriesCharts query={series} moments={moments} empty="Charts begin with the first request." />
        </>
      ),
    },
    { id: 'revisions', label: 'Revisions', content: <Revisions deployment={deployment} /> },
    { id: 'logs', label: 'Logs', content: <Logs deployment={id} replicas={replicas} /> },
    ...(mayReadEvents
      ? [
          { id: 'decisions', label: 'Why here', content: <Decisions deployment={id} replicas={replicas} /> },
          {
            id: 'events',
            label: 'Events',
            content: (
              <Card title="Events of this deployment" flush>
                <EventList deployment={id} goesOn />
              </Card>
            ),
          },
        ]
      : []),
  ]
  return (
    <Page
      title={deployment.name}
      badge={
        <>
          <StateBadge state={deployment.state} />
          <LiveBadge state={stream.state} />
        </>
      }
      about={
        <>
          {deployment.reason.message}{' '}
          {deployment.reason.since !== null && <Time at={deployment.reason.since} />}
        </>
      }
      back={
        <Link
          to="/deployments"
          className="mb-1 inline-flex items-center gap-1 text-xs text-ink-3 hover:text-ink"
        >
          <ArrowLeft className="size-3.5" aria-hidden="true" />
          Deployments
        </Link>
      }
      actions={
        <>
          {mayPlay && (
            <Button asChild>
              <Link to="/playground" search={{ model: deployment.servedAs }}>
                <MessageSquare aria-hidden="true" />
                Try it
              </Link>
            </Button>
          )}
          <DeploymentActions deployment={deployment} isPage />
        </>
      }
    >
      <Summary deployment={deployment} />
      <Tabs
        label="Of this deployment"
        tabs={tabs}
        value={tab}
        onValue={(next) =>
          void navigate({
            search: (known) => ({ ...known, tab: next as (typeof deploymentTabs)[number] }),
            replace: true,
          })
        }
      />
    </Page>
  )
}
