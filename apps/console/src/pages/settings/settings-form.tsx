import { settingsUpdateSchema } from '@deos/sdk'
import { BudgetFields, budgetOf, budgetText } from '../../components/budget-fields.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Check, TextField } from '../../components/field.tsx'
import { Form } from '../../components/form.tsx'
import { Problem } from '../../components/problem.tsx'
import { Time } from '../../components/time.tsx'
import { type FieldErrors, useForm } from '../../data/form.ts'
import { useMay } from '../../data/session.tsx'
import type { BodyOf, Client, Settings } from '../../data/types.ts'
import { useAction } from '../../data/use-action.ts'
import { moneyText, parseMoney } from '../../format/money.ts'

const textsOf = (settings: Settings) => ({
  ...budgetText(settings.budget, null),
  free: settings.tokenPrices === null,
  prompt: settings.tokenPrices === null ? '' : moneyText(settings.tokenPrices.promptPerMillion),
  cached: settings.tokenPrices === null ? '' : moneyText(settings.tokenPrices.cachedPromptPerMillion),
  completion: settings.tokenPrices === null ? '' : moneyText(settings.tokenPrices.completionPerMillion),
  regions: (settings.placementPolicy.regions ?? []).join(', '),
  providers: (settings.placementPolicy.providers ?? []).join(', '),
  hubUrl: settings.hubUrl ?? '',
  requestLogDays: String(settings.requestLogDays),
  eventDays: String(settings.eventDays),
})

type Texts = ReturnType<typeof textsOf>

const wordsOf = (text: string): string[] | null => {
  const words = text.split(/[\s,]+/).filter((word) => word !== '')
  return words.length === 0 ? null : words
}

/** The settings that fields mean, and what is wrong with them before the API looks at them. */
function readTexts(texts: Texts, currency: string) {
  const { budget, errors: wrongBudget } = budgetOf(texts, currency)
  const [prompt, cached, completion] = [texts.prompt, texts.cached, texts.completion].map((text) =>
    parseMoney(text, currency),
  )
  const priced = prompt && cached && completion
  const body = {
    budget,
    tokenPrices:
      texts.free || !priced
        ? null
        : { promptPerMillion: prompt, cachedPromptPerMillion: cached, completionPerMillion: completion },
    placementPolicy: { regions: wordsOf(texts.regions), providers: wordsOf(texts.providers) },
    hubUrl: texts.hubUrl.trim() === '' ? null : texts.hubUrl.trim(),
    requestLogDays: Number(texts.requestLogDays),
    eventDays: Number(texts.eventDays),
  }
  const errors: FieldErrors = {
    ...wrongBudget,
    ...(!texts.free && !priced && { tokenPrices: 'Each must be an amount such as 0.20.' }),
  }
  return { body, errors }
}

const errorBelow = (errors: FieldErrors, prefix: string): string | undefined =>
  Object.entries(errors).find(([field]) => field.startsWith(prefix))?.[1]

export function SettingsForm({ settings }: { readonly settings: Settings }) {
  const mayWrite = useMay('settings:write')
  const { currency } = settings
  const { values, set, field, merge, send, errors } = useForm(textsOf(settings))
  const save = useAction(
    (client, body: BodyOf<Client['settings']['update']>) => client.settings.update({ body }),
    { changes: ['settings'], done: 'The settings are saved.', quiet: true },
  )
  const submit = () => {
    const { body, errors: wrong } = readTexts(values, currency)
    send(settingsUpdateSchema, body, save, wrong)
  }
  return (
    <Form onSubmit={submit}>
      <fieldset disabled={!mayWrite} className="flex min-w-0 flex-col gap-5">
        <legend className="sr-only">Settings of the organisation</legend>
        <Card title="Prices" about="What requests pay for a million tokens.">
          <div className="flex flex-col gap-4">
            <Check
              label="Everything is free"
              checked={values.free}
              onChecked={(checked) => set('free', checked)}
            />
            {!values.free && (
              <div className="grid gap-4 sm:grid-cols-3">
                {(
                  [
                    ['prompt', 'Tokens in'],
                    ['cached', 'Tokens in, from the cache'],
                    ['completion', 'Tokens out'],
                  ] as const
                ).map(([name, label]) => (
                  <TextField
                    key={name}
                    label={`${label}, ${currency}`}
                    inputMode="decimal"
                    {...field(name, 'tokenPrices')}
                  />
                ))}
              </div>
            )}
          </div>
        </Card>
        <Card title="Budget" about="Of the whole organisation.">
          <div className="grid gap-4 sm:grid-cols-2">
            <BudgetFields
              values={values}
              onChange={merge}
              errors={errors}
              currency={currency}
              limits={false}
            />
          </div>
        </Card>
        <Card title="Placement" about="For deployments that state no policy of their own. Empty allows all.">
          <div className="grid gap-4 sm:grid-cols-2">
            <TextField
              label="Regions"
              hint="Separated by commas."
              {...field('regions')}
              error={errorBelow(errors, 'placementPolicy.regions')}
            />
            <TextField
              label="Providers"
              hint="Separated by commas."
              {...field('providers')}
              error={errorBelow(errors, 'placementPolicy.providers')}
            />
          </div>
        </Card>
        <Card title="Models and records">
          <div className="grid gap-4 sm:grid-cols-3">
            <TextField
              label="Hub of models"
              hint="Empty is the public one."
              type="url"
              placeholder="https://huggingface.co"
              {...field('hubUrl')}
            />
            <TextField label="Keep requests, in days" inputMode="numeric" {...field('requestLogDays')} />
            <TextField label="Keep events, in days" inputMode="numeric" {...field('eventDays')} />
          </div>
        </Card>
        {save.error !== null && <Problem error={save.error} />}
        {mayWrite ? (
          <div className="flex flex-wrap items-center gap-3">
            <Button type="submit" look="primary" busy={save.isPending}>
              Save settings
            </Button>
            <span className="text-xs text-ink-3">
              Last changed <Time at={settings.updatedAt} />
            </span>
          </div>
        ) : (
          <p className="text-sm text-ink-3">Owners and admins change settings.</p>
        )}
      </fieldset>
    </Form>
  )
}
