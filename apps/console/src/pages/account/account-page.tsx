import { passwordChangeSchema } from '@deos/sdk'
import { Button } from '../../components/button.tsx'
import { Card, Facts } from '../../components/card.tsx'
import { Field, Input } from '../../components/field.tsx'
import { Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { Time } from '../../components/time.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../../data/form.ts'
import { openClient, useSession } from '../../data/session.tsx'
import { useAction } from '../../data/use-action.ts'

export function AccountPage() {
  const { session } = useSession()
  return (
    <Page title="Account" about="Yours, in all organisations.">
      <div className="grid items-start gap-4 lg:grid-cols-2">
        <Card title="You">
          <Facts
            facts={[
              ['Name', session?.user?.name],
              ['E-mail', session?.user?.email],
              ['Signed in until', <Time key="end" at={session?.expiresAt ?? null} />],
              [
                'Member of',
                session?.memberships
                  .map(({ organisation, role }) => `${organisation.name} (${role})`)
                  .join(', '),
              ],
            ]}
          />
        </Card>
        <Password />
      </div>
    </Page>
  )
}

function Password() {
  const empty = { current: '', next: '' }
  const { values, set, setValues, errors, setErrors } = useForm(empty)
  const change = useAction(() => openClient.session.changePassword({ body: values }), {
    done: 'The password is changed. Other sessions have ended.',
    quiet: true,
    onDone: () => setValues(empty),
  })
  const submit = () => {
    const wrong = errorsOf(passwordChangeSchema, values)
    setErrors(wrong)
    if (Object.keys(wrong).length === 0)
      change.mutate(undefined, { onError: (error) => setErrors(serverErrorsOf(error)) })
  }
  return (
    <Card title="Password" about="Changing it ends your other sessions.">
      <form
        noValidate
        className="flex max-w-sm flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        <Field label="Current password" error={errors.current}>
          <Input
            type="password"
            autoComplete="current-password"
            value={values.current}
            onChange={(event) => set('current', event.target.value)}
          />
        </Field>
        <Field label="New password" hint="At least ten characters." error={errors.next}>
          <Input
            type="password"
            autoComplete="new-password"
            value={values.next}
            onChange={(event) => set('next', event.target.value)}
          />
        </Field>
        {change.error !== null && <Problem error={change.error} />}
        <Button type="submit" look="primary" busy={change.isPending} className="self-start">
          Change password
        </Button>
      </form>
    </Card>
  )
}
