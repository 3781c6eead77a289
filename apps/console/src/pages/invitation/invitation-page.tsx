import { invitationAcceptSchema } from '@deos/sdk'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Entrance } from '../../components/entrance.tsx'
import { NewPasswordField, TextField } from '../../components/field.tsx'
import { Form } from '../../components/form.tsx'
import { Problem } from '../../components/problem.tsx'
import { useForm } from '../../data/form.ts'
import { tokenOfFragment } from '../../data/fragment.ts'
import { openClient, useSession } from '../../data/session.tsx'
import type { BodyOf } from '../../data/types.ts'
import { useEntry } from '../../data/use-entry.ts'

/** Accepts an invitation, with the account one has or with a new one. */
export function InvitationPage() {
  const { session } = useSession()
  const [token] = useState(tokenOfFragment)
  const { values, field, send } = useForm({ name: '', password: '' })
  const user = session?.user ?? null
  const accept = useEntry((body: BodyOf<typeof openClient.session.acceptInvitation>) =>
    openClient.session.acceptInvitation({ body }),
  )
  if (token === null) {
    return (
      <Entrance
        title="This link is not whole"
        about="Its end, from # on, is missing. Copy all of it from the message you got."
      >
        <p className="text-sm text-ink-2">
          If it still does not work, ask for a new invitation: each works once, and for some days.
        </p>
      </Entrance>
    )
  }
  const submit = () => send(invitationAcceptSchema, { token, account: user === null ? values : null }, accept)
  return (
    <Entrance
      title="Join the organisation"
      about={
        user === null
          ? 'Choose a name and a password for your new account.'
          : `You are signed in as ${user.email}.`
      }
    >
      <Form onSubmit={submit}>
        {user === null && (
          <>
            <TextField label="Your name" autoComplete="name" autoFocus {...field('name', 'account.name')} />
            <NewPasswordField {...field('password', 'account.password')} />
          </>
        )}
        {accept.error !== null && <Problem error={accept.error} />}
        <Button type="submit" look="primary" busy={accept.isPending}>
          {user === null ? 'Create the account and join' : 'Join'}
        </Button>
        {user === null && (
          <p className="text-xs text-ink-3">
            Have you an account already?{' '}
            <a className="text-accent underline" href="/sign-in">
              Sign in
            </a>{' '}
            first, then open the link again.
          </p>
        )}
      </Form>
    </Entrance>
  )
}
