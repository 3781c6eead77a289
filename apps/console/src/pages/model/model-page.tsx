import { getRouteApi, Link } from '@tanstack/react-router'
import { Rocket } from 'lucide-react'
import { StateBadge } from '../../components/badge.tsx'
import { Card, Facts } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { ModelActions } from '../../components/model-actions.tsx'
import { ModelProgress, sourceText } from '../../components/model-progress.tsx'
import { BackLink, Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { SkeletonPage } from '../../components/skeleton.tsx'
import { Table } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import { useDeployments } from '../../data/lists.ts'
import { useData } from '../../data/query.ts'
import type { Model } from '../../data/types.ts'
import { formatCount, formatParameters, formatSize, nothing } from '../../format/numbers.ts'

const route = getRouteApi('/app/models/$model')

export function ModelPage() {
  const { model: id } = route.useParams()
  const {
    data: model,
    error,
    refetch,
  } = useData(['models', id], (client, signal) => client.models.show({ params: { model: id }, signal }))
  if (model === undefined)
    return error ? <Problem error={error} retry={() => void refetch()} /> : <SkeletonPage />
  return (
    <Page
      title={model.name}
      badge={<StateBadge state={model.state} />}
      about={sourceText(model)}
      back={<BackLink to="/models">Models</BackLink>}
      actions={<ModelActions model={model} isPage />}
    >
      <div className="grid items-start gap-4 lg:grid-cols-2">
        <Card title="State">
          <div className="[&>div]:items-start [&_*]:text-left">
            <ModelProgress model={model} />
          </div>
        </Card>
        <Shape model={model} />
      </div>
      <UsedBy model={model} />
    </Page>
  )
}

function Shape({ model: { shape, sizeBytes, digest, createdAt } }: { readonly model: Model }) {
  return (
    <Card title="Shape">
      <Facts
        facts={[
          ...(shape === null
            ? []
            : ([
                ['Architecture', shape.architecture],
                ['Parameters', formatParameters(shape.parameters)],
                ['Layers', formatCount(shape.layers)],
                ['Context', `${formatCount(shape.contextTokens)} tokens`],
                ['Vocabulary', formatCount(shape.vocabulary)],
                ['Weights', shape.weightTypes.join(', ')],
                ['KV cache', `${formatSize(shape.kvBytesPerToken)} a token`],
              ] as const)),
          ['Size', sizeBytes === null ? nothing : formatSize(sizeBytes)],
          [
            'Checksum',
            digest === null ? (
              nothing
            ) : (
              <code key="digest" className="font-mono text-xs break-all">
                {digest}
              </code>
            ),
          ],
          ['Added', <Time key="added" at={createdAt} />],
        ]}
      />
    </Card>
  )
}

function UsedBy({ model }: { readonly model: Model }) {
  const deployments = useDeployments().items.filter(({ spec }) => spec.modelId === model.id)
  return (
    <Card title="Deployments" flush>
      {deployments.length === 0 ? (
        <Empty icon={Rocket} title="Not deployed" command={`deos deploy ${model.name}`}>
          Deploy it to answer requests.
        </Empty>
      ) : (
        <Table
          label="Deployments of this model"
          rows={deployments}
          rowKey={({ id }) => id}
          columns={[
            {
              name: 'Deployment',
              cell: ({ id, name }) => (
                <Link
                  to="/deployments/$deployment"
                  params={{ deployment: id }}
                  className="font-medium hover:underline"
                >
                  {name}
                </Link>
              ),
            },
            { name: 'State', cell: ({ state }) => <StateBadge state={state} /> },
            {
              name: 'Replicas',
              align: 'right',
              cell: ({ replicas }) => `${replicas.ready} of ${replicas.wanted}`,
            },
          ]}
        />
      )}
    </Card>
  )
}
