import { organisationCreateSchema } from '@deos/sdk'
import { Dialog } from '../components/dialog.tsx'
import { TextField } from '../components/field.tsx'
import { DialogForm } from '../components/form.tsx'
import { useForm } from '../data/form.ts'
import { openClient, useSession } from '../data/session.tsx'
import type { BodyOf } from '../data/types.ts'
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
  const { values, field, send } = useForm({ name: '', slug: '' })
  const create = useAction(
    (_client, body: BodyOf<typeof openClient.organisations.create>, idempotencyKey) =>
      openClient.organisations.create({ body, idempotencyKey }),
    {
      quiet: true,
      done: 'The organisation is there.',
      onDone: ({ id }) => {
        onOpenChange(false)
        void renew(null).then(() => chooseOrganisation(id))
      },
    },
  )
  const slug = values.slug || slugOf(values.name)
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title="Found an organisation"
      about="It has machines, models, people and money of its own."
    >
      <DialogForm
        close={() => onOpenChange(false)}
        verb="Found it"
        sending={create}
        onSubmit={() => send(organisationCreateSchema, { name: values.name, slug }, create)}
      >
        <TextField label="Name" autoFocus {...field('name')} />
        <TextField
          label="Short name"
          hint="In addresses and commands; cannot be changed later."
          {...field('slug')}
          value={slug}
        />
      </DialogForm>
    </Dialog>
  )
}
