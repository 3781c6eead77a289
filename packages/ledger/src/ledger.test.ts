import { DomainError, seededRandom } from '@deos/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { organisationAccounts } from './accounts.ts'
import type { LedgerCommand } from './commands.ts'
import { BudgetExceededError, InsufficientFundsError } from './errors.ts'
import { findViolations } from './invariants.ts'
import { Ledger } from './ledger.ts'
import { formatMoney, micros, money } from './money.ts'
import { restoreState, snapshotOf } from './snapshot.ts'
import { apply, emptyState, replay } from './state.ts'
import { budgetStatement, organisationStatement } from './statements.ts'
import { someCommands } from './testing/arbitrary-commands.ts'
import { acme, dollars, expire, level, platform, release, reserve, settle, usd } from './testing/fixtures.ts'
import { deposit } from './transfers.ts'

/** Executes what can be; refusals are expected, bugs are not. */
function tryAll(ledger: Ledger, commands: readonly LedgerCommand[], after: () => void): void {
  for (const command of commands) {
    try {
      ledger.execute(command)
    } catch (error) {
      if (!(error instanceof DomainError)) throw error
    }
    after()
  }
}

test('whatever is asked, the ledger adds up at every prefix, and every prefix replays to the same state', () => {
  fc.assert(
    fc.property(someCommands, fc.nat(), (commands, cut) => {
      const ledger = new Ledger()
      const snapshots = [snapshotOf(ledger.state)]
      tryAll(ledger, commands, () => {
        const posted = ledger.entries.length === snapshots.length
        if (posted) snapshots.push(snapshotOf(ledger.state))
        else expect(snapshotOf(ledger.state)).toEqual(snapshots.at(-1))
        if (posted) expect(findViolations(ledger.state)).toEqual([])
      })
      let state = emptyState
      for (const [index, entry] of ledger.entries.entries()) {
        state = apply(state, entry)
        expect(snapshotOf(state)).toEqual(snapshots[index + 1])
      }
      const length = cut % snapshots.length
      expect(snapshotOf(replay(ledger.entries.slice(0, length)))).toEqual(snapshots[length])
      const rest = ledger.entries.slice(length)
      expect(snapshotOf(replay(rest, restoreState(snapshots[length])))).toEqual(snapshots.at(-1))
    }),
    { numRuns: 60 },
  )
})

test('entries are applied to a copy, and once', () => {
  const ledger = new Ledger()
  ledger.execute(deposit('d', acme, dollars('1'), 'bank'))
  const [entry] = ledger.entries
  const state = apply(emptyState, entry!)
  expect(emptyState.contents.size).toBe(0)
  expect(() => apply(state, entry!)).toThrow('Entry d was applied before.')
})

interface Race {
  readonly seed: number
  /** Which level has money for 50 requests only. */
  readonly scarce: 'key' | 'project' | 'organisation'
  /** Percent of the price that requests use. */
  readonly used: readonly number[]
  readonly endings: readonly ('settle' | 'release' | 'expire')[]
}

const clients = 200
const price = '0.02'
const forFifty = '1.00'
const plenty = '1000'

/**
 * 200 clients, each in a loop of its own: reserve until there is money or waiting is hopeless, then end the request; any
 * step may be sent twice. Which client goes next is drawn.
 */
function runRace({ seed, scarce, used, endings }: Race) {
  const random = seededRandom(seed)
  const ledger = new Ledger()
  const { available } = organisationAccounts(acme, usd)
  ledger.execute(deposit('d', acme, dollars(scarce === 'organisation' ? forFifty : plenty), 'bank'))
  const budgets = [
    level('key_1', scarce === 'key' ? forFifty : plenty),
    level('prj_1', scarce === 'project' ? forFifty : null),
  ]
  const left = () =>
    [
      ledger.view.balance(available),
      ...budgets.map((budget) => budgetStatement(ledger.view, budget, usd, budget.limit).remaining?.micros),
    ].reduce<bigint>((least, each) => (each !== undefined && each < least ? each : least), 10n ** 15n)

  const send = (command: LedgerCommand) => {
    ledger.execute(command)
    if (random.next() < 0.3) expect(ledger.execute(command).outcome).toBe('duplicate')
    expect(findViolations(ledger.state)).toEqual([])
  }
  const running: number[] = []
  const waiting = Array.from({ length: clients }, (_, client) => client)
  const draw = (list: number[]) => list.splice(Math.floor(random.next() * list.length), 1)[0]!
  let charged = 0n
  let served = 0

  const tryToReserve = (client: number) => {
    try {
      send(reserve(`r${client}`, price, { budgets }))
      running.push(client)
    } catch (error) {
      if (!(error instanceof BudgetExceededError || error instanceof InsufficientFundsError)) throw error
      expect(left() < dollars(price).micros).toBe(true)
      if (error.retriable) waiting.push(client)
    }
  }
  const end = (client: number) => {
    const ending = endings[client % endings.length]!
    const charge = money((dollars(price).micros * BigInt(used[client % used.length]!)) / 100n, usd)
    if (ending === 'settle') {
      send(settle(`r${client}`, '0', { charge }))
      charged += charge.micros
      served += 1
    } else {
      send(ending === 'release' ? release(`r${client}`) : expire(`r${client}`, 1_000))
    }
  }
  while (waiting.length + running.length > 0) {
    if (running.length === 0 || (waiting.length > 0 && random.next() < 0.6)) tryToReserve(draw(waiting))
    else end(draw(running))
  }
  return { ledger, budgets, charged, served, left: left() }
}

const scarce = fc.constantFrom('key' as const, 'project' as const, 'organisation' as const)
const seed = fc.integer({ min: 0, max: 2 ** 31 })

test('200 requests race for money for 50: never overspent, never refused while money is left', () => {
  const race = fc.record({
    seed,
    scarce,
    used: fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 20 }),
    endings: fc.array(fc.constantFrom('settle' as const, 'release' as const, 'expire' as const), {
      minLength: 1,
      maxLength: 20,
    }),
  })
  fc.assert(
    fc.property(race, (drawn) => {
      const { ledger, budgets, charged, served, left } = runRace(drawn)
      expect(charged <= dollars(forFifty).micros).toBe(true)
      if (served < clients && drawn.endings.every((ending) => ending === 'settle')) {
        expect(left < dollars(price).micros).toBe(true)
      }
      const { held } = organisationStatement(ledger.view, acme, usd)
      expect(held.micros).toBe(0n)
      for (const budget of budgets) {
        expect(budgetStatement(ledger.view, budget, usd, budget.limit).spent.micros).toBe(charged)
      }
      expect(ledger.view.balance(platform)).toBe(charged)
      expect(snapshotOf(replay(ledger.entries))).toEqual(snapshotOf(ledger.state))
    }),
    { numRuns: 12 },
  )
})

test('when all of them use their whole price, exactly 50 are served', () => {
  fc.assert(
    fc.property(seed, scarce, (drawnSeed, drawnScarce) => {
      const race: Race = { seed: drawnSeed, scarce: drawnScarce, used: [100], endings: ['settle'] }
      const { charged, served, left } = runRace(race)
      expect(served).toBe(50)
      expect(formatMoney(money(charged, usd))).toBe('1.00 USD')
      expect(left).toBe(micros(0n))
    }),
    { numRuns: 6 },
  )
})
