import { getRouteApi, Link } from '@tanstack/react-router'
import { Badge } from '../../components/badge.tsx'
import { Card, Facts } from '../../components/card.tsx'
import { BackLink, Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { SkeletonPage } from '../../components/skeleton.tsx'
import { enhancementText, splitText } from '../../components/split-text.ts'
import { Time } from '../../components/time.tsx'
import { Timeline } from '../../components/timeline.tsx'
import { useNames } from '../../data/names.ts'
import { useData } from '../../data/query.ts'
import { formatMoney } from '../../format/money.ts'
import { formatCount, formatDuration, formatTokenRate, nothing } from '../../format/numbers.ts'
import { statusTone } from './requests-page.tsx'

const route = getRouteApi('/app/requests/$request')

export function RequestPage() {
  const { request: id } = route.useParams()
  const names = useNames()
  const {
    data: record,
    error,
    refetch,
  } = useData(['requests', id], (client, signal) => client.requests.show({ params: { request: id }, signal }))
  if (record === undefined)
    return error ? <Problem error={error} retry={() => void refetch()} /> : <SkeletonPage />
  return (
    <Page
      title={record.id}
      badge={<Badge tone={statusTone(record.status)}>{record.status}</Badge>}
      about={
        <>
          {record.model} · <Time at={record.at} />
        </>
      }
      back={<BackLink to="/requests">Requests</BackLink>}
    >
      <Card title="Where the time went">
        <Timeline record={record} names={names} />
      </Card>
      <div className="grid items-start gap-4 lg:grid-cols-2">
        <Card title="Measured">
          <Facts
            facts={[
              ['Took', formatDuration(record.durationMs)],
              ['First token', record.ttftMs === null ? nothing : formatDuration(record.ttftMs)],
              [
                'A token',
                record.tpotMs === null
                  ? nothing
                  : `${formatDuration(record.tpotMs)} (${formatTokenRate(1000 / record.tpotMs)})`,
              ],
              ['Interruptions', String(record.interruptions)],
              [
                'Tokens in',
                `${formatCount(record.promptTokens)}, ${formatCount(record.cachedPromptTokens)} of them from the cache`,
              ],
              ['Tokens out', formatCount(record.completionTokens)],
              ['Cost', formatMoney(record.cost)],
            ]}
          />
        </Card>
        <Card title="About">
          <Facts
            facts={[
              ['Project', names.project(record.projectId)],
              ['Key', record.keyId === null ? 'playground' : names.key(record.keyId)],
              [
                'Deployment',
                record.deploymentId === null ? (
                  nothing
                ) : (
                  <Link
                    key="deployment"
                    to="/deployments/$deployment"
                    params={{ deployment: record.deploymentId }}
                    className="hover:underline"
                  >
                    {names.deployment(record.deploymentId)}
                  </Link>
                ),
              ],
              ['Replica', record.replicaId ?? nothing],
              ['Streamed', record.streamed ? 'yes' : 'no'],
            ]}
          />
        </Card>
        {record.split !== null && (
          <Card title="Prompt computed elsewhere">
            <Facts
              facts={[
                ['Used', splitText(record.split)],
                ['Why', record.split.reason],
                ['Replica', record.split.prefillReplicaId ?? nothing],
                ['Better copies', enhancementText(record.split)],
              ]}
            />
          </Card>
        )}
      </div>
    </Page>
  )
}
