import { budgetSchema } from '@deos/sdk'
import type { FieldErrors } from '../data/form.ts'
import type { Project } from '../data/types.ts'
import { moneyText, parseMoney } from '../format/money.ts'
import { Field, Input, Select } from './field.tsx'

type Budget = NonNullable<Project['budget']>
type Limit = Project['rateLimit']

/** A budget and limits as fields hold them; empty is none. */
export interface BudgetText {
  readonly limit: string
  readonly period: Budget['period']
  readonly requestsPerMinute: string
  readonly tokensPerMinute: string
}

export const budgetText = (budget: Budget | null, rateLimit: Limit | null): BudgetText => ({
  limit: budget === null ? '' : moneyText(budget.limit),
  period: budget?.period ?? 'month',
  requestsPerMinute: String(rateLimit?.requestsPerMinute ?? ''),
  tokensPerMinute: String(rateLimit?.tokensPerMinute ?? ''),
})

export interface BudgetRead {
  readonly budget: Budget | null
  readonly rateLimit: Limit
  readonly errors: FieldErrors
}

const numberOrNull = (text: string): number | null => (text.trim() === '' ? null : Number(text))

export function budgetOf(
  { limit, period, requestsPerMinute, tokensPerMinute }: BudgetText,
  currency: string,
): BudgetRead {
  const amount = limit.trim() === '' ? null : parseMoney(limit, currency)
  const wrong = limit.trim() !== '' && amount === null
  return {
    budget: amount === null ? null : budgetSchema.parse({ limit: amount, period }),
    rateLimit: {
      requestsPerMinute: numberOrNull(requestsPerMinute),
      tokensPerMinute: numberOrNull(tokensPerMinute),
    },
    errors: wrong ? { budget: 'Must be an amount such as 25.00.' } : {},
  }
}

const periods = [
  ['day', 'a day'],
  ['week', 'a week'],
  ['month', 'a month'],
  ['total', 'in total'],
] as const

interface BudgetFieldsProps {
  readonly values: BudgetText
  readonly onChange: (changes: Partial<BudgetText>) => void
  readonly errors: FieldErrors
  readonly currency: string
  /** Budgets of the whole organisation have no limits of rate. */
  readonly limits?: boolean
}

export function BudgetFields({ values, onChange, errors, currency, limits = true }: BudgetFieldsProps) {
  return (
    <>
      <Field
        label={`Budget, in ${currency}`}
        hint="Empty is none. It is never overrun."
        error={errors.budget ?? errors['budget.limit']}
      >
        <Input
          inputMode="decimal"
          value={values.limit}
          onChange={(event) => onChange({ limit: event.target.value })}
        />
      </Field>
      <Field label="For">
        <Select
          options={periods}
          value={values.period}
          onValue={(value) => onChange({ period: value as Budget['period'] })}
        />
      </Field>
      {limits && (
        <>
          <Field
            label="Requests a minute"
            hint="Empty is no limit."
            error={errors['rateLimit.requestsPerMinute']}
          >
            <Input
              inputMode="numeric"
              value={values.requestsPerMinute}
              onChange={(event) => onChange({ requestsPerMinute: event.target.value })}
            />
          </Field>
          <Field
            label="Tokens a minute"
            hint="Empty is no limit."
            error={errors['rateLimit.tokensPerMinute']}
          >
            <Input
              inputMode="numeric"
              value={values.tokensPerMinute}
              onChange={(event) => onChange({ tokensPerMinute: event.target.value })}
            />
          </Field>
        </>
      )}
    </>
  )
}
