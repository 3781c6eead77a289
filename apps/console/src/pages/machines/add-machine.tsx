import { joinTokenCreateSchema } from '@deos/sdk'
import { Button } from '../../components/button.tsx'
import { CommandLine } from '../../components/code.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { Field, Input, Select } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { Time } from '../../components/time.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../../data/form.ts'
import type { JoinTokenCreated } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'

const initial = { name: 'New machine', region: '', provider: '', maxMachines: '1', validHours: '24' }

interface AddMachineProps {
  readonly open: boolean
  readonly onOpenChange: (open: boolean) => void
}

/** Creates a join token and shows, once, the line that uses it. */
export function AddMachine({ open, onOpenChange }: AddMachineProps) {
  const { values, set, setValues, errors, setErrors } = useForm(initial)
  const located = values.region !== '' || values.provider !== ''
  const body = {
    name: values.name,
    location: located ? { region: values.region, provider: values.provider } : null,
    maxMachines: values.maxMachines === '' ? null : Number(values.maxMachines),
    validHours: Number(values.validHours),
  }
  const create = useAction(
    (client, _input: undefined, idempotencyKey): Promise<JoinTokenCreated> =>
      client.joinTokens.create({ body, idempotencyKey }),
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
  const submit = () => {
    const wrong = errorsOf(joinTokenCreateSchema, body)
    setErrors(wrong)
    if (Object.keys(wrong).length > 0) return
    create.mutate(undefined, { onError: (error) => setErrors(serverErrorsOf(error)) })
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
        <form
          noValidate
          className="flex flex-col gap-4"
          onSubmit={(event) => {
            event.preventDefault()
            submit()
          }}
        >
          <Field label="Name of the token" hint="For you, in the list of tokens." error={errors.name}>
            <Input value={values.name} onChange={(event) => set('name', event.target.value)} />
          </Field>
          <div className="grid gap-4 sm:grid-cols-2">
            <Field label="Region" hint="Such as eu-north; may stay empty." error={errors['location.region']}>
              <Input value={values.region} onChange={(event) => set('region', event.target.value)} />
            </Field>
            <Field label="Provider" hint="Such as own-rack." error={errors['location.provider']}>
              <Input value={values.provider} onChange={(event) => set('provider', event.target.value)} />
            </Field>
            <Field
              label="Machines"
              hint="How many may join with it; empty is any number."
              error={errors.maxMachines}
            >
              <Input
                inputMode="numeric"
                value={values.maxMachines}
                onChange={(event) => set('maxMachines', event.target.value)}
              />
            </Field>
            <Field label="Valid for" error={errors.validHours}>
              <Select
                options={[
                  ['1', 'one hour'],
                  ['24', 'a day'],
                  ['168', 'a week'],
                  ['720', '30 days'],
                ]}
                value={values.validHours}
                onValue={(value) => set('validHours', value)}
              />
            </Field>
          </div>
          {create.error !== null && <Problem error={create.error} />}
          <DialogActions>
            <Button onClick={() => change(false)}>Cancel</Button>
            <Button type="submit" look="primary" busy={create.isPending}>
              Create the token
            </Button>
          </DialogActions>
        </form>
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
