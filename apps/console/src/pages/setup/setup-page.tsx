import { setupSchema } from '@deos/sdk'
import { useMutation } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { CommandLine } from '../../components/code.tsx'
import { Entrance } from '../../components/entrance.tsx'
import { Field, Input } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { Redirect } from '../../components/redirect.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../../data/form.ts'
import { tokenOfFragment } from '../../data/fragment.ts'
import { openClient, useSession } from '../../data/session.tsx'

/** Makes the first owner, by the link that the first start prints. */
export function SetupPage() {
  const { session, renew } = useSession()
  const navigate = useNavigate()
  const [token] = useState(tokenOfFragment)
  const { values, set, errors, setErrors } = useForm({ name: '', email: '', password: '', organisation: '' })
  const body = { ...values, token: token ?? '' }
  const setUp = useMutation({
    mutationFn: () => openClient.session.setUp({ body }),
    onSuccess: async (made) => {
      await renew(made)
      await navigate({ to: '/', replace: true })
    },
    onError: (error) => setErrors(serverErrorsOf(error)),
  })
  if (session !== null && !session.setupNeeded && !setUp.isSuccess) return <Redirect to="/" />
  if (token === null) {
    return (
      <Entrance
        title="Almost there"
        about="Open the link that the first start printed into its terminal; it makes you the owner."
      >
        <p className="mb-3 text-sm text-ink-2">
          Is the terminal gone? A restart prints the link again until it has been used:
        </p>
        <CommandLine command="npm start" />
      </Entrance>
    )
  }
  const submit = () => {
    const wrong = errorsOf(setupSchema, body)
    setErrors(wrong)
    if (Object.keys(wrong).length === 0) setUp.mutate()
  }
  return (
    <Entrance title="Set up DeOS" about="You become the owner. Others can be invited later.">
      <form
        noValidate
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        <Field label="Your name" error={errors.name}>
          <Input
            autoComplete="name"
            autoFocus
            value={values.name}
            onChange={(event) => set('name', event.target.value)}
          />
        </Field>
        <Field label="E-mail" error={errors.email}>
          <Input
            type="email"
            autoComplete="username"
            value={values.email}
            onChange={(event) => set('email', event.target.value)}
          />
        </Field>
        <Field label="Password" hint="At least ten characters." error={errors.password}>
          <Input
            type="password"
            autoComplete="new-password"
            value={values.password}
            onChange={(event) => set('password', event.target.value)}
          />
        </Field>
        <Field label="Organisation" hint="Its name can be changed later." error={errors.organisation}>
          <Input
            autoComplete="organization"
            value={values.organisation}
            onChange={(event) => set('organisation', event.target.value)}
          />
        </Field>
        {errors.token !== undefined && (
          <p className="text-xs text-bad">The link is not whole. {errors.token}</p>
        )}
        {setUp.error !== null && <Problem error={setUp.error} />}
        <Button type="submit" look="primary" busy={setUp.isPending}>
          Create the owner account
        </Button>
      </form>
    </Entrance>
  )
}
