import { machineUpdateSchema } from '@deos/sdk'
import { Pencil } from 'lucide-react'
import { DialogButton } from '../../components/dialog-button.tsx'
import { TextField } from '../../components/field.tsx'
import { DialogForm, FieldGrid } from '../../components/form.tsx'
import { type FieldErrors, useForm } from '../../data/form.ts'
import { useSettings } from '../../data/lists.ts'
import { useMay } from '../../data/session.tsx'
import type { BodyOf, Client, Machine } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { moneyText, parseMoney } from '../../format/money.ts'

/** Changes a machine's name, location and price. */
export function EditMachine({ machine }: { readonly machine: Machine }) {
  if (!useMay('machines:write')) return null
  return (
    <DialogButton
      title={`Edit ${machine.name}`}
      shows={
        <>
          <Pencil aria-hidden="true" />
          Edit
        </>
      }
    >
      {(close) => <EditForm machine={machine} close={close} />}
    </DialogButton>
  )
}

function EditForm({ machine, close }: { readonly machine: Machine; readonly close: () => void }) {
  const currency = useSettings().data?.currency ?? machine.pricePerHour?.currency ?? 'USD'
  const { values, field, send } = useForm({
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
  const save = useAction(
    (client, changes: BodyOf<Client['machines']['update']>) =>
      client.machines.update({ params: { machine: machine.id }, body: changes }),
    { changes: ['machines'], done: 'Saved.', quiet: true, onDone: close },
  )
  const wrongPrice: FieldErrors =
    values.price !== '' && price === null ? { pricePerHour: 'Must be an amount such as 0.45.' } : {}
  return (
    <DialogForm
      close={close}
      verb="Save"
      sending={save}
      onSubmit={() => send(machineUpdateSchema, body, save, wrongPrice)}
    >
      <TextField label="Name" {...field('name')} />
      <FieldGrid>
        <TextField label="Region" {...field('region', 'location.region')} />
        <TextField label="Provider" {...field('provider', 'location.provider')} />
      </FieldGrid>
      <TextField
        label={`Price an hour, in ${currency}`}
        hint="Empty if none is known."
        inputMode="decimal"
        {...field('price', 'pricePerHour')}
      />
    </DialogForm>
  )
}
