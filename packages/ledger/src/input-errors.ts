import { DomainError } from '@deos/domain'

/** Something handed to the ledger makes no sense. */
export class LedgerInputError extends DomainError {
  readonly code: string = 'LEDGER_INPUT_INVALID'
  readonly retriable = false
  constructor(
    readonly field: string,
    readonly value: unknown,
    hint: string,
  ) {
    super(`${field} cannot be ${shown(value)}.`, hint)
  }
}

export class AmountInvalidError extends LedgerInputError {
  override readonly code = 'AMOUNT_INVALID'
}

/** Quoted and cut for a message. */
function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object'
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 80 ? `${text.slice(0, 79)}…` : text
}
