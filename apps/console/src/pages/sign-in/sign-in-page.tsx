import { signInSchema } from '@deos/sdk'
import { useMutation } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Button } from '../../components/button.tsx'
import { Entrance } from '../../components/entrance.tsx'
import { TextField } from '../../components/field.tsx'
import { Form } from '../../components/form.tsx'
import { Problem } from '../../components/problem.tsx'
import { Redirect } from '../../components/redirect.tsx'
import { useForm } from '../../data/form.ts'
import { openClient, useSession } from '../../data/session.tsx'
import type { BodyOf } from '../../data/types.ts'

const route = getRouteApi('/sign-in')

export function SignInPage() {
  const { session, error: sessionError, retry, renew } = useSession()
  const { to = '/' } = route.useSearch()
  const { values, field, send } = useForm({ email: '', password: '' })
  const signIn = useMutation({
    mutationFn: (body: BodyOf<typeof openClient.session.signIn>) => openClient.session.signIn({ body }),
    onSuccess: renew,
  })
  if (session?.setupNeeded) return <Redirect to="/setup" />
  if (session?.user) return <Redirect to={to} />
  return (
    <Entrance title="Sign in" about="With the account that you made by a set-up or invitation link.">
      <Form onSubmit={() => send(signInSchema, values, signIn)}>
        <TextField label="E-mail" type="email" autoComplete="username" autoFocus {...field('email')} />
        <TextField label="Password" type="password" autoComplete="current-password" {...field('password')} />
        {signIn.error !== null && <Problem error={signIn.error} />}
        {session === null && sessionError !== null && <Problem error={sessionError} retry={retry} />}
        <Button type="submit" look="primary" busy={signIn.isPending}>
          Sign in
        </Button>
      </Form>
    </Entrance>
  )
}
