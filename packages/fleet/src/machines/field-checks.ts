import { isWholeWithin, oneLine } from '../field-rules.ts'
import { invalidField } from './fleet-error.ts'

/** Text that fits on a line: no control characters, not blank. */
export function checkText(field: string, value: string, maxLength: number): string {
  const text = oneLine(value, maxLength)
  if (text === null) throw invalidField(field, value, `one line of 1 to ${maxLength} characters`)
  return text
}

/** As {@link checkText}, but may be empty. */
export const checkOptionalText = (field: string, value: string, maxLength: number): string =>
  value === '' ? '' : checkText(field, value, maxLength)

/** Why a person does something; shown to others. */
export const checkReason = (value: string): string => checkText('reason', value, 500)

export function checkInteger<T extends number>(field: string, value: T, min: number, max: number): T {
  if (isWholeWithin(value, min, max)) return value
  throw invalidField(field, value, `a whole number from ${min} to ${max}`)
}

/** SHA-256, as the digest of a public key or of a secret. */
export function checkDigest(field: string, value: string): string {
  if (/^[0-9a-f]{64}$/.test(value)) return value
  throw invalidField(field, value, 'a SHA-256 digest: 64 lower-case hexadecimal digits')
}

export function checkCount(field: string, count: number, min: number, max: number): void {
  if (count < min || count > max) throw invalidField(`${field}.length`, count, `from ${min} to ${max}`)
}
