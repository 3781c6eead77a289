import { LedgerInputError } from './input-errors.ts'

/**
 * Ids become parts of account ids, which a slash separates.
 *
 * @throws LedgerInputError if the text is not 1 to 128 letters, digits and `_ . : @ -`
 */
export function checkedName<T extends string>(field: string, text: T): T {
  if (/^[\w.:@-]{1,128}$/.test(text)) return text
  throw new LedgerInputError(field, text, 'Use 1 to 128 letters, digits and any of _ . : @ -')
}
