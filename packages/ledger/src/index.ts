/**
 * @packageDocumentation
 * Double-entry money: balances, budgets, reservations, charges and how they are shared.
 * Amounts are whole micro-units, millionths of a currency's unit, as `bigint`.
 * Pure: imports `domain` only; keys, ids, periods and times are handed in. Start at {@link decide}: a store loads
 * {@link touchedAccounts}, decides, and writes the {@link Entry}; {@link Ledger} does the same in memory.
 */
export * from './accounts.ts'
export * from './commands.ts'
export * from './content.ts'
export * from './decide.ts'
export type { Entry } from './entries.ts'
export * from './errors.ts'
export * from './input-errors.ts'
export * from './invariants.ts'
export * from './ledger.ts'
export * from './money.ts'
export * from './postings.ts'
export * from './prices.ts'
export * from './reservations.ts'
export * from './snapshot.ts'
export * from './split.ts'
export { apply, emptyState, type LedgerState, replay, viewOfState } from './state.ts'
export * from './statements.ts'
export * from './transfers.ts'
export * from './view.ts'
