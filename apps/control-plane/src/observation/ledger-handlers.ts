import { type Handlers, type LedgerEntry, type Routes, money as told } from '@deos/api'
import { currency, deposit, money, parseAccount } from '@deos/ledger'
import type { Database } from '../database/database.ts'
import type { EventStore } from '../events/event-store.ts'
import { type Caller, organisationOf } from '../http/caller.ts'
import type { LedgerStore, StoredEntry } from '../ledger/ledger-store.ts'
import { currencyOf } from './usage-handlers.ts'

export interface LedgerHandlerParts {
  readonly database: Database
  readonly ledger: LedgerStore
  readonly events: EventStore
  readonly now: () => Date
  readonly newKey: () => string
}

export const ledgerHandlers = ({
  database,
  ledger,
  events,
  now,
  newKey,
}: LedgerHandlerParts): Pick<Handlers<Routes, Caller>, 'ledger'> => ({
  ledger: {
    async balance(_, caller) {
      const organisation = organisationOf(caller)
      const of = currency(await currencyOf(database, organisation))
      const { available, held, credit, payable } = await ledger.standing(organisation, of)
      return {
        at: now().toISOString(),
        // What was lent is no balance: without it, what was used and not paid shows as a debt.
        balance: told(available + held - credit, of),
        reserved: told(held, of),
        available: told(available, of),
        earned: told(payable, of),
      }
    },
    async entries({ query }, caller) {
      const organisation = organisationOf(caller)
      const { items, nextCursor } = await ledger.entries(organisation, query.cursor ?? null, query.limit)
      return { items: items.map(entryOf), nextCursor }
    },
    async deposit({ body, idempotencyKey }, caller) {
      const organisation = organisationOf(caller)
      const amount = money(BigInt(body.amount.microUnits), currency(body.amount.currency))
      const key = `deposit:${organisation}:${idempotencyKey ?? newKey()}`
      const entry = await database.transaction(async (queries) => {
        const command = deposit(key, organisation, amount, 'manual')
        const description = body.comment ?? 'Paid in by hand.'
        const { outcome } = await ledger.execute(
          command,
          { organisation, requestId: null, description },
          queries,
        )
        if (outcome === 'posted') {
          await events.tell(queries, [
            {
              type: 'ledger.deposited',
              organisation,
              data: { amount: body.amount },
              cause: caller.cause,
              machine: null,
              deployment: null,
              atMs: now().getTime(),
            },
          ])
        }
        return ledger.entryOf(key, queries)
      })
      return entryOf(entry)
    },
  },
})

const kinds: Readonly<Record<string, LedgerEntry['kind']>> = {
  reserve: 'reserve',
  settle: 'settle',
  release: 'release',
  expire: 'release',
  credit: 'adjust',
}

/** Deposits are transfers out of an external account into what the organisation has. */
function kindOf({ kind, key }: StoredEntry): LedgerEntry['kind'] {
  return kinds[kind] ?? (key.startsWith('deposit:') ? 'deposit' : 'adjust')
}

/** Budgets count, but move no money: their postings are left out. */
const entryOf = (entry: StoredEntry): LedgerEntry =>
  ({
    id: entry.id,
    at: entry.at.toISOString(),
    kind: kindOf(entry),
    description: entry.description,
    requestId: entry.requestId,
    postings: entry.postings.flatMap(({ account, micros }) => {
      const { kind, currency: of, period } = parseAccount(account)
      return period === null ? [{ account: kind, amount: told(micros, of) }] : []
    }),
  }) as unknown as LedgerEntry
