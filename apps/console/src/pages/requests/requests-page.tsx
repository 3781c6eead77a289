import { getRouteApi, Link } from '@tanstack/react-router'
import { ScrollText } from 'lucide-react'
import { Badge, type Tone } from '../../components/badge.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { Select } from '../../components/field.tsx'
import { Page } from '../../components/page.tsx'
import { type Column, ListTable, rowLink } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useDeployments, useKeys, useProjects } from '../../data/lists.ts'
import { type Names, useNames } from '../../data/names.ts'
import { useList } from '../../data/query.ts'
import type { RequestRecord } from '../../data/types.ts'
import { formatMoney } from '../../format/money.ts'
import { formatCount, formatDuration, nothing } from '../../format/numbers.ts'

const route = getRouteApi('/app/requests')
const refetchMs = 10_000

export const statusTone = (status: number): Tone => (status < 400 ? 'ok' : status < 500 ? 'warn' : 'bad')

const columnsWith = (names: Names): readonly Column<RequestRecord>[] => [
  {
    name: 'Request',
    cell: ({ id, at }) => (
      <>
        <Link to="/requests/$request" params={{ request: id }} className={`${rowLink} font-mono text-xs`}>
          {id}
        </Link>
        <div className="text-xs text-ink-3">
          <Time at={at} />
        </div>
      </>
    ),
  },
  {
    name: 'Status',
    cell: ({ status, interruptions }) => (
      <span className="inline-flex flex-wrap gap-1 max-md:justify-end">
        <Badge tone={statusTone(status)}>{status}</Badge>
        {interruptions > 0 && <Badge tone="warn">{interruptions} interrupted</Badge>}
      </span>
    ),
  },
  { name: 'Model', cell: ({ model }) => model },
  { name: 'Key', cell: ({ keyId }) => (keyId === null ? 'playground' : names.key(keyId)) },
  {
    name: 'Tokens',
    align: 'right',
    cell: ({ promptTokens, completionTokens }) =>
      `${formatCount(promptTokens)} → ${formatCount(completionTokens)}`,
  },
  {
    name: 'First token',
    align: 'right',
    cell: ({ ttftMs }) => (ttftMs === null ? nothing : formatDuration(ttftMs)),
  },
  {
    name: 'A token',
    roomy: true,
    align: 'right',
    cell: ({ tpotMs }) => (tpotMs === null ? nothing : formatDuration(tpotMs)),
  },
  { name: 'Took', align: 'right', cell: ({ durationMs }) => formatDuration(durationMs) },
  { name: 'Cost', align: 'right', cell: ({ cost }) => formatMoney(cost) },
]

export function RequestsPage() {
  const { key, project, deployment } = route.useSearch()
  const navigate = route.useNavigate()
  const names = useNames()
  const keys = useKeys(true).items
  const projects = useProjects().items
  const deployments = useDeployments().items
  const change = (changes: {
    key?: string | undefined
    project?: string | undefined
    deployment?: string | undefined
  }) => void navigate({ search: (known) => ({ ...known, ...changes }), replace: true })
  const list = useList(
    ['requests', key ?? '', project ?? '', deployment ?? ''],
    (client, query, signal) =>
      client.requests.list({
        query: {
          ...query,
          ...(key !== undefined && { key }),
          ...(project !== undefined && { project }),
          ...(deployment !== undefined && { deployment }),
        },
        signal,
      }),
    { limit: 50, refetchMs },
  )
  const filtered = key !== undefined || project !== undefined || deployment !== undefined
  return (
    <Page title="Requests" about="What the gateway answered. Neither prompts nor answers are kept.">
      <Card
        title="Newest first"
        flush
        actions={
          <>
            <Select
              aria-label="Deployment"
              className="w-auto max-w-44"
              options={[['', 'All deployments'], ...deployments.map(({ id, name }) => [id, name] as const)]}
              value={deployment ?? ''}
              onValue={(value) => change({ deployment: value || undefined })}
            />
            <Select
              aria-label="Project"
              className="w-auto max-w-44"
              options={[['', 'All projects'], ...projects.map(({ id, title }) => [id, title] as const)]}
              value={project ?? ''}
              onValue={(value) => change({ project: value || undefined })}
            />
            <Select
              aria-label="Key"
              className="w-auto max-w-44"
              options={[['', 'All keys'], ...keys.map(({ id, name }) => [id, name] as const)]}
              value={key ?? ''}
              onValue={(value) => change({ key: value || undefined })}
            />
          </>
        }
      >
        <ListTable
          label="Requests"
          list={list}
          columns={columnsWith(names)}
          rowKey={({ id }) => id}
          empty={
            filtered ? (
              <Empty
                icon={ScrollText}
                title="No request was like that"
                action={<Button onClick={() => void navigate({ search: {} })}>Show all</Button>}
              >
                The filters leave none.
              </Empty>
            ) : (
              <Empty
                icon={ScrollText}
                title="No requests yet"
                action={
                  <Button asChild>
                    <Link to="/playground">Open the playground</Link>
                  </Button>
                }
              >
                Each request is listed here with where its time went.
              </Empty>
            )
          }
        />
      </Card>
    </Page>
  )
}
