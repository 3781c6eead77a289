import { invitationCreateSchema, mayGrantRole, type Role, roles } from '@deos/sdk'
import { Button } from '../../components/button.tsx'
import { CopyButton } from '../../components/code.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { Field, Input, Select } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../../data/form.ts'
import { useSession } from '../../data/session.tsx'
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
  const { values, set, errors, setErrors } = useForm({ email: '', role: 'developer' as Role, validDays: '7' })
  const body = { email: values.email, role: values.role, validDays: Number(values.validDays) }
  const invite = useAction(
    (client, _input: undefined, idempotencyKey) => client.invitations.create({ body, idempotencyKey }),
    { quiet: true, changes: ['invitations'] },
  )
  if (invite.data !== undefined) return <Invited link={invite.data.link} email={values.email} close={close} />
  const submit = () => {
    const wrong = errorsOf(invitationCreateSchema, body)
    setErrors(wrong)
    if (Object.keys(wrong).length === 0)
      invite.mutate(undefined, { onError: (error) => setErrors(serverErrorsOf(error)) })
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
      <Field label="E-mail" error={errors.email}>
        <Input
          type="email"
          autoFocus
          value={values.email}
          onChange={(event) => set('email', event.target.value)}
        />
      </Field>
      <Field label="Role" hint={roleHints[values.role]} error={errors.role}>
        <Select
          options={roles
            .filter((each) => role !== null && mayGrantRole(role, each))
            .map((each) => [each, each] as const)}
          value={values.role}
          onValue={(value) => set('role', value as Role)}
        />
      </Field>
      <Field label="Valid for" error={errors.validDays}>
        <Select
          options={[
            ['1', 'a day'],
            ['7', 'a week'],
            ['30', '30 days'],
          ]}
          value={values.validDays}
          onValue={(value) => set('validDays', value)}
        />
      </Field>
      {invite.error !== null && <Problem error={invite.error} />}
      <DialogActions>
        <Button onClick={close}>Cancel</Button>
        <Button type="submit" look="primary" busy={invite.isPending}>
          Create the link
        </Button>
      </DialogActions>
    </form>
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
      <div className="flex items-center gap-1 rounded-md border border-line bg-raised py-1 pr-1 pl-3">
        <code className="min-w-0 flex-1 font-mono text-xs leading-6 break-all">{link}</code>
        <CopyButton text={link} label="Copy the link" />
      </div>
      <DialogActions>
        <Button look="primary" onClick={close}>
          Done
        </Button>
      </DialogActions>
    </div>
  )
}
