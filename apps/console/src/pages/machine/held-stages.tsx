import { Link } from '@tanstack/react-router'
import { Layers } from 'lucide-react'
import { Card } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { Table } from '../../components/table.tsx'
import { useNames } from '../../data/names.ts'
import { useMay } from '../../data/session.tsx'
import type { Machine } from '../../data/types.ts'

/** What a machine holds of which deployment. */
export function HeldStages({ machine }: { readonly machine: Machine }) {
  const names = useNames()
  const mayRead = useMay('deployments:read')
  return (
    <Card title="Stages held" flush>
      {machine.stages.length === 0 ? (
        <Empty icon={Layers} title="It holds no stages" command="deos deploy <model>">
          Deployments place stages on machines that are ready and have room.
        </Empty>
      ) : (
        <Table
          label="Stages held"
          rows={machine.stages}
          rowKey={({ stageId }) => stageId}
          columns={[
            {
              name: 'Deployment',
              cell: ({ deploymentId }) =>
                mayRead ? (
                  <Link
                    to="/deployments/$deployment"
                    params={{ deployment: deploymentId }}
                    className="font-medium hover:underline"
                  >
                    {names.deployment(deploymentId)}
                  </Link>
                ) : (
                  deploymentId
                ),
            },
            {
              name: 'Replica',
              cell: ({ replicaId }) => <code className="font-mono text-xs">{replicaId}</code>,
            },
            { name: 'Stage', cell: ({ stageId }) => <code className="font-mono text-xs">{stageId}</code> },
          ]}
        />
      )}
    </Card>
  )
}
