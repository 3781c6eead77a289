import { invitationAcceptSchema } from '@deos/sdk'
import { useMutation } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { Entrance } from '../../components/entrance.tsx'
import { Field, Input } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../../data/form.ts'
import { tokenOfFragment } from '../../data/fragment.ts'
import { openClient, useSession } from '../../data/session.tsx'

/** Accepts an invitation, with the account one has or with a new one. */
export function InvitationPage() {
  const { session, renew } = useSession()
  const navigate = useNavigate()
  const [token] = useState(tokenOfFragment)
  const { values, set, errors, setErrors } = useForm({ name: '', password: '' })
  const user = session?.user ?? null
  const body = { token: token ?? '', account: user === null ? values : null }
  const accept = useMutation({
    mutationFn: () => openClient.session.acceptInvitation({ body }),
    onSuccess: async (accepted) => {
      await renew(accepted)
      await navigate({ to: '/', replace: true })
    },
    onError: (error) => setErrors(serverErrorsOf(error)),
  })
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
  const submit = () => {
    const wrong = errorsOf(invitationAcceptSchema, body)
    setErrors(wrong)
    if (Object.keys(wrong).length === 0) accept.mutate()
  }
  return (
    <Entrance
      title="Join the organisation"
      about={
        user === null
          ? 'Choose a name and a password for your new account.'
          : `You are signed in as ${user.email}.`
      }
    >
      <form
        noValidate
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        {user === null && (
          <>
            <Field label="Your name" error={errors['account.name']}>
              <Input
                autoComplete="name"
                autoFocus
                value={values.name}
                onChange={(event) => set('name', event.target.value)}
              />
            </Field>
            <Field label="Password" hint="At least ten characters." error={errors['account.password']}>
              <Input
                type="password"
                autoComplete="new-password"
                value={values.password}
                onChange={(event) => set('password', event.target.value)}
              />
            </Field>
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
      </form>
    </Entrance>
  )
}
