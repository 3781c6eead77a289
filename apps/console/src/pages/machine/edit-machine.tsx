import { machineUpdateSchema } from '@deos/sdk'
import { Pencil } from 'lucide-react'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { Field, Input } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../../data/form.ts'
import { useSettings } from '../../data/lists.ts'
import { useMay } from '../../data/session.tsx'
import type { Machine } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { moneyText, parseMoney } from '../../format/money.ts'

/** Changes a machine's name, location and price. */
export function EditMachine({ machine }: { readonly machine: Machine }) {
  const [open, setOpen] = useState(false)
  if (!useMay('machines:write')) return null
  return (
    <>
      <Button onClick={() => setOpen(true)}>
        <Pencil aria-hidden="true" />
        Edit
      </Button>
      <Dialog open={open} onOpenChange={setOpen} title={`Edit ${machine.name}`}>
        <EditForm machine={machine} close={() => setOpen(false)} />
      </Dialog>
    </>
  )
}

function EditForm({ machine, close }: { readonly machine: Machine; readonly close: () => void }) {
  const currency = useSettings().data?.currency ?? machine.pricePerHour?.currency ?? 'USD'
  const { values, set, errors, setErrors } = useForm({
    name: machine.name,
    region: machine.location.region,
    provider: machine.location.provider,
    price: machine.pricePerHour === null ? '' : moneyText(machine.pricePerHour),
  })
  const price = values.price === '' ? null : parseMoney(values.price, currency)
  const body = {
    name: values.name,
    location: { region: values.region, provider: values.provider },
    pricePerHour: price,
  }
  const save = useAction((client) => client.machines.update({ params: { machine: machine.id }, body }), {
    changes: ['machines'],
    done: 'Saved.',
    quiet: true,
    onDone: close,
  })
  const submit = () => {
    const wrong = {
      ...errorsOf(machineUpdateSchema, body),
      ...(values.price !== '' && price === null && { pricePerHour: 'Must be an amount such as 0.45.' }),
    }
    setErrors(wrong)
    if (Object.keys(wrong).length === 0)
      save.mutate(undefined, { onError: (error) => setErrors(serverErrorsOf(error)) })
  }
  return (
    <form
      noValidate
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <Field label="Name" error={errors.name}>
        <Input value={values.name} onChange={(event) => set('name', event.target.value)} />
      </Field>
      <div className="grid gap-4 sm:grid-cols-2">
        <Field label="Region" error={errors['location.region']}>
          <Input value={values.region} onChange={(event) => set('region', event.target.value)} />
        </Field>
        <Field label="Provider" error={errors['location.provider']}>
          <Input value={values.provider} onChange={(event) => set('provider', event.target.value)} />
        </Field>
      </div>
      <Field
        label={`Price an hour, in ${currency}`}
        hint="Empty if none is known."
        error={errors.pricePerHour}
      >
        <Input
          inputMode="decimal"
          value={values.price}
          onChange={(event) => set('price', event.target.value)}
        />
      </Field>
      {save.error !== null && <Problem error={save.error} />}
      <DialogActions>
        <Button onClick={close}>Cancel</Button>
        <Button type="submit" look="primary" busy={save.isPending}>
          Save
        </Button>
      </DialogActions>
    </form>
  )
}
