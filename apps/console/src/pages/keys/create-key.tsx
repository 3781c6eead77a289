import { type KeyScope, keyCreateSchema, keyScopes, mayGrantScope } from '@deos/sdk'
import { BudgetFields, type BudgetText, budgetOf, budgetText } from '../../components/budget-fields.tsx'
import { Button } from '../../components/button.tsx'
import { CopyButton } from '../../components/code.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { Check, Field, Input, Select } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { errorsOf, serverErrorsOf, useForm } from '../../data/form.ts'
import { useProjects, useSettings } from '../../data/lists.ts'
import { useSession } from '../../data/session.tsx'
import type { ApiKeyCreated } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { SnippetTabs } from './snippets.tsx'

const scopeHints: Readonly<Record<KeyScope, string>> = {
  inference: 'Uses models through the gateway.',
  manage: 'Changes machines, models and deployments.',
  read: 'Looks at everything, changes nothing.',
}

interface KeyFields extends BudgetText {
  readonly name: string
  readonly scopes: readonly KeyScope[]
  readonly projectId: string
  readonly validDays: string
}

const initial: KeyFields = {
  name: '',
  scopes: ['inference'],
  projectId: '',
  validDays: '90',
  ...budgetText(null, null),
}
const dayMs = 86_400_000

interface CreateKeyProps {
  readonly open: boolean
  readonly onOpenChange: (open: boolean) => void
}

export function CreateKey({ open, onOpenChange }: CreateKeyProps) {
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      wide
      title="Create an API key"
      about="Its secret is shown once, and kept as a digest only."
    >
      <KeyForm close={() => onOpenChange(false)} />
    </Dialog>
  )
}

function KeyForm({ close }: { readonly close: () => void }) {
  const { role } = useSession()
  const projects = useProjects().items
  const currency = useSettings().data?.currency ?? 'USD'
  const { values, set, merge, errors, setErrors } = useForm(initial)
  const create = useAction(
    (
      client,
      body: Parameters<typeof client.keys.create>[0]['body'],
      idempotencyKey,
    ): Promise<ApiKeyCreated> => client.keys.create({ body, idempotencyKey }),
    { quiet: true, changes: ['keys'] },
  )
  if (create.data !== undefined) return <Created created={create.data} close={close} />
  const submit = () => {
    const { budget, rateLimit, errors: wrongBudget } = budgetOf(values, currency)
    const body = {
      name: values.name,
      scopes: [...values.scopes],
      ...(values.projectId !== '' && { projectId: values.projectId }),
      expiresAt:
        values.validDays === ''
          ? null
          : new Date(Date.now() + Number(values.validDays) * dayMs).toISOString(),
      budget,
      rateLimit,
    }
    const wrong = { ...errorsOf(keyCreateSchema, body), ...wrongBudget }
    setErrors(wrong)
    const parsed = keyCreateSchema.safeParse(body)
    if (parsed.success && Object.keys(wrong).length === 0) {
      create.mutate(parsed.data, { onError: (error) => setErrors(serverErrorsOf(error)) })
    }
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
      <Field label="Name" hint="What will use it." error={errors.name}>
        <Input autoFocus value={values.name} onChange={(event) => set('name', event.target.value)} />
      </Field>
      <fieldset className="flex flex-col gap-2">
        <legend className="mb-2 text-sm font-medium">It may</legend>
        {keyScopes.map((scope) => (
          <Check
            key={scope}
            label={scope}
            hint={scopeHints[scope]}
            checked={values.scopes.includes(scope)}
            disabled={role === null || !mayGrantScope(role, scope)}
            onChecked={(checked) =>
              set(
                'scopes',
                checked ? [...values.scopes, scope] : values.scopes.filter((each) => each !== scope),
              )
            }
          />
        ))}
        {errors.scopes !== undefined && (
          <p role="alert" className="text-xs text-bad">
            {errors.scopes}
          </p>
        )}
      </fieldset>
      <div className="grid gap-4 sm:grid-cols-2">
        {projects.length > 0 && (
          <Field label="Project" error={errors.projectId}>
            <Select
              options={projects.map(({ id, title }) => [id, title] as const)}
              value={values.projectId || projects[0]!.id}
              onValue={(value) => set('projectId', value)}
            />
          </Field>
        )}
        <Field label="Ends" error={errors.expiresAt}>
          <Select
            options={[
              ['7', 'in a week'],
              ['30', 'in 30 days'],
              ['90', 'in 90 days'],
              ['365', 'in a year'],
              ['', 'never'],
            ]}
            value={values.validDays}
            onValue={(value) => set('validDays', value)}
          />
        </Field>
        <BudgetFields values={values} onChange={merge} errors={errors} currency={currency} />
      </div>
      {create.error !== null && <Problem error={create.error} />}
      <DialogActions>
        <Button onClick={close}>Cancel</Button>
        <Button type="submit" look="primary" busy={create.isPending}>
          Create key
        </Button>
      </DialogActions>
    </form>
  )
}

function Created({ created, close }: { readonly created: ApiKeyCreated; readonly close: () => void }) {
  return (
    <div className="flex flex-col gap-4 text-sm">
      <p>
        Copy the secret of <strong>{created.key.name}</strong> now: it is shown only this once.
      </p>
      <div className="flex items-center gap-1 rounded-md border border-line bg-raised py-1 pr-1 pl-3">
        <code className="min-w-0 flex-1 font-mono text-xs leading-6 break-all">{created.secret}</code>
        <CopyButton text={created.secret} label="Copy the secret" />
      </div>
      <SnippetTabs secret={created.secret} />
      <DialogActions>
        <Button look="primary" onClick={close}>
          Done
        </Button>
      </DialogActions>
    </div>
  )
}
