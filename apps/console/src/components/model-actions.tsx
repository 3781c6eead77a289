import { Link, useNavigate } from '@tanstack/react-router'
import { RotateCw, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { useRefresh } from '../data/query.ts'
import { useClient, useMay } from '../data/session.tsx'
import type { Model } from '../data/types.ts'
import { useAction } from '../data/use-action.ts'
import { plural } from '../format/numbers.ts'
import { Button } from './button.tsx'
import { Confirm } from './confirm.tsx'
import { useToast } from './toast.tsx'

export function ModelActions({
  model,
  isPage = false,
}: {
  readonly model: Model
  readonly isPage?: boolean
}) {
  const mayWrite = useMay('models:write')
  const mayDeploy = useMay('deployments:write')
  const client = useClient()
  const refresh = useRefresh()
  const navigate = useNavigate()
  const toast = useToast()
  const [removing, setRemoving] = useState(false)
  const retry = useAction((api) => api.models.retry({ params: { model: model.id } }), {
    changes: ['models'],
    done: `${model.name} goes on.`,
  })
  const remove = async () => {
    await client.models.remove({ params: { model: model.id } })
    toast({ text: `${model.name} is removed.` })
    if (isPage) await navigate({ to: '/models' })
    await refresh('models')
  }
  const used = model.deployments.length > 0
  return (
    <div className="flex justify-end gap-1">
      {mayWrite && model.state === 'failed' && (
        <Button size="small" busy={retry.isPending} onClick={() => retry.mutate()}>
          <RotateCw aria-hidden="true" />
          Try again
        </Button>
      )}
      {mayDeploy && model.state === 'ready' && (
        <Button size={isPage ? 'normal' : 'small'} look={isPage ? 'primary' : 'plain'} asChild>
          <Link to="/deployments/new" search={{ model: model.id }}>
            Deploy
          </Link>
        </Button>
      )}
      {mayWrite && (
        <Button
          size={isPage ? 'normal' : 'small'}
          look={isPage ? 'plain' : 'quiet'}
          disabled={used}
          title={used ? `${plural(model.deployments.length, 'deployment')} use it` : undefined}
          aria-label={`Remove ${model.name}`}
          onClick={() => setRemoving(true)}
        >
          <Trash2 aria-hidden="true" />
        </Button>
      )}
      <Confirm
        open={removing}
        onOpenChange={setRemoving}
        title={`Remove ${model.name}`}
        verb="Remove"
        danger
        act={remove}
      >
        Its bytes are deleted here. Machines drop theirs when they need the room.
      </Confirm>
    </div>
  )
}
