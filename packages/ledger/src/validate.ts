import { type AccountKind, parseAccount } from './accounts.ts'
import type { LedgerCommand, Reserve, Settle, Transfer } from './commands.ts'
import { AmountInvalidError, LedgerInputError } from './input-errors.ts'
import { currency, formatMoney, largestAmount, type Money, money } from './money.ts'
import { checkedName } from './names.ts'
import { imbalances } from './postings.ts'

/** Holds and budgets change through reservations only, or holds would no longer match them. */
const transferable: readonly AccountKind[] = ['external', 'available', 'revenue', 'payable']
const chargeable: readonly AccountKind[] = ['revenue', 'payable']

/** @throws LedgerInputError naming the field, the value and the remedy */
export function validateCommand(command: LedgerCommand): void {
  if (command.key.length < 1 || command.key.length > 256) {
    throw new LedgerInputError('key', command.key, 'Give each command a key of 1 to 256 characters.')
  }
  switch (command.kind) {
    case 'transfer':
      checkTransfer(command)
      break
    case 'credit':
      checkedName('organisation', command.organisation)
      checkAmount('limit', command.limit)
      break
    case 'reserve':
      checkReserve(command)
      break
    case 'settle':
      checkSettle(command)
      break
    case 'release':
      checkedName('reservation', command.reservation)
      break
    case 'expire':
      checkedName('reservation', command.reservation)
      checkTime('nowMs', command.nowMs)
  }
}

function checkTransfer({ postings }: Transfer): void {
  if (postings.length < 2) {
    throw new LedgerInputError(
      'postings',
      `[${postings.length}]`,
      'Money comes from one account and goes to another.',
    )
  }
  for (const { account, micros } of postings) {
    const { kind, currency: of } = parseAccount(account)
    if (!transferable.includes(kind)) {
      throw new LedgerInputError(
        'account',
        account,
        `Money is transferred among: ${transferable.join(', ')}.`,
      )
    }
    if (micros === 0n) {
      throw new AmountInvalidError('posting', formatMoney(money(micros, of)), 'Leave out what does not move.')
    }
    checkAmount('posting', money(micros < 0n ? -micros : micros, of))
  }
  for (const [book, sum] of imbalances(postings)) {
    throw new AmountInvalidError('postings', `${sum} micro-units off`, `Let them add up to zero: ${book}.`)
  }
}

function checkReserve({ reservation, organisation, budgets, price, expiresAtMs }: Reserve): void {
  checkedName('reservation', reservation)
  checkedName('organisation', organisation)
  checkAmount('price', price)
  checkTime('expiresAtMs', expiresAtMs)
  const seen = new Set<string>()
  for (const { budget, period, limit } of budgets) {
    checkedName('budget', budget)
    checkedName('period', period)
    if (seen.has(budget)) throw new LedgerInputError('budgets', budget, 'Name each budget of a chain once.')
    seen.add(budget)
    if (limit === null) continue
    checkAmount('limit', limit)
    checkCurrency('limit', limit, price)
  }
}

function checkSettle({ reservation, charge, shares }: Settle): void {
  checkedName('reservation', reservation)
  checkAmount('charge', charge)
  for (const { account, weight } of shares) {
    const { kind, currency: of } = parseAccount(account)
    if (!chargeable.includes(kind)) {
      throw new LedgerInputError('share', account, `Charges go to: ${chargeable.join(', ')}.`)
    }
    checkCurrency('share', money(0n, of), charge)
    if (!Number.isSafeInteger(weight) || weight < 0) {
      throw new LedgerInputError('weight', weight, 'Weights are whole numbers from 0 on.')
    }
  }
  if (!shares.some(({ weight }) => weight > 0)) {
    throw new LedgerInputError(
      'shares',
      `[${shares.length}]`,
      'Give at least one account a share of the charge.',
    )
  }
}

function checkAmount(field: string, amount: Money): void {
  currency(amount.currency)
  if (amount.micros >= 0n && amount.micros <= largestAmount) return
  const range = `${formatMoney(money(0n, amount.currency))} to ${formatMoney(money(largestAmount, amount.currency))}`
  throw new AmountInvalidError(field, formatMoney(amount), `Give an amount from ${range}.`)
}

/** @throws AmountInvalidError if two amounts that meet have different currencies */
export function checkCurrency(field: string, amount: Money, like: Money): void {
  if (amount.currency === like.currency) return
  throw new AmountInvalidError(field, amount.currency, `Everything about one request is in ${like.currency}.`)
}

function checkTime(field: string, timeMs: number): void {
  if (Number.isSafeInteger(timeMs) && timeMs >= 0) return
  throw new LedgerInputError(field, timeMs, 'Give whole milliseconds since 1970.')
}
