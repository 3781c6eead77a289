import { getRouteApi, Link } from '@tanstack/react-router'
import { MessageSquare } from 'lucide-react'
import { useState } from 'react'
import { StateBadge } from '../../components/badge.tsx'
import { Button } from '../../components/button.tsx'
import { DeploymentActions } from '../../components/deployment-actions.tsx'
import { eventsTab } from '../../components/event-list.tsx'
import { LiveBadge } from '../../components/live-badge.tsx'
import { BackLink, Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { ReasonText } from '../../components/reason.tsx'
import { SeriesOverTime } from '../../components/series.tsx'
import { SkeletonPage } from '../../components/skeleton.tsx'
import { Tabs } from '../../components/tabs.tsx'
import type { Moment } from '../../data/charts.ts'
import { useData } from '../../data/query.ts'
import { useClient, useMay } from '../../data/session.tsx'
import type { DeploymentLive } from '../../data/types.ts'
import { useStream } from '../../data/use-stream.ts'
import { deploymentTabs } from '../../search.ts'
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
        <SeriesOverTime
          query={series}
          moments={moments}
          empty="Charts begin with the first request."
          window={window}
          onWindow={(next) =>
            void navigate({ search: (known) => ({ ...known, window: next }), replace: true })
          }
        />
      ),
    },
    { id: 'revisions', label: 'Revisions', content: <Revisions deployment={deployment} /> },
    { id: 'logs', label: 'Logs', content: <Logs deployment={id} replicas={replicas} /> },
    ...(mayReadEvents
      ? [
          { id: 'decisions', label: 'Why here', content: <Decisions deployment={id} replicas={replicas} /> },
          eventsTab({ deployment: id }),
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
      about={<ReasonText reason={deployment.reason} />}
      back={<BackLink to="/deployments">Deployments</BackLink>}
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
            search: (known) => ({ ...known, tab: deploymentTabs.find((each) => each === next) }),
            replace: true,
          })
        }
      />
    </Page>
  )
}
