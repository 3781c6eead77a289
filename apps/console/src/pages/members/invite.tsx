import { invitationCreateSchema, mayGrantRole, type Role, roles } from '@deos/sdk'
import { Button } from '../../components/button.tsx'
import { ShownOnce } from '../../components/code.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { SelectField, TextField } from '../../components/field.tsx'
import { DialogForm } from '../../components/form.tsx'
import { useForm } from '../../data/form.ts'
import { useSession } from '../../data/session.tsx'
import type { BodyOf, Client, InvitationCreated } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { roleHints } from './members-page.tsx'

interface InviteProps {
  readonly open: boolean
  readonly onOpenChange: (open: boolean) => void
}

export function Invite({ open, onOpenChange }: InviteProps) {
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title="Invite a person"
      about="You get a link to pass on; no e-mail is sent."
    >
      <InviteForm close={() => onOpenChange(false)} />
    </Dialog>
  )
}

function InviteForm({ close }: { readonly close: () => void }) {
  const { role } = useSession()
  const { values, field, send } = useForm({ email: '', role: 'developer' as Role, validDays: '7' })
  const invite = useAction(
    (client, body: BodyOf<Client['invitations']['create']>, idempotencyKey): Promise<InvitationCreated> =>
      client.invitations.create({ body, idempotencyKey }),
    { quiet: true, changes: ['invitations'] },
  )
  if (invite.data !== undefined) return <Invited link={invite.data.link} email={values.email} close={close} />
  const body = { ...values, validDays: Number(values.validDays) }
  return (
    <DialogForm
      close={close}
      verb="Create the link"
      sending={invite}
      onSubmit={() => send(invitationCreateSchema, body, invite)}
    >
      <TextField label="E-mail" type="email" autoFocus {...field('email')} />
      <SelectField
        label="Role"
        hint={roleHints[values.role]}
        options={roles
          .filter((each) => role !== null && mayGrantRole(role, each))
          .map((each) => [each, each] as const)}
        {...field('role')}
      />
      <SelectField
        label="Valid for"
        options={[
          ['1', 'a day'],
          ['7', 'a week'],
          ['30', '30 days'],
        ]}
        {...field('validDays')}
      />
    </DialogForm>
  )
}

function Invited({
  link,
  email,
  close,
}: {
  readonly link: string
  readonly email: string
  readonly close: () => void
}) {
  return (
    <div className="flex flex-col gap-4 text-sm">
      <p>Send this link to {email}. It works once, and is shown only now.</p>
      <ShownOnce text={link} label="Copy the link" />
      <DialogActions>
        <Button look="primary" onClick={close}>
          Done
        </Button>
      </DialogActions>
    </div>
  )
}
