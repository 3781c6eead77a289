import { cursorFormat } from '@deos/api'
import { type IdSource, type OrganisationId, organisationId } from '@deos/domain'
import {
  type AccountId,
  type Closing,
  type Currency,
  currency,
  type Decision,
  decide,
  type Entry,
  type LedgerCommand,
  type Micros,
  micros,
  money,
  organisationAccounts,
  payableAccount,
  type Reservation,
  type ReservationId,
  reservationId,
  touchedAccounts,
  viewOfRows,
} from '@deos/ledger'
import { and, asc, desc, eq, inArray, isNull, lt, lte, sql, sum } from 'drizzle-orm'
import { z } from 'zod'
import type { Database, Queries } from '../database/database.ts'
import { isUniqueViolation, TransactionConflictError } from '../database/errors.ts'
import {
  ledgerBalances,
  ledgerEntries,
  ledgerPostings,
  ledgerReservations,
} from '../database/schema/index.ts'

/** What an entry is about, for people. */
export interface EntryAbout {
  readonly organisation: OrganisationId | null
  readonly requestId: string | null
  readonly description: string
}

export interface StoredEntry {
  readonly sequence: number
  readonly id: string
  readonly key: string
  readonly kind: LedgerCommand['kind']
  readonly requestId: string | null
  readonly description: string
  readonly at: Date
  /** In the order of account ids. */
  readonly postings: readonly { readonly account: AccountId; readonly micros: Micros }[]
}

/** How an organisation stands in a currency; all in micro-units. */
export interface Standing {
  /** Can be reserved now, what was lent included. */
  readonly available: Micros
  readonly held: Micros
  /** What it was lent, whether used or not. */
  readonly credit: Micros
  /** What it earned and was not paid yet. */
  readonly payable: Micros
}

export interface LedgerStoreParts {
  readonly database: Database
  readonly ids: IdSource
  readonly now: () => Date
}

const entryCursor = cursorFormat('ledger entries', z.int().min(1))

/** The ledger in the database: commands are decided on locked rows, one transaction each. */
export class LedgerStore {
  readonly #parts: LedgerStoreParts

  constructor(parts: LedgerStoreParts) {
    this.#parts = parts
  }

  /**
   * Does a command, or finds that it was done before.
   *
   * @param queries - of a transaction that it is to be part of; then accounts stay locked until that ends, so that one
   * transaction should hold one command
   * @throws DomainError of `@deos/ledger` if it is refused; nothing is changed then
   */
  execute(command: LedgerCommand, about: EntryAbout, queries?: Queries): Promise<Decision> {
    return queries === undefined
      ? this.#parts.database.transaction((own) => this.#execute(own, command, about))
      : this.#execute(queries, command, about)
  }

  /** @throws Error if no entry was posted under the key */
  async entryOf(key: string, queries: Queries = this.#parts.database.queries): Promise<StoredEntry> {
    const rows = await queries.select(entryColumns).from(ledgerEntries).where(eq(ledgerEntries.key, key))
    const [entry] = await withPostings(queries, rows)
    if (entry === undefined) throw new Error(`No entry was posted under ${key}.`)
    return entry
  }

  /**
   * An organisation's entries, newest first.
   *
   * @param cursor - of the page before; null begins with the newest
   * @throws ValidationError if the cursor is none of this list
   */
  async entries(
    organisation: OrganisationId,
    cursor: string | null,
    limit: number,
  ): Promise<{ readonly items: readonly StoredEntry[]; readonly nextCursor: string | null }> {
    const { queries } = this.#parts.database
    const ofOrganisation = eq(ledgerEntries.organisationId, organisation)
    const rows = await queries
      .select(entryColumns)
      .from(ledgerEntries)
      .where(
        cursor === null
          ? ofOrganisation
          : and(ofOrganisation, lt(ledgerEntries.sequence, entryCursor.decode(cursor))),
      )
      .orderBy(desc(ledgerEntries.sequence))
      .limit(limit + 1)
    const items = await withPostings(queries, rows.slice(0, limit))
    const last = items.at(-1)
    const nextCursor = rows.length > limit && last ? entryCursor.encode(last.sequence) : null
    return { items, nextCursor }
  }

  async standing(organisation: OrganisationId, of: Currency): Promise<Standing> {
    const { available, held, credit } = organisationAccounts(organisation, of)
    const payable = payableAccount(organisation, of)
    const balances = await this.balances([available, held, credit, payable])
    return {
      available: balances.get(available)!,
      held: balances.get(held)!,
      credit: micros(-balances.get(credit)!),
      payable: balances.get(payable)!,
    }
  }

  /** Of accounts that one organisation or budget owns; 0 for those that nothing was posted to. */
  async balances(accounts: readonly AccountId[]): Promise<ReadonlyMap<AccountId, Micros>> {
    const balances = new Map(accounts.map((account) => [account, micros(0n)]))
    if (accounts.length === 0) return balances
    const rows = await this.#parts.database.queries
      .select()
      .from(ledgerBalances)
      .where(inArray(ledgerBalances.account, [...accounts]))
    for (const row of rows) balances.set(row.account as AccountId, micros(row.micros))
    return balances
  }

  /** Balance of an account that all share, `external` or `revenue`. */
  async sharedBalance(account: AccountId): Promise<Micros> {
    const [row] = await this.#parts.database.queries
      .select({ micros: sum(ledgerPostings.micros) })
      .from(ledgerPostings)
      .where(eq(ledgerPostings.account, account))
    return micros(BigInt(row?.micros ?? 0))
  }

  /** Open reservations whose time is over, first to expire first: each may be given to an `expire` command. */
  async overdue(at: Date, limit: number): Promise<readonly Reservation[]> {
    const rows = await this.#parts.database.queries
      .select()
      .from(ledgerReservations)
      .where(and(isNull(ledgerReservations.closing), lte(ledgerReservations.expiresAt, at)))
      .orderBy(asc(ledgerReservations.expiresAt), asc(ledgerReservations.id))
      .limit(limit)
    return rows.map(reservationOf)
  }

  async #execute(queries: Queries, command: LedgerCommand, about: EntryAbout): Promise<Decision> {
    const reservation = 'reservation' in command ? await lockReservation(queries, command.reservation) : null
    const balances = await lockBalances(queries, touchedAccounts(command, reservation))
    const [recorded] = await queries
      .select({ content: ledgerEntries.content })
      .from(ledgerEntries)
      .where(eq(ledgerEntries.key, command.key))
    const content = recorded?.content ?? null
    const decision = decide(viewOfRows({ balances, reservation, content }), command)
    if (decision.outcome === 'duplicate') return decision
    try {
      await this.#write(queries, decision.entry, about)
    } catch (error) {
      // The same key or reservation was written meanwhile by somebody who touches other accounts.
      if (isUniqueViolation(error))
        throw new TransactionConflictError('The ledger has moved on.', { cause: error })
      throw error
    }
    return decision
  }

  async #write(queries: Queries, entry: Entry, about: EntryAbout): Promise<void> {
    if (entry.reservation !== null) await writeReservation(queries, entry.reservation)
    const { ids, now } = this.#parts
    const [row] = await queries
      .insert(ledgerEntries)
      .values({
        id: ids.next('entry'),
        key: entry.key,
        kind: entry.kind,
        content: entry.content,
        organisationId: about.organisation,
        requestId: about.requestId,
        description: about.description,
        at: now(),
      })
      .returning({ sequence: ledgerEntries.sequence })
    if (entry.postings.length === 0) return
    const accounts = entry.postings.map(({ account }) => account)
    const amounts = entry.postings.map((posting) => `${posting.micros}`)
    // Shared accounts have no row of a balance, so that the second part leaves them out.
    await queries.execute(sql`
      with moved as (
        select * from unnest(${sql.param(accounts)}::text[], ${sql.param(amounts)}::bigint[]) as m (account, micros)
      ), posted as (
        insert into ${ledgerPostings} (entry, account, micros)
        select ${row!.sequence}::bigint, account, micros from moved
      )
      update ${ledgerBalances} as b set micros = b.micros + moved.micros
      from moved where b.account = moved.account`)
  }
}

const entryColumns = {
  sequence: ledgerEntries.sequence,
  id: ledgerEntries.id,
  key: ledgerEntries.key,
  kind: ledgerEntries.kind,
  requestId: ledgerEntries.requestId,
  description: ledgerEntries.description,
  at: ledgerEntries.at,
}

type EntryRow = Pick<typeof ledgerEntries.$inferSelect, keyof typeof entryColumns>

async function withPostings(queries: Queries, rows: readonly EntryRow[]): Promise<readonly StoredEntry[]> {
  if (rows.length === 0) return []
  const postings = await queries
    .select()
    .from(ledgerPostings)
    .where(
      inArray(
        ledgerPostings.entry,
        rows.map(({ sequence }) => sequence),
      ),
    )
    .orderBy(sql`${ledgerPostings.account} collate "C"`)
  const byEntry = new Map<number, StoredEntry['postings'][number][]>()
  for (const { entry, account, micros: value } of postings) {
    const list = byEntry.get(entry) ?? []
    list.push({ account: account as AccountId, micros: micros(value) })
    byEntry.set(entry, list)
  }
  return rows.map((row) => ({
    ...row,
    kind: row.kind as LedgerCommand['kind'],
    postings: byEntry.get(row.sequence) ?? [],
  }))
}

async function lockReservation(queries: Queries, id: ReservationId): Promise<Reservation | null> {
  const [row] = await queries
    .select()
    .from(ledgerReservations)
    .where(eq(ledgerReservations.id, id))
    .for('update')
  return row === undefined ? null : reservationOf(row)
}

/** In the given order, which all follow, so that two never wait for each other. */
async function lockBalances(
  queries: Queries,
  accounts: readonly AccountId[],
): Promise<ReadonlyMap<AccountId, Micros>> {
  if (accounts.length === 0) return new Map()
  await queries
    .insert(ledgerBalances)
    .values(accounts.map((account) => ({ account, micros: 0n })))
    .onConflictDoNothing()
  const rows = await queries
    .select()
    .from(ledgerBalances)
    .where(inArray(ledgerBalances.account, [...accounts]))
    .orderBy(sql`${ledgerBalances.account} collate "C"`)
    .for('update')
  return new Map(rows.map((row) => [row.account as AccountId, micros(row.micros)]))
}

/** Reserving makes the row, closing changes it. */
async function writeReservation(queries: Queries, reservation: Reservation): Promise<void> {
  const { id, closing } = reservation
  if (closing === null) {
    await queries.insert(ledgerReservations).values({
      id,
      organisationId: reservation.organisation,
      budgets: reservation.budgets.map(({ budget, period }) => ({ budget, period })),
      currency: reservation.price.currency,
      priceMicros: reservation.price.micros,
      expiresAt: new Date(reservation.expiresAtMs),
    })
    return
  }
  const { outcome, chargedMicros, forgoneMicros } = closing
  await queries
    .update(ledgerReservations)
    .set({ closing: { outcome, chargedMicros: `${chargedMicros}`, forgoneMicros: `${forgoneMicros}` } })
    .where(eq(ledgerReservations.id, id))
}

export function reservationOf(row: typeof ledgerReservations.$inferSelect): Reservation {
  const { closing } = row
  return {
    id: reservationId(row.id),
    organisation: organisationId(row.organisationId),
    budgets: row.budgets as Reservation['budgets'] & typeof row.budgets,
    price: money(row.priceMicros, currency(row.currency)),
    expiresAtMs: row.expiresAt.getTime(),
    closing: closing && {
      outcome: closing.outcome as Closing['outcome'],
      chargedMicros: micros(BigInt(closing.chargedMicros)),
      forgoneMicros: micros(BigInt(closing.forgoneMicros)),
    },
  }
}
