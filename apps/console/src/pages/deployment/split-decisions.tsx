import { Link } from '@tanstack/react-router'
import { Card } from '../../components/card.tsx'
import { splitText } from '../../components/split-text.ts'
import { rowLink, Table } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useData } from '../../data/query.ts'
import { useMay } from '../../data/session.tsx'
import { formatCount } from '../../format/numbers.ts'

const shownRequests = 10
const refetchMs = 10_000

/** Where the prompts of the last requests were computed, and why. */
export function SplitDecisions({ deployment }: { readonly deployment: string }) {
  const mayRead = useMay('requests:read')
  const { data } = useData(
    ['requests', 'split', deployment],
    (client, signal) => client.requests.list({ query: { deployment, limit: shownRequests }, signal }),
    { refetchMs, enabled: mayRead },
  )
  if (!mayRead) return null
  const rows = (data?.items ?? []).flatMap(({ split, ...record }) =>
    split === null ? [] : [{ ...record, split }],
  )
  return (
    <Card
      title="Where prompts were computed"
      about="Elsewhere only where that is sooner, as measured. The last requests."
      flush
    >
      {rows.length === 0 ? (
        <p className="p-4 text-sm text-ink-3">No request was answered lately.</p>
      ) : (
        <Table
          label="Where prompts were computed"
          rows={rows}
          rowKey={({ id }) => id}
          columns={[
            {
              name: 'Request',
              cell: ({ id, at }) => (
                <>
                  <Link
                    to="/requests/$request"
                    params={{ request: id }}
                    className={`${rowLink} font-mono text-xs`}
                  >
                    {id}
                  </Link>
                  <div className="text-xs text-ink-3">
                    <Time at={at} />
                  </div>
                </>
              ),
            },
            { name: 'Prompt', align: 'right', cell: ({ promptTokens }) => formatCount(promptTokens) },
            { name: 'From elsewhere', cell: ({ split }) => splitText(split) },
            { name: 'Why', cell: ({ split }) => split.reason },
          ]}
        />
      )}
    </Card>
  )
}
