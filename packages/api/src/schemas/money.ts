import { z } from 'zod'
import { component, exemplified } from '../contract/registry.ts'

const microUnits = (pattern: RegExp, message: string) =>
  exemplified(z.string().regex(pattern, message), ['2500000', '1200000', '75000'])

export const currencySchema = exemplified(
  z.string().regex(/^[A-Z][A-Z0-9]{2,7}$/, 'must be a currency such as USD'),
  ['USD'],
)

/** An amount; millionths of the currency's unit as text, since JSON numbers do not hold all of them. */
export const moneySchema = component(
  'Money',
  z.strictObject({
    currency: currencySchema,
    microUnits: microUnits(/^(0|-?[1-9]\d{0,17})$/, 'must be a whole number in text, such as "2500000"'),
  }),
  'Millionths of the currency’s unit: `{"currency":"USD","microUnits":"2500000"}` is 2.50 USD.',
)

/** An amount that is not a debt. */
export const priceSchema = component(
  'Price',
  z.strictObject({
    currency: currencySchema,
    microUnits: microUnits(
      /^(0|[1-9]\d{0,17})$/,
      'must be a whole number of 0 or more in text, such as "2500000"',
    ),
  }),
)

export type Money = z.output<typeof moneySchema>

export const microUnitsOf = (money: Money): bigint => BigInt(money.microUnits)

/** @throws RangeError if the amount is beyond what the API writes */
export function money(microUnits: bigint, currency: string): Money {
  const value = { currency, microUnits: String(microUnits) }
  if (!moneySchema.safeParse(value).success) throw new RangeError(`${microUnits} ${currency} cannot be told.`)
  return value
}
