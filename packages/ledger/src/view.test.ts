import { DomainError } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type AccountId, accountRule, parseAccount } from './accounts.ts'
import type { LedgerCommand } from './commands.ts'
import { type Decision, decide } from './decide.ts'
import { Ledger } from './ledger.ts'
import { micros } from './money.ts'
import { someCommands } from './testing/arbitrary-commands.ts'
import { acme, dollars, level, release, reserve } from './testing/fixtures.ts'
import { touchedAccounts, viewOfRows } from './view.ts'

const isShared = (account: AccountId) => accountRule(parseAccount(account).kind).shared

/** Decides as a store would: with the rows of one command and nothing else. */
function decideFromRows({ state }: Ledger, command: LedgerCommand): Decision {
  const id = 'reservation' in command ? command.reservation : null
  const reservation = (id && state.reservations.get(id)) ?? null
  const balances = new Map(
    touchedAccounts(command, reservation).map((account) => [
      account,
      state.balances.get(account) ?? micros(0n),
    ]),
  )
  return decide(
    viewOfRows({ balances, reservation, content: state.contents.get(command.key) ?? null }),
    command,
  )
}

const outcomeOf = (action: () => Decision): unknown => {
  try {
    return action()
  } catch (error) {
    if (error instanceof DomainError) return error.message
    throw error
  }
}

test('the rows of a command are all that its decision takes, and all that its entry changes', () => {
  fc.assert(
    fc.property(someCommands, (commands) => {
      const ledger = new Ledger()
      for (const command of commands) {
        const id = 'reservation' in command ? command.reservation : null
        const touched = touchedAccounts(command, (id && ledger.view.reservation(id)) ?? null)
        expect(touched).toEqual([...touched].sort())
        const fromRows = outcomeOf(() => decideFromRows(ledger, command))
        const decision = outcomeOf(() => ledger.execute(command))
        expect(fromRows).toEqual(decision)
        if (typeof decision !== 'object' || !decision || !('entry' in decision)) continue
        const { postings } = (decision as Decision & { outcome: 'posted' }).entry
        for (const { account } of postings) expect(isShared(account) || touched.includes(account)).toBe(true)
      }
    }),
    { numRuns: 60 },
  )
})

test('a forgotten account is a bug, not an empty one', () => {
  const view = viewOfRows({ balances: new Map(), reservation: null, content: null })
  expect(() => decide(view, reserve('r', '1'))).toThrow('Account available/USD/org_acme was not loaded.')
})

test('a chain is locked in one order, whatever the command', () => {
  const command = reserve('r', '1', { budgets: [level('key_1', '5'), level('prj_1', null)] })
  const { reservation, organisation, budgets, price, expiresAtMs } = command
  const open = { id: reservation, organisation, budgets, price, expiresAtMs, closing: null }
  const accounts = touchedAccounts(command, null)
  expect(accounts).toHaveLength(10)
  expect(touchedAccounts(release('r'), open)).toEqual(accounts)
  expect(touchedAccounts(release('r'), null)).toEqual([])
  const credit: LedgerCommand = { kind: 'credit', key: 'c', organisation: acme, limit: dollars('1') }
  expect(touchedAccounts(credit, null)).toEqual([
    'available/USD/org_acme',
    'credit/USD/org_acme',
    'held/USD/org_acme',
  ])
})
