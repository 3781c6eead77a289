import { keyUpdateSchema } from '@deos/sdk'
import { BudgetFields, budgetOf, budgetText } from '../../components/budget-fields.tsx'
import { DialogButton } from '../../components/dialog-button.tsx'
import { SelectField, TextField } from '../../components/field.tsx'
import { DialogForm, FieldGrid } from '../../components/form.tsx'
import { useForm } from '../../data/form.ts'
import { useSettings } from '../../data/lists.ts'
import type { ApiKey, BodyOf, Client } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { formatAbsolute } from '../../format/time.ts'
import { endOf, validities } from './validity.ts'

const asNow = 'as now'

interface EditKeyProps {
  readonly apiKey: ApiKey
}

/** Changes what may be changed of a key while programs use it. */
export const EditKey = ({ apiKey }: EditKeyProps) => (
  <DialogButton
    size="small"
    look="quiet"
    wide
    aria-label={`Edit ${apiKey.name}`}
    title={`Edit ${apiKey.name}`}
    about="Its secret, scopes and project stay as they are; others need a new key."
    shows="Edit"
  >
    {(close) => <EditForm apiKey={apiKey} close={close} />}
  </DialogButton>
)

function EditForm({ apiKey, close }: EditKeyProps & { readonly close: () => void }) {
  const settings = useSettings().data
  const currency = settings?.currency ?? apiKey.spent.currency
  const { values, field, merge, send, errors } = useForm({
    name: apiKey.name,
    validDays: asNow,
    ...budgetText(apiKey.budget, apiKey.rateLimit),
  })
  const save = useAction(
    (client, body: BodyOf<Client['keys']['update']>) =>
      client.keys.update({ params: { key: apiKey.id }, body }),
    { changes: ['keys'], done: `${values.name} is changed.`, quiet: true, onDone: close },
  )
  const { budget, rateLimit, errors: wrongBudget } = budgetOf(values, currency)
  const body = {
    name: values.name,
    budget,
    rateLimit,
    ...(values.validDays !== asNow && { expiresAt: endOf(values.validDays) }),
  }
  const end = apiKey.expiresAt === null ? 'never' : formatAbsolute(apiKey.expiresAt)
  return (
    <DialogForm
      close={close}
      verb="Save"
      sending={save}
      onSubmit={() => send(keyUpdateSchema, body, save, wrongBudget)}
    >
      <FieldGrid>
        <TextField label="Name" hint="What uses it." autoFocus {...field('name')} />
        <SelectField
          label="Ends"
          hint="Counted from now."
          options={[[asNow, `as now: ${end}`], ...validities]}
          {...field('validDays', 'expiresAt')}
        />
        <BudgetFields values={values} onChange={merge} errors={errors} currency={currency} />
      </FieldGrid>
    </DialogForm>
  )
}
