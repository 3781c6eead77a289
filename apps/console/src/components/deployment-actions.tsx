import { scaleSchema } from '@deos/sdk'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useRefresh } from '../data/query.ts'
import { useClient, useMay } from '../data/session.tsx'
import type { Deployment } from '../data/types.ts'
import { useAction } from '../data/use-action.ts'
import { plural } from '../format/numbers.ts'
import { Confirm, type Confirmed } from './confirm.tsx'
import { Dialog } from './dialog.tsx'
import { TextField } from './field.tsx'
import { DialogForm } from './form.tsx'
import { ActionMenu, MenuItem, MenuSeparator } from './menu.tsx'
import { useToast } from './toast.tsx'

interface DeploymentActionsProps {
  readonly deployment: Deployment
  readonly isPage?: boolean
}

export function DeploymentActions({ deployment, isPage = false }: DeploymentActionsProps) {
  const may = useMay('deployments:write')
  const client = useClient()
  const refresh = useRefresh()
  const toast = useToast()
  const navigate = useNavigate()
  const [open, setOpen] = useState<'scale' | 'pause' | 'remove' | null>(null)
  const params = { deployment: deployment.id }
  const resume = useAction((api) => api.deployments.resume({ params }), {
    changes: ['deployments'],
    done: `${deployment.name} starts again.`,
  })
  if (!may) return null

  const close = (next: boolean) => {
    if (!next) setOpen(null)
  }
  const pause = async ({ reason }: Confirmed) => {
    await client.deployments.pause({ params, body: reason === undefined ? {} : { reason } })
    toast({ text: `${deployment.name} is being paused.` })
    await refresh('deployments')
  }
  const remove = async ({ reason }: Confirmed) => {
    await client.deployments.remove({ params, query: reason === undefined ? {} : { reason } })
    toast({ text: `${deployment.name} is being removed.` })
    if (isPage) await navigate({ to: '/deployments' })
    await refresh('deployments')
  }
  const removing = deployment.state === 'removing'
  return (
    <>
      <ActionMenu name={deployment.name} isPage={isPage}>
        <MenuItem disabled={removing} onSelect={() => setOpen('scale')}>
          Scale…
        </MenuItem>
        {deployment.state === 'paused' ? (
          <MenuItem onSelect={() => resume.mutate()}>Resume</MenuItem>
        ) : (
          <MenuItem disabled={removing} onSelect={() => setOpen('pause')}>
            Pause…
          </MenuItem>
        )}
        <MenuSeparator />
        <MenuItem danger disabled={removing} onSelect={() => setOpen('remove')}>
          Remove…
        </MenuItem>
      </ActionMenu>
      <Dialog
        open={open === 'scale'}
        onOpenChange={close}
        title={`Scale ${deployment.name}`}
        about={`Between ${deployment.spec.replicas.min} and ${plural(deployment.spec.replicas.max, 'replica')}, as its revision allows.`}
      >
        <ScaleForm deployment={deployment} close={() => setOpen(null)} />
      </Dialog>
      <Confirm
        open={open === 'pause'}
        onOpenChange={close}
        title={`Pause ${deployment.name}`}
        verb="Pause"
        asksReason
        act={pause}
      >
        Sessions finish, then the machines are free. Requests are refused until it is resumed.
      </Confirm>
      <Confirm
        open={open === 'remove'}
        onOpenChange={close}
        title={`Remove ${deployment.name}`}
        verb="Remove"
        danger
        asksReason
        act={remove}
      >
        Sessions finish, then it is gone for good, with its revisions. The model stays.
      </Confirm>
    </>
  )
}

function ScaleForm({ deployment, close }: { readonly deployment: Deployment; readonly close: () => void }) {
  const [text, setText] = useState(String(deployment.replicas.wanted))
  const replicas = Number(text)
  const { min, max } = deployment.spec.replicas
  const fits =
    text.trim() !== '' && scaleSchema.safeParse({ replicas }).success && replicas >= min && replicas <= max
  const scale = useAction(
    (client) => client.deployments.scale({ params: { deployment: deployment.id }, body: { replicas } }),
    {
      changes: ['deployments'],
      done: `${deployment.name} is scaled to ${plural(replicas, 'replica')}.`,
      quiet: true,
      onDone: close,
    },
  )
  return (
    <DialogForm
      close={close}
      verb="Scale"
      disabled={!fits}
      sending={scale}
      onSubmit={() => {
        if (fits) scale.mutate()
      }}
    >
      <TextField
        label="Replicas"
        error={fits ? undefined : `Must be a whole number from ${min} to ${max}.`}
        type="number"
        min={min}
        max={max}
        value={text}
        onValue={setText}
      />
    </DialogForm>
  )
}
