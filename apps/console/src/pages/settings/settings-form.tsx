import { settingsUpdateSchema } from '@deos/sdk'
import { BudgetFields, budgetOf, budgetText } from '../../components/budget-fields.tsx'
import { Button } from '../../components/button.tsx'
import { Card } from '../../components/card.tsx'
import { Check, Field, Input } from '../../components/field.tsx'
import { Problem } from '../../components/problem.tsx'
import { Time } from '../../components/time.tsx'
import { errorsOf, type FieldErrors, serverErrorsOf, useForm } from '../../data/form.ts'
import { useMay } from '../../data/session.tsx'
import type { Settings } from '../../data/types.ts'
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

/** The settings that fields mean, and what is wrong with them. */
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
    ...errorsOf(settingsUpdateSchema, body),
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
  const { values, set, merge, errors, setErrors } = useForm(textsOf(settings))
  const save = useAction(
    (client, body: ReturnType<typeof readTexts>['body']) => client.settings.update({ body }),
    { changes: ['settings'], done: 'The settings are saved.', quiet: true },
  )
  const submit = () => {
    const { body, errors: wrong } = readTexts(values, currency)
    setErrors(wrong)
    if (Object.keys(wrong).length === 0)
      save.mutate(body, { onError: (error) => setErrors(serverErrorsOf(error)) })
  }
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
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
                  <Field key={name} label={`${label}, ${currency}`} error={errors.tokenPrices}>
                    <Input
                      inputMode="decimal"
                      value={values[name]}
                      onChange={(event) => set(name, event.target.value)}
                    />
                  </Field>
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
            <Field
              label="Regions"
              hint="Separated by commas."
              error={errorBelow(errors, 'placementPolicy.regions')}
            >
              <Input value={values.regions} onChange={(event) => set('regions', event.target.value)} />
            </Field>
            <Field
              label="Providers"
              hint="Separated by commas."
              error={errorBelow(errors, 'placementPolicy.providers')}
            >
              <Input value={values.providers} onChange={(event) => set('providers', event.target.value)} />
            </Field>
          </div>
        </Card>
        <Card title="Models and records">
          <div className="grid gap-4 sm:grid-cols-3">
            <Field label="Hub of models" hint="Empty is the public one." error={errors.hubUrl}>
              <Input
                type="url"
                placeholder="https://huggingface.co"
                value={values.hubUrl}
                onChange={(event) => set('hubUrl', event.target.value)}
              />
            </Field>
            <Field label="Keep requests, in days" error={errors.requestLogDays}>
              <Input
                inputMode="numeric"
                value={values.requestLogDays}
                onChange={(event) => set('requestLogDays', event.target.value)}
              />
            </Field>
            <Field label="Keep events, in days" error={errors.eventDays}>
              <Input
                inputMode="numeric"
                value={values.eventDays}
                onChange={(event) => set('eventDays', event.target.value)}
              />
            </Field>
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
    </form>
  )
}
