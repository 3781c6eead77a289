import { getRouteApi } from '@tanstack/react-router'
import { ChartColumn, Download } from 'lucide-react'
import { Button } from '../../components/button.tsx'
import { Card, Figure } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { Segmented } from '../../components/segmented.tsx'
import { SkeletonPage } from '../../components/skeleton.tsx'
import { Table } from '../../components/table.tsx'
import { type Names, useNames } from '../../data/names.ts'
import { useData } from '../../data/query.ts'
import type { Usage, UsageRow } from '../../data/types.ts'
import { formatMoney } from '../../format/money.ts'
import { formatCount, formatPercent, formatShort } from '../../format/numbers.ts'
import { formatDay } from '../../format/time.ts'
import { usageDays, usageDimensions } from '../../search.ts'
import { usageCsv } from './csv.ts'
import { UsageBars } from './usage-bars.tsx'

const route = getRouteApi('/app/usage')

type Dimension = (typeof usageDimensions)[number]
const dayMs = 86_400_000
const today = (): number => Date.now()
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

/** What a row is about. */
const nameIn =
  (by: Dimension, names: Names) =>
  (row: UsageRow): string => {
    switch (by) {
      case 'day':
        return row.day ?? ''
      case 'model':
        return row.model ?? ''
      case 'project':
        return row.projectId === null ? 'none' : names.project(row.projectId)
      case 'key':
        return row.keyId === null ? 'playground' : names.key(row.keyId)
    }
  }

function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv' }))
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  URL.revokeObjectURL(address)
}

export function UsagePage() {
  const { by = 'day', days = '30' } = route.useSearch()
  const navigate = route.useNavigate()
  const names = useNames()
  const from = dayOf(today() - (Number(days) - 1) * dayMs)
  const to = dayOf(today())
  const query = useData(['usage', by, from, to], (client, signal) =>
    client.usage.show({ query: { from, to, by: [by] }, signal }),
  )
  const { data, error } = query
  const nameOf = nameIn(by, names)
  return (
    <Page
      title="Usage"
      about="Tokens, requests and cost. Days are those of UTC."
      actions={
        <>
          <Segmented
            label="Days"
            options={usageDays.map((each) => [each, `${each} days`] as const)}
            value={days}
            onValue={(next) =>
              void navigate({ search: (known) => ({ ...known, days: next }), replace: true })
            }
          />
          <Button
            disabled={data === undefined || data.rows.length === 0}
            onClick={() =>
              data !== undefined && download(`usage-by-${by}-${from}-${to}.csv`, usageCsv(data, by, nameOf))
            }
          >
            <Download aria-hidden="true" />
            CSV
          </Button>
        </>
      }
    >
      {data === undefined ? (
        error ? (
          <Problem error={error} retry={() => void query.refetch()} />
        ) : (
          <SkeletonPage />
        )
      ) : (
        <>
          <Totals usage={data} />
          <Card
            title="Breakdown"
            flush
            actions={
              <Segmented
                label="By"
                options={usageDimensions.map((each) => [each, `by ${each}`] as const)}
                value={by}
                onValue={(next) =>
                  void navigate({ search: (known) => ({ ...known, by: next }), replace: true })
                }
              />
            }
          >
            {data.rows.length === 0 ? (
              <Empty icon={ChartColumn} title="Nothing was used" command="deos key create my-program">
                Create a key and send a request; or talk to a model in the playground.
              </Empty>
            ) : (
              <>
                <UsageBars
                  rows={data.rows}
                  nameOf={(row) => (by === 'day' && row.day !== null ? formatDay(row.day) : nameOf(row))}
                />
                <Rows rows={data.rows} by={by} nameOf={nameOf} />
              </>
            )}
          </Card>
        </>
      )}
    </Page>
  )
}

function Totals({ usage: { total } }: { readonly usage: Usage }) {
  const failed = total.requests === 0 ? 0 : total.failedRequests / total.requests
  const cached = total.promptTokens === 0 ? 0 : total.cachedPromptTokens / total.promptTokens
  return (
    <div className="grid grid-cols-2 gap-3 sm:gap-4 xl:grid-cols-4">
      <Figure label="Cost" value={formatMoney(total.cost)} />
      <Figure label="Requests" value={formatShort(total.requests)} note={`${formatPercent(failed)} failed`} />
      <Figure
        label="Tokens in"
        value={formatShort(total.promptTokens)}
        note={`${formatPercent(cached)} from the cache`}
      />
      <Figure label="Tokens out" value={formatShort(total.completionTokens)} />
    </div>
  )
}

interface RowsProps {
  readonly rows: readonly UsageRow[]
  readonly by: Dimension
  readonly nameOf: (row: UsageRow) => string
}

function Rows({ rows, by, nameOf }: RowsProps) {
  const ordered = by === 'day' ? [...rows].reverse() : rows
  return (
    <div className="border-t border-line">
      <Table
        label={`Usage by ${by}`}
        rows={ordered}
        rowKey={({ day, projectId, keyId, model }) => `${day} ${projectId} ${keyId} ${model}`}
        columns={[
          {
            name: by.charAt(0).toUpperCase() + by.slice(1),
            cell: (row) => <span className="font-medium">{nameOf(row)}</span>,
          },
          { name: 'Requests', align: 'right', cell: ({ requests }) => formatCount(requests) },
          {
            name: 'Failed',
            align: 'right',
            roomy: true,
            cell: ({ failedRequests }) => formatCount(failedRequests),
          },
          { name: 'Tokens in', align: 'right', cell: ({ promptTokens }) => formatCount(promptTokens) },
          {
            name: 'Of the cache',
            align: 'right',
            cell: ({ cachedPromptTokens }) => formatCount(cachedPromptTokens),
          },
          {
            name: 'Tokens out',
            align: 'right',
            cell: ({ completionTokens }) => formatCount(completionTokens),
          },
          { name: 'Cost', align: 'right', cell: ({ cost }) => formatMoney(cost) },
        ]}
      />
    </div>
  )
}
