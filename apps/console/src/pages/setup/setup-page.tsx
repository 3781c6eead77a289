import { setupSchema } from '@deos/sdk'
import { useState } from 'react'
import { Button } from '../../components/button.tsx'
import { CommandLine } from '../../components/code.tsx'
import { Entrance } from '../../components/entrance.tsx'
import { NewPasswordField, TextField } from '../../components/field.tsx'
import { Form } from '../../components/form.tsx'
import { Problem } from '../../components/problem.tsx'
import { Redirect } from '../../components/redirect.tsx'
import { useForm } from '../../data/form.ts'
import { tokenOfFragment } from '../../data/fragment.ts'
import { openClient, useSession } from '../../data/session.tsx'
import type { BodyOf } from '../../data/types.ts'
import { useEntry } from '../../data/use-entry.ts'

/** Makes the first owner, by the link that the first start prints. */
export function SetupPage() {
  const { session } = useSession()
  const [token] = useState(tokenOfFragment)
  const { values, field, send, errors } = useForm({ name: '', email: '', password: '', organisation: '' })
  const setUp = useEntry((body: BodyOf<typeof openClient.session.setUp>) =>
    openClient.session.setUp({ body }),
  )
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
  return (
    <Entrance title="Set up DeOS" about="You become the owner. Others can be invited later.">
      <Form onSubmit={() => send(setupSchema, { ...values, token }, setUp)}>
        <TextField label="Your name" autoComplete="name" autoFocus {...field('name')} />
        <TextField label="E-mail" type="email" autoComplete="username" {...field('email')} />
        <NewPasswordField {...field('password')} />
        <TextField
          label="Organisation"
          hint="Its name can be changed later."
          autoComplete="organization"
          {...field('organisation')}
        />
        {errors.token !== undefined && (
          <p className="text-xs text-bad">The link is not whole. {errors.token}</p>
        )}
        {setUp.error !== null && <Problem error={setUp.error} />}
        <Button type="submit" look="primary" busy={setUp.isPending}>
          Create the owner account
        </Button>
      </Form>
    </Entrance>
  )
}
