import { budgetSchema } from '@deos/sdk'
import type { FieldErrors } from '../data/form.ts'
import type { Project } from '../data/types.ts'
import { moneyText, parseMoney } from '../format/money.ts'
import { SelectField, TextField } from './field.tsx'

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
      <TextField
        label={`Budget, in ${currency}`}
        hint="Empty is none. It is never overrun."
        error={errors.budget ?? errors['budget.limit']}
        inputMode="decimal"
        value={values.limit}
        onValue={(limit) => onChange({ limit })}
      />
      <SelectField
        label="For"
        options={periods}
        value={values.period}
        onValue={(period) => onChange({ period })}
      />
      {limits && (
        <>
          <TextField
            label="Requests a minute"
            hint="Empty is no limit."
            error={errors['rateLimit.requestsPerMinute']}
            inputMode="numeric"
            value={values.requestsPerMinute}
            onValue={(requestsPerMinute) => onChange({ requestsPerMinute })}
          />
          <TextField
            label="Tokens a minute"
            hint="Empty is no limit."
            error={errors['rateLimit.tokensPerMinute']}
            inputMode="numeric"
            value={values.tokensPerMinute}
            onValue={(tokensPerMinute) => onChange({ tokensPerMinute })}
          />
        </>
      )}
    </>
  )
}
