import { organisationCreateSchema } from '@deos/sdk'
import { Button } from '../components/button.tsx'
import { Dialog, DialogActions } from '../components/dialog.tsx'
import { Field, Input } from '../components/field.tsx'
import { Problem } from '../components/problem.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../data/form.ts'
import { openClient, useSession } from '../data/session.tsx'
import { useAction } from '../data/use-action.ts'

/** A name as addresses write it. */
export const slugOf = (name: string): string =>
  name
    .toLowerCase()
    .normalize('NFKD')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63)
    .replace(/-+$/, '')

export function CreateOrganisation({
  open,
  onOpenChange,
}: {
  readonly open: boolean
  readonly onOpenChange: (open: boolean) => void
}) {
  const { renew, chooseOrganisation } = useSession()
  const { values, set, errors, setErrors } = useForm({ name: '', slug: '' })
  const body = { name: values.name, slug: values.slug || slugOf(values.name) }
  const create = useAction(
    (_client, _input: undefined, idempotencyKey) => openClient.organisations.create({ body, idempotencyKey }),
    {
      quiet: true,
      done: 'The organisation is there.',
      onDone: ({ id }) => {
        onOpenChange(false)
        void renew(null).then(() => chooseOrganisation(id))
      },
    },
  )
  const submit = () => {
    const wrong = errorsOf(organisationCreateSchema, body)
    setErrors(wrong)
    if (Object.keys(wrong).length > 0) return
    create.mutate(undefined, { onError: (error) => setErrors(serverErrorsOf(error)) })
  }
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title="Found an organisation"
      about="It has machines, models, people and money of its own."
    >
      <form
        noValidate
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        <Field label="Name" error={errors.name}>
          <Input value={values.name} autoFocus onChange={(event) => set('name', event.target.value)} />
        </Field>
        <Field
          label="Short name"
          hint="In addresses and commands; cannot be changed later."
          error={errors.slug}
        >
          <Input value={body.slug} onChange={(event) => set('slug', event.target.value)} />
        </Field>
        {create.error !== null && <Problem error={create.error} />}
        <DialogActions>
          <Button onClick={() => onOpenChange(false)}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.isPending}>
            Found it
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
