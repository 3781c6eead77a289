import type { LedgerCommand } from './commands.ts'
import type { Money } from './money.ts'
import { netPostings } from './postings.ts'

/**
 * What a command asks, as text that is equal for equal commands; its key and the limits of budgets are left out, and so
 * is the time at which something expired.
 */
export function commandContent(command: LedgerCommand): string {
  return JSON.stringify([command.kind, ...parts(command)])
}

function parts(command: LedgerCommand): readonly unknown[] {
  switch (command.kind) {
    case 'transfer':
      return netPostings(command.postings).map(({ account, micros }) => [account, `${micros}`])
    case 'credit':
      return [command.organisation, ...amount(command.limit)]
    case 'reserve':
      return [
        command.reservation,
        command.organisation,
        command.budgets.map(({ budget, period }) => [budget, period]),
        ...amount(command.price),
        command.expiresAtMs,
      ]
    case 'settle':
      return [
        command.reservation,
        ...amount(command.charge),
        command.shares.map(({ account, weight }) => [account, weight]),
        command.overrun,
      ]
    case 'release':
    case 'expire':
      return [command.reservation]
  }
}

const amount = ({ micros, currency }: Money): readonly string[] => [`${micros}`, currency]
