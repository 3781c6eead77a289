import { Scale } from 'lucide-react'
import { Badge } from '../../components/badge.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { Problem } from '../../components/problem.tsx'
import { SkeletonRows } from '../../components/skeleton.tsx'
import { Time } from '../../components/time.tsx'
import { useList } from '../../data/query.ts'
import type { Decision, Replica } from '../../data/types.ts'

interface DecisionsProps {
  readonly deployment: string
  readonly replicas: readonly Replica[]
}

/** Why it runs where it does: reasons of what runs now, and every choice with what was not chosen. */
export function Decisions({ deployment, replicas }: DecisionsProps) {
  const list = useList(
    ['decisions', deployment],
    (client, query, signal) => client.decisions.list({ query: { ...query, deployment }, signal }),
    { limit: 50 },
  )
  const explained = replicas.filter(({ placementReasons }) => placementReasons.length > 0)
  return (
    <>
      {explained.length > 0 && (
        <Card title="Why these machines">
          <ul className="flex flex-col gap-3 text-sm">
            {explained.map(({ id, placementReasons }) => (
              <li key={id}>
                <code className="font-mono text-xs text-ink-3">{id}</code>
                <ul className="mt-1 list-disc pl-5 text-ink-2">
                  {placementReasons.map((reason) => (
                    <li key={reason}>{reason}</li>
                  ))}
                </ul>
              </li>
            ))}
          </ul>
        </Card>
      )}
      <Card title="Decisions" about="Newest first." flush>
        {list.isPending ? (
          <SkeletonRows rows={4} />
        ) : list.error && list.items.length === 0 ? (
          <div className="p-4">
            <Problem error={list.error} retry={list.refetch} />
          </div>
        ) : list.items.length === 0 ? (
          <Empty icon={Scale} title="Nothing was decided yet">
            Each placement, healing, scaling and rollout is written down here, with what was not chosen.
          </Empty>
        ) : (
          <ul className="divide-y divide-line">
            {list.items.map((decision) => (
              <DecisionItem key={decision.id} decision={decision} />
            ))}
          </ul>
        )}
        {list.more !== null && (
          <div className="border-t border-line p-2 text-center">
            <Button size="small" look="quiet" busy={list.isLoadingMore} onClick={list.more}>
              Show older ones
            </Button>
          </div>
        )}
      </Card>
    </>
  )
}

function DecisionItem({
  decision: { kind, at, summary, reasons, rejected },
}: {
  readonly decision: Decision
}) {
  return (
    <li className="px-4 py-3 text-sm">
      <div className="flex flex-wrap items-center gap-2">
        <Badge>{kind}</Badge>
        <span className="min-w-0 flex-1 basis-48 font-medium">{summary}</span>
        <span className="text-xs text-ink-3">
          <Time at={at} />
        </span>
      </div>
      <ul className="mt-1.5 list-disc pl-5 text-ink-2">
        {reasons.map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
      {rejected.length > 0 && (
        <details className="mt-1.5">
          <summary className="text-xs text-ink-3">Not chosen ({rejected.length})</summary>
          <ul className="mt-1 flex flex-col gap-1 pl-5 text-xs">
            {rejected.map(({ option, reason }) => (
              <li key={option}>
                <span className="font-medium">{option}</span> <span className="text-ink-3">{reason}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
    </li>
  )
}
