import { type KeyScope, keyCreateSchema, keyScopes, mayGrantScope } from '@deos/sdk'
import { BudgetFields, type BudgetText, budgetOf, budgetText } from '../../components/budget-fields.tsx'
import { Button } from '../../components/button.tsx'
import { ShownOnce } from '../../components/code.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { Check, SelectField, TextField } from '../../components/field.tsx'
import { DialogForm, FieldGrid } from '../../components/form.tsx'
import { useForm } from '../../data/form.ts'
import { useProjects, useSettings } from '../../data/lists.ts'
import { useSession } from '../../data/session.tsx'
import type { ApiKeyCreated, BodyOf, Client } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { SnippetTabs } from './snippets.tsx'
import { endOf, validities } from './validity.ts'

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
  const { values, set, field, merge, send, errors } = useForm(initial)
  const create = useAction(
    (client, body: BodyOf<Client['keys']['create']>, idempotencyKey): Promise<ApiKeyCreated> =>
      client.keys.create({ body, idempotencyKey }),
    { quiet: true, changes: ['keys'] },
  )
  if (create.data !== undefined) return <Created created={create.data} close={close} />
  const submit = () => {
    const { budget, rateLimit, errors: wrongBudget } = budgetOf(values, currency)
    const body = {
      name: values.name,
      scopes: [...values.scopes],
      ...(values.projectId !== '' && { projectId: values.projectId }),
      expiresAt: endOf(values.validDays),
      budget,
      rateLimit,
    }
    send(keyCreateSchema, body, create, wrongBudget)
  }
  return (
    <DialogForm close={close} verb="Create key" sending={create} onSubmit={submit}>
      <TextField label="Name" hint="What will use it." autoFocus {...field('name')} />
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
      <FieldGrid>
        {projects.length > 0 && (
          <SelectField
            label="Project"
            options={projects.map(({ id, title }) => [id as string, title] as const)}
            {...field('projectId')}
            value={values.projectId || projects[0]!.id}
          />
        )}
        <SelectField label="Ends" options={validities} {...field('validDays', 'expiresAt')} />
        <BudgetFields values={values} onChange={merge} errors={errors} currency={currency} />
      </FieldGrid>
    </DialogForm>
  )
}

function Created({ created, close }: { readonly created: ApiKeyCreated; readonly close: () => void }) {
  return (
    <div className="flex flex-col gap-4 text-sm">
      <p>
        Copy the secret of <strong>{created.key.name}</strong> now: it is shown only this once.
      </p>
      <ShownOnce text={created.secret} label="Copy the secret" />
      <SnippetTabs secret={created.secret} />
      <DialogActions>
        <Button look="primary" onClick={close}>
          Done
        </Button>
      </DialogActions>
    </div>
  )
}
