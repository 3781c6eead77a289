import { passwordChangeSchema } from '@deos/sdk'
import { Button } from '../../components/button.tsx'
import { Card, Facts } from '../../components/card.tsx'
import { NewPasswordField, TextField } from '../../components/field.tsx'
import { Form } from '../../components/form.tsx'
import { Page } from '../../components/page.tsx'
import { Problem } from '../../components/problem.tsx'
import { Time } from '../../components/time.tsx'
import { useForm } from '../../data/form.ts'
import { openClient, useSession } from '../../data/session.tsx'
import type { BodyOf } from '../../data/types.ts'
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
  const { values, field, send, setValues } = useForm(empty)
  const change = useAction(
    (_client, body: BodyOf<typeof openClient.session.changePassword>) =>
      openClient.session.changePassword({ body }),
    {
      done: 'The password is changed. Other sessions have ended.',
      quiet: true,
      onDone: () => setValues(empty),
    },
  )
  return (
    <Card title="Password" about="Changing it ends your other sessions.">
      <Form
        className="flex max-w-sm flex-col gap-4"
        onSubmit={() => send(passwordChangeSchema, values, change)}
      >
        <TextField
          label="Current password"
          type="password"
          autoComplete="current-password"
          {...field('current')}
        />
        <NewPasswordField label="New password" {...field('next')} />
        {change.error !== null && <Problem error={change.error} />}
        <Button type="submit" look="primary" busy={change.isPending} className="self-start">
          Change password
        </Button>
      </Form>
    </Card>
  )
}
