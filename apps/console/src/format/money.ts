import { type Money, microUnitsOf, money } from '@deos/api'

/** Cents where they say it all; otherwise as many digits for all amounts alike, so that columns stand in line. */
function digitsFor(amount: number): number {
  const size = Math.abs(amount)
  const cents = size * 100
  if (size >= 1 || Math.abs(cents - Math.round(cents)) < 1e-6) return 2
  return size >= 0.01 ? 4 : 6
}

/** `$1,234.50`, `$0.000128`, `12.50 CREDITS`. */
export function formatMoney(amount: Money): string {
  const units = Number(microUnitsOf(amount)) / 1e6
  const digits = { minimumFractionDigits: digitsFor(units), maximumFractionDigits: digitsFor(units) }
  if (amount.currency.length === 3) {
    return new Intl.NumberFormat('en-US', { style: 'currency', currency: amount.currency, ...digits }).format(
      units,
    )
  }
  return `${new Intl.NumberFormat('en-US', digits).format(units)} ${amount.currency}`
}

export const isZero = (amount: Money): boolean => microUnitsOf(amount) === 0n
export const unitsOf = (amount: Money): number => Number(microUnitsOf(amount)) / 1e6

/** What a person writes: `2.50`. Null if it is not an amount of 0 or more with at most six decimals. */
export function parseMoney(text: string, currency: string): Money | null {
  const match = /^(\d{1,11})(?:\.(\d{1,6}))?$/.exec(text.trim())
  if (match === null) return null
  return money(BigInt(match[1]!) * 1_000_000n + BigInt((match[2] ?? '').padEnd(6, '0')), currency)
}

/** The other way: as a field shows it. */
export function moneyText(amount: Money): string {
  const micro = microUnitsOf(amount)
  const rest = (micro % 1_000_000n).toString().padStart(6, '0').replace(/0+$/, '')
  return `${micro / 1_000_000n}${rest === '' ? '' : `.${rest.padEnd(2, '0')}`}`
}
