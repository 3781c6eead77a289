import { Link } from '@tanstack/react-router'
import { Plus, Rocket } from 'lucide-react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { DeploymentActions } from '../../components/deployment-actions.tsx'
import { Empty } from '../../components/empty.tsx'
import { Page } from '../../components/page.tsx'
import { StateWithReason } from '../../components/reason.tsx'
import { type Column, ListTable, rowLink } from '../../components/table.tsx'
import { useDeployments } from '../../data/lists.ts'
import { type Names, useNames } from '../../data/names.ts'
import { useMay } from '../../data/session.tsx'
import type { Deployment } from '../../data/types.ts'
import { formatMoney } from '../../format/money.ts'
import { nothing } from '../../format/numbers.ts'
import { Aliases } from './aliases.tsx'

const columnsWith = (names: Names): readonly Column<Deployment>[] => [
  {
    name: 'Deployment',
    cell: (deployment) => (
      <>
        <Link to="/deployments/$deployment" params={{ deployment: deployment.id }} className={rowLink}>
          {deployment.name}
        </Link>
        <div className="text-xs text-ink-3">served as {deployment.servedAs}</div>
      </>
    ),
  },
  { name: 'State', cell: ({ state, reason }) => <StateWithReason state={state} reason={reason} /> },
  { name: 'Model', cell: ({ spec }) => names.model(spec.modelId) },
  { name: 'Project', cell: ({ projectId }) => names.project(projectId) },
  {
    name: 'Replicas',
    align: 'right',
    cell: ({ replicas: { ready, wanted, starting, draining } }) => (
      <>
        <div>
          {ready} of {wanted}
        </div>
        <div className="text-xs text-ink-3">
          {[starting > 0 && `${starting} starting`, draining > 0 && `${draining} draining`]
            .filter(Boolean)
            .join(', ')}
        </div>
      </>
    ),
  },
  {
    name: 'An hour',
    align: 'right',
    cell: ({ pricePerHour }) => (pricePerHour === null ? nothing : formatMoney(pricePerHour)),
  },
  { name: 'Actions', actions: true, cell: (deployment) => <DeploymentActions deployment={deployment} /> },
]

export function DeploymentsPage() {
  const deployments = useDeployments()
  const names = useNames()
  const mayWrite = useMay('deployments:write')
  const button = mayWrite && (
    <Button look="primary" asChild>
      <Link to="/deployments/new">
        <Plus aria-hidden="true" />
        New deployment
      </Link>
    </Button>
  )
  return (
    <Page
      title="Deployments"
      about="Models that are kept running, whatever happens to machines."
      actions={button}
    >
      <Card title="All deployments" flush>
        <ListTable
          label="Deployments"
          list={deployments}
          columns={columnsWith(names)}
          rowKey={({ id }) => id}
          empty={
            <Empty icon={Rocket} title="Nothing is deployed" command="deos deploy <model>" action={button}>
              Choose a model and say how it should run; where it runs is found by itself.
            </Empty>
          }
        />
      </Card>
      <Aliases />
    </Page>
  )
}
