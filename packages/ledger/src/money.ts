import { AmountInvalidError } from './input-errors.ts'

declare const unit: unique symbol
declare const code: unique symbol

/** Whole millionths of one unit of a currency: 1 USD is 1,000,000. Arithmetic falls back to `bigint`. */
export type Micros = bigint & { readonly [unit]: 'micro-units' }

/** Code of a currency or token: `USD`, `EUR`, `USDC`. */
export type Currency = string & { readonly [code]: 'currency' }

export interface Money {
  readonly micros: Micros
  readonly currency: Currency
}

export const microsPerUnit = 1_000_000n

/** A thousand million units: more in one step is taken for a mistake, and sums of many still fit 64 bits. */
export const largestAmount = (10n ** 15n) as Micros

export const micros = (value: bigint): Micros => value as Micros

export const money = (value: bigint, of: Currency): Money => ({ micros: micros(value), currency: of })

/** @throws AmountInvalidError unless it is three to eight capital letters or digits, a letter first */
export function currency(text: string): Currency {
  if (/^[A-Z][A-Z0-9]{2,7}$/.test(text)) return text as Currency
  throw new AmountInvalidError('currency', text, 'Give a code of capital letters such as USD.')
}

/** `12.34 USD`: two decimals, up to six where they are needed. Nothing is rounded. */
export function formatMoney({ micros: value, currency: of }: Money): string {
  const size = value < 0n ? -value : value
  const decimals = `${size % microsPerUnit}`.padStart(6, '0').replace(/0{1,4}$/, '')
  return `${value < 0n ? '-' : ''}${size / microsPerUnit}.${decimals} ${of}`
}

/**
 * Reads what {@link formatMoney} writes; decimals may be left out.
 *
 * @throws AmountInvalidError if it is not an amount, or finer than a millionth
 */
export function parseMoney(text: string): Money {
  const match = /^(-?)(\d{1,20})(?:\.(\d+))? ([A-Z0-9]+)$/.exec(text.trim())
  if (!match) throw new AmountInvalidError('amount', text, 'Write it like "12.34 USD".')
  const [, sign, whole, decimals = '', of] = match
  if (decimals.length > 6) {
    throw new AmountInvalidError('amount', text, 'Six decimals are the finest the ledger keeps.')
  }
  const size = BigInt(whole!) * microsPerUnit + BigInt(decimals.padEnd(6, '0'))
  return money(sign === '-' ? -size : size, currency(of!))
}
