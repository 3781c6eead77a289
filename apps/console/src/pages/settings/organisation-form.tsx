import { organisationUpdateSchema } from '@deos/sdk'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { TextField } from '../../components/field.tsx'
import { Form } from '../../components/form.tsx'
import { useForm } from '../../data/form.ts'
import { useMay, useSession } from '../../data/session.tsx'
import type { BodyOf, Client } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'

/** Renames an organisation, or closes it. */
export function OrganisationForm() {
  const { organisation, client, renew } = useSession()
  const mayRename = useMay('organisation:write')
  const mayClose = useMay('organisation:delete')
  const [closing, setClosing] = useState(false)
  const { values, field, send } = useForm({ name: organisation?.name ?? '' })
  const rename = useAction(
    (api, body: BodyOf<Client['organisations']['update']>) =>
      api.organisations.update({ params: { organisation: organisation!.id }, body }),
    { done: 'Renamed.', onDone: () => void renew(null) },
  )
  if (!mayRename || organisation === null) return null
  const close = async () => {
    await client.organisations.remove({ params: { organisation: organisation.id } })
    await renew(null)
  }
  return (
    <Card title="Organisation">
      <Form
        className="flex flex-wrap items-end gap-3"
        onSubmit={() => send(organisationUpdateSchema, values, rename)}
      >
        <div className="w-full max-w-sm">
          <TextField label="Name" {...field('name')} />
        </div>
        <Button type="submit" busy={rename.isPending}>
          Rename
        </Button>
        {mayClose && (
          <Button className="text-bad! sm:ml-auto" onClick={() => setClosing(true)}>
            Close the organisation…
          </Button>
        )}
      </Form>
      <Confirm
        open={closing}
        onOpenChange={setClosing}
        title={`Close ${organisation.name}`}
        verb="Close it for good"
        danger
        act={close}
      >
        Only an organisation that has neither machines nor deployments left can be closed. This cannot be
        undone.
      </Confirm>
    </Card>
  )
}
