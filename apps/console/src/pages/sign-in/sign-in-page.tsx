import { signInSchema } from '@deos/sdk'
import { useMutation } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Button } from '../../components/button.tsx'
import { Entrance } from '../../components/entrance.tsx'
import { Field, Input } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { Redirect } from '../../components/redirect.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../../data/form.ts'
import { openClient, useSession } from '../../data/session.tsx'

const route = getRouteApi('/sign-in')

export function SignInPage() {
  const { session, error: sessionError, retry, renew } = useSession()
  const { to = '/' } = route.useSearch()
  const { values, set, errors, setErrors } = useForm({ email: '', password: '' })
  const signIn = useMutation({
    mutationFn: () => openClient.session.signIn({ body: values }),
    onSuccess: renew,
    onError: (error) => setErrors(serverErrorsOf(error)),
  })
  if (session?.setupNeeded) return <Redirect to="/setup" />
  if (session?.user) return <Redirect to={to} />
  const submit = () => {
    const wrong = errorsOf(signInSchema, values)
    setErrors(wrong)
    if (Object.keys(wrong).length === 0) signIn.mutate()
  }
  return (
    <Entrance title="Sign in" about="With the account that you made by a set-up or invitation link.">
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
            autoComplete="username"
            autoFocus
            value={values.email}
            onChange={(event) => set('email', event.target.value)}
          />
        </Field>
        <Field label="Password" error={errors.password}>
          <Input
            type="password"
            autoComplete="current-password"
            value={values.password}
            onChange={(event) => set('password', event.target.value)}
          />
        </Field>
        {signIn.error !== null && <Problem error={signIn.error} />}
        {session === null && sessionError !== null && <Problem error={sessionError} retry={retry} />}
        <Button type="submit" look="primary" busy={signIn.isPending}>
          Sign in
        </Button>
      </form>
    </Entrance>
  )
}
