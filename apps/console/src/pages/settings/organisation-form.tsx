import { organisationUpdateSchema } from '@deos/sdk'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Field, Input } from '../../components/field.tsx'
import { errorsOf, useForm } from '../../data/form.ts'
import { useMay, useSession } from '../../data/session.tsx'
import { useAction } from '../../data/use-action.ts'

/** Renames an organisation, or closes it. */
export function OrganisationForm() {
  const { organisation, client, renew } = useSession()
  const mayRename = useMay('organisation:write')
  const mayClose = useMay('organisation:delete')
  const [closing, setClosing] = useState(false)
  const { values, set, errors, setErrors } = useForm({ name: organisation?.name ?? '' })
  const rename = useAction(
    (api) =>
      api.organisations.update({ params: { organisation: organisation!.id }, body: { name: values.name } }),
    { done: 'Renamed.', onDone: () => void renew(null) },
  )
  if (!mayRename || organisation === null) return null
  const submit = () => {
    const wrong = errorsOf(organisationUpdateSchema, { name: values.name })
    setErrors(wrong)
    if (Object.keys(wrong).length === 0) rename.mutate()
  }
  const close = async () => {
    await client.organisations.remove({ params: { organisation: organisation.id } })
    await renew(null)
  }
  return (
    <Card title="Organisation">
      <form
        noValidate
        className="flex flex-wrap items-end gap-3"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        <Field label="Name" error={errors.name} className="w-full max-w-sm">
          <Input value={values.name} onChange={(event) => set('name', event.target.value)} />
        </Field>
        <Button type="submit" busy={rename.isPending}>
          Rename
        </Button>
        {mayClose && (
          <Button className="text-bad sm:ml-auto" onClick={() => setClosing(true)}>
            Close the organisation…
          </Button>
        )}
      </form>
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
