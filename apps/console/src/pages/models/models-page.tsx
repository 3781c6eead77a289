import { getRouteApi, Link } from '@tanstack/react-router'
import { Boxes, Plus } from 'lucide-react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { ModelActions } from '../../components/model-actions.tsx'
import { ModelProgress, sourceText } from '../../components/model-progress.tsx'
import { Page } from '../../components/page.tsx'
import { type Column, ListTable, rowLink } from '../../components/table.tsx'
import { useModels } from '../../data/lists.ts'
import { useMay } from '../../data/session.tsx'
import type { Model } from '../../data/types.ts'
import { formatParameters, formatShort, formatSize, nothing } from '../../format/numbers.ts'
import { AddModel } from './add-model.tsx'

const route = getRouteApi('/app/models')

const columns: readonly Column<Model>[] = [
  {
    name: 'Model',
    cell: (model) => (
      <>
        <Link to="/models/$model" params={{ model: model.id }} className={rowLink}>
          {model.name}
        </Link>
        <div className="text-xs break-all text-ink-3">{sourceText(model)}</div>
      </>
    ),
  },
  { name: 'State', className: 'md:min-w-56', cell: (model) => <ModelProgress model={model} /> },
  {
    name: 'Shape',
    cell: ({ shape }) =>
      shape === null ? (
        <span className="text-ink-3">not known yet</span>
      ) : (
        <>
          <div>
            {formatParameters(shape.parameters)} · {shape.architecture}
          </div>
          <div className="text-xs text-ink-3">
            {shape.layers} layers · {formatShort(shape.contextTokens)} context
          </div>
        </>
      ),
  },
  {
    name: 'Size',
    align: 'right',
    className: 'whitespace-nowrap',
    cell: ({ sizeBytes }) => (sizeBytes === null ? nothing : formatSize(sizeBytes)),
  },
  { name: 'Deployments', align: 'right', roomy: true, cell: ({ deployments }) => deployments.length },
  { name: 'Actions', actions: true, cell: (model) => <ModelActions model={model} /> },
]

export function ModelsPage() {
  const { add } = route.useSearch()
  const navigate = route.useNavigate()
  const models = useModels()
  const mayAdd = useMay('models:write')
  const setAdding = (open: boolean) => void navigate({ search: { add: open || undefined }, replace: true })
  const button = mayAdd && (
    <Button look="primary" onClick={() => setAdding(true)}>
      <Plus aria-hidden="true" />
      Add model
    </Button>
  )
  return (
    <Page
      title="Models"
      about="Weights that can be deployed. Machines fetch only the layers they hold."
      actions={button}
    >
      <Card title="All models" flush>
        <ListTable
          label="Models"
          list={models}
          columns={columns}
          rowKey={({ id }) => id}
          empty={
            <Empty
              icon={Boxes}
              title="No models yet"
              command="deos model add hf:<owner>/<repository>"
              action={button}
            >
              Add one from a file of the control plane’s machine, or from the Hugging Face hub.
            </Empty>
          }
        />
      </Card>
      {mayAdd && <AddModel open={add === true} onOpenChange={setAdding} />}
    </Page>
  )
}
