import { joinTokenCreateSchema } from '@deos/sdk'
import { Button } from '../../components/button.tsx'
import { CommandLine } from '../../components/code.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { SelectField, TextField } from '../../components/field.tsx'
import { DialogForm, FieldGrid } from '../../components/form.tsx'
import { Time } from '../../components/time.tsx'
import { useForm } from '../../data/form.ts'
import type { BodyOf, Client, JoinTokenCreated } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'

const initial = { name: 'New machine', region: '', provider: '', maxMachines: '1', validHours: '24' }

interface AddMachineProps {
  readonly open: boolean
  readonly onOpenChange: (open: boolean) => void
}

/** Creates a join token and shows, once, the line that uses it. */
export function AddMachine({ open, onOpenChange }: AddMachineProps) {
  const { values, field, send, setValues, setErrors } = useForm(initial)
  const located = values.region !== '' || values.provider !== ''
  const body = {
    name: values.name,
    location: located ? { region: values.region, provider: values.provider } : null,
    maxMachines: values.maxMachines === '' ? null : Number(values.maxMachines),
    validHours: Number(values.validHours),
  }
  const create = useAction(
    (client, wish: BodyOf<Client['joinTokens']['create']>, idempotencyKey): Promise<JoinTokenCreated> =>
      client.joinTokens.create({ body: wish, idempotencyKey }),
    { quiet: true, changes: ['join-tokens'] },
  )
  const change = (next: boolean) => {
    if (!next) {
      create.reset()
      setValues(initial)
      setErrors({})
    }
    onOpenChange(next)
  }
  return (
    <Dialog
      open={open}
      onOpenChange={change}
      title="Add a machine"
      about="It joins with a token, is measured for some seconds, and then takes stages."
    >
      {create.data !== undefined ? (
        <Created created={create.data} close={() => change(false)} />
      ) : (
        <DialogForm
          close={() => change(false)}
          verb="Create the token"
          sending={create}
          onSubmit={() => send(joinTokenCreateSchema, body, create)}
        >
          <TextField label="Name of the token" hint="For you, in the list of tokens." {...field('name')} />
          <FieldGrid>
            <TextField
              label="Region"
              hint="Such as eu-north; may stay empty."
              {...field('region', 'location.region')}
            />
            <TextField
              label="Provider"
              hint="Such as own-rack."
              {...field('provider', 'location.provider')}
            />
            <TextField
              label="Machines"
              hint="How many may join with it; empty is any number."
              inputMode="numeric"
              {...field('maxMachines')}
            />
            <SelectField
              label="Valid for"
              options={[
                ['1', 'one hour'],
                ['24', 'a day'],
                ['168', 'a week'],
                ['720', '30 days'],
              ]}
              {...field('validHours')}
            />
          </FieldGrid>
        </DialogForm>
      )}
    </Dialog>
  )
}

function Created({ created, close }: { readonly created: JoinTokenCreated; readonly close: () => void }) {
  return (
    <div className="flex flex-col gap-4 text-sm">
      <p>Paste this line into a terminal of the machine. It holds the token, which is shown only now.</p>
      <CommandLine command={created.command} />
      <p className="text-ink-3">
        It works until <Time at={created.joinToken.expiresAt} />. The machine appears in the list as soon as
        it has joined.
      </p>
      <DialogActions>
        <Button look="primary" onClick={close}>
          Done
        </Button>
      </DialogActions>
    </div>
  )
}
