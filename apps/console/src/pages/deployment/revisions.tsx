import { History } from 'lucide-react'
import { useState } from 'react'
import { Badge } from '../../components/badge.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Empty } from '../../components/empty.tsx'
import { ListTable } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useToast } from '../../components/toast.tsx'
import { useNames } from '../../data/names.ts'
import { useList, useRefresh } from '../../data/query.ts'
import { useClient, useMay } from '../../data/session.tsx'
import type { Deployment, Revision } from '../../data/types.ts'
import { formatCount } from '../../format/numbers.ts'
import { Revise } from './revise.tsx'
import { policyText, targetText } from './summary.tsx'

/** What was wished for, newest first, and the way back to it. */
export function Revisions({ deployment }: { readonly deployment: Deployment }) {
  const client = useClient()
  const names = useNames()
  const refresh = useRefresh()
  const toast = useToast()
  const mayWrite = useMay('deployments:write')
  const [chosen, choose] = useState<Revision | null>(null)
  const params = { deployment: deployment.id }
  const revisions = useList(['deployments', deployment.id, 'revisions'], (api, query, signal) =>
    api.deployments.revisions({ params, query, signal }),
  )
  const rollBack = async ({ number }: Revision) => {
    await client.deployments.rollback({ params, body: { revision: number } })
    toast({ text: `${deployment.name} goes back to revision ${number}.` })
    await refresh('deployments')
  }
  return (
    <Card
      title="Revisions"
      about="Specs never change; a new wish is a new revision. Replicas of an older one that still run are used at once."
      flush
      actions={mayWrite && <Revise deployment={deployment} />}
    >
      <ListTable
        label="Revisions"
        list={revisions}
        rowKey={({ number }) => String(number)}
        columns={[
          {
            name: 'Revision',
            cell: ({ number, active }) => (
              <span className="inline-flex items-center gap-2 font-medium">
                {number}
                {active && <Badge tone="ok">active</Badge>}
              </span>
            ),
          },
          {
            name: 'Spec',
            cell: ({ spec }) => (
              <>
                <div>
                  {names.model(spec.modelId)} · {spec.precision}
                </div>
                <div className="text-xs text-ink-3">
                  {spec.contextTokens === null
                    ? 'the model’s context'
                    : `${formatCount(spec.contextTokens)} tokens`}{' '}
                  × {spec.sessions} · {spec.replicas.min} to {spec.replicas.max} replicas · {policyText(spec)}{' '}
                  · target {targetText(spec)}
                </div>
              </>
            ),
          },
          { name: 'By', cell: ({ createdBy }) => (createdBy === null ? 'a key' : names.person(createdBy)) },
          { name: 'When', align: 'right', cell: ({ createdAt }) => <Time at={createdAt} /> },
          {
            name: 'Actions',
            actions: true,
            cell: (revision) =>
              mayWrite && !revision.active ? (
                <Button
                  size="small"
                  onClick={() => choose(revision)}
                  aria-label={`Roll back to revision ${revision.number}`}
                >
                  <History aria-hidden="true" />
                  Roll back
                </Button>
              ) : null,
          },
        ]}
        empty={
          <Empty icon={History} title="No revisions">
            The first one is made with the deployment.
          </Empty>
        }
      />
      {chosen !== null && (
        <Confirm
          open
          onOpenChange={(open) => !open && choose(null)}
          title={`Roll back to revision ${chosen.number}`}
          verb="Roll back"
          act={() => rollBack(chosen)}
        >
          Revision {chosen.number} becomes the active one. Requests are answered all the while.
        </Confirm>
      )}
    </Card>
  )
}
