import { type AnsweredRequest, ProblemError, type ProblemMapping } from '@deos/api'
import { DomainError, type OrganisationId, organisationId } from '@deos/domain'
import {
  BudgetExceededError,
  type Currency,
  currency,
  largestAmount,
  type Money,
  money,
  ReservationClosedError,
  ReservationNotFoundError,
  reservationId,
  revenueAccount,
} from '@deos/ledger'
import type { Logger } from '@deos/service'
import { and, eq, isNull } from 'drizzle-orm'
import type { Database, Queries } from '../database/database.ts'
import { apiKeys, projects, settings } from '../database/schema/index.ts'
import type { EventStore } from '../events/event-store.ts'
import type { LedgerStore } from '../ledger/ledger-store.ts'
import { keyBudget, levelAt, organisationBudget, projectBudget } from './budgets.ts'
import { countUsage, keepRecords } from './request-store.ts'

export interface ReservationOrder {
  readonly requestId: string
  readonly organisationId: OrganisationId
  readonly projectId: string
  readonly keyId: string | null
  readonly price: { readonly currency: string; readonly microUnits: string }
  readonly durationMs: number
}

export interface ChargingParts {
  readonly database: Database
  readonly ledger: LedgerStore
  readonly events: EventStore
  readonly now: () => Date
  readonly logger: Logger
  /** Whether organisations may only use what was paid in; else they are lent whatever they use, and only budgets limit. */
  readonly prepaid: boolean
}

/** Reservations outlive the request they are for by this, so that its record has time to arrive. */
const GRACE_MS = 10 * 60_000
const EXPIRED_AT_ONCE = 200

export const chargingProblems: ProblemMapping = {
  BUDGET_EXCEEDED: 'budget-exhausted',
  INSUFFICIENT_FUNDS: 'budget-exhausted',
  RESERVATION_EXISTS: 'conflict',
  IDEMPOTENCY_CONFLICT: 'conflict',
  AMOUNT_INVALID: 'validation',
  LEDGER_INPUT_INVALID: 'validation',
}

/** Reserves what requests may cost, and charges what they did. */
export class Charging {
  readonly #parts: ChargingParts
  /** Organisations that may owe without limit already, as far as this process knows. */
  readonly #lent = new Set<string>()
  /** Budgets of which was told that they are used up, by period. */
  readonly #told = new Set<string>()

  constructor(parts: ChargingParts) {
    this.#parts = parts
  }

  /**
   * Holds a price at every level at once: key, project, organisation and what the organisation has.
   *
   * @throws BudgetExceededError, InsufficientFundsError if a level has too little left
   */
  async reserve(order: ReservationOrder): Promise<Date> {
    const { database, ledger, now } = this.#parts
    const paidIn = currency(order.price.currency)
    await this.#lend(order.organisationId, paidIn)
    const expiresAt = new Date(now().getTime() + order.durationMs + GRACE_MS)
    const chain = await this.#chain(database.queries, order)
    try {
      const decision = await ledger.execute(
        {
          kind: 'reserve',
          key: reserveKey(order.requestId),
          reservation: reservationId(order.requestId),
          organisation: order.organisationId,
          budgets: chain.map((limit) => levelAt(limit, now(), paidIn)),
          price: money(BigInt(order.price.microUnits), paidIn),
          expiresAtMs: expiresAt.getTime(),
        },
        {
          organisation: order.organisationId,
          requestId: order.requestId,
          description: 'Held for a request.',
        },
      )
      if (decision.outcome === 'posted') return expiresAt
      if (decision.reservation?.closing !== null) {
        throw new ProblemError('conflict', `Request ${order.requestId} was charged already.`)
      }
      return new Date(decision.reservation.expiresAtMs)
    } catch (error) {
      if (error instanceof BudgetExceededError) await this.#tellReached(order, error)
      throw error
    }
  }

  /** Charges, counts and logs answered requests, each once however often it is handed over. */
  async record(requests: readonly AnsweredRequest[]): Promise<void> {
    const { database } = this.#parts
    const free = requests.filter(({ reserved }) => !reserved)
    if (free.length > 0) {
      await database.transaction(async (queries) => {
        await countUsage(queries, await keepRecords(queries, free))
      })
    }
    // One transaction each: settlements lock accounts in an order of their own.
    for (const request of requests.filter(({ reserved }) => reserved)) {
      await database.transaction(async (queries) => {
        const fresh = await keepRecords(queries, [request])
        if (fresh.length === 0) return
        await this.#settle(queries, request)
        await countUsage(queries, fresh)
      })
    }
  }

  /** Gives back what was held for requests of which nothing was heard. */
  async expireOverdue(): Promise<number> {
    const { ledger, now } = this.#parts
    const overdue = await ledger.overdue(now(), EXPIRED_AT_ONCE)
    for (const { id, organisation } of overdue) {
      await ledger
        .execute(
          { kind: 'expire', key: `expire:${id}`, reservation: id, nowMs: now().getTime() },
          { organisation, requestId: id, description: 'Given back: nothing was heard of the request.' },
        )
        .catch((error: unknown) => {
          // Settled in between: that is the better end.
          if (!(error instanceof ReservationClosedError)) throw error
        })
    }
    return overdue.length
  }

  async #settle(queries: Queries, request: AnsweredRequest): Promise<void> {
    const paidIn = currency(request.cost.currency)
    const charge = money(BigInt(request.cost.microUnits), paidIn)
    try {
      await this.#charge(queries, request, request.id, charge)
    } catch (error) {
      const late = error instanceof ReservationClosedError && error.closing.outcome === 'expired'
      if (!late && !(error instanceof ReservationNotFoundError)) throw error
      await this.#chargeLate(queries, request, charge)
    }
  }

  async #charge(
    queries: Queries,
    request: AnsweredRequest,
    reservation: string,
    charge: Money,
  ): Promise<void> {
    await this.#parts.ledger.execute(
      {
        kind: 'settle',
        key: `settle:${reservation}`,
        reservation: reservationId(reservation),
        charge,
        shares: [{ account: revenueAccount('inference', charge.currency), weight: 1 }],
        overrun: 'cap',
      },
      aboutRequest(
        request,
        `${request.model}: ${request.promptTokens} + ${request.completionTokens} tokens.`,
      ),
      queries,
    )
  }

  /** Its reservation ran out before its record came: it is paid if there is still money, and forgone otherwise. */
  async #chargeLate(queries: Queries, request: AnsweredRequest, charge: Money): Promise<void> {
    const { ledger, now, logger } = this.#parts
    const reservation = `${request.id}.late`
    const chain = await this.#chain(queries, request)
    try {
      await ledger.execute(
        {
          kind: 'reserve',
          key: reserveKey(reservation),
          reservation: reservationId(reservation),
          organisation: request.organisationId,
          budgets: chain.map((limit) => levelAt(limit, now(), charge.currency)),
          price: charge,
          expiresAtMs: now().getTime() + GRACE_MS,
        },
        aboutRequest(request, 'Held for a request whose record came late.'),
        queries,
      )
    } catch (error) {
      if (!(error instanceof DomainError)) throw error
      logger.warn({ request: request.id }, `A late charge is forgone: ${error.message}`)
      return
    }
    await this.#charge(queries, request, reservation, charge)
  }

  async #chain(
    queries: Queries,
    {
      organisationId: organisation,
      projectId,
      keyId,
    }: Pick<ReservationOrder, 'organisationId' | 'projectId' | 'keyId'>,
  ) {
    // One after another: these may be of one transaction.
    const [project] = await queries
      .select({ budget: projects.budget })
      .from(projects)
      .where(and(eq(projects.id, projectId), eq(projects.organisationId, organisation)))
    const [whole] = await queries
      .select({ budget: settings.budget })
      .from(settings)
      .where(eq(settings.organisationId, organisation))
    const [key] =
      keyId === null
        ? []
        : await queries
            .select({ budget: apiKeys.budget })
            .from(apiKeys)
            .where(
              and(eq(apiKeys.id, keyId), eq(apiKeys.organisationId, organisation), isNull(apiKeys.userId)),
            )
    if (!project) throw new ProblemError('not-found', `There is no project ${projectId}.`)
    return [
      ...(keyId !== null && key ? [{ budget: keyBudget(keyId), limit: key.budget }] : []),
      { budget: projectBudget(projectId), limit: project.budget },
      { budget: organisationBudget(organisation), limit: whole?.budget ?? null },
    ]
  }

  async #lend(organisation: OrganisationId, of: Currency): Promise<void> {
    const key = `credit:${organisation}:${of}:open`
    if (this.#parts.prepaid || this.#lent.has(key)) return
    await this.#parts.ledger.execute(
      { kind: 'credit', key, organisation, limit: money(largestAmount, of) },
      { organisation, requestId: null, description: 'May owe what it uses.' },
    )
    this.#lent.add(key)
  }

  async #tellReached(order: ReservationOrder, { budget, limit }: BudgetExceededError): Promise<void> {
    const { database, events, now } = this.#parts
    const name = `${budget.budget} ${budget.period} ${limit.micros}`
    if (this.#told.has(name)) return
    this.#told.add(name)
    await database.transaction((queries) =>
      events.tell(queries, [
        {
          type: 'budget.reached',
          organisation: organisationId(order.organisationId),
          data: {
            keyId: budget.budget === `key:${order.keyId}` ? order.keyId : null,
            projectId: order.projectId,
            limit: { currency: limit.currency, microUnits: `${limit.micros}` },
          },
          cause: order.keyId === null ? { kind: 'system' } : { kind: 'key', id: order.keyId },
          machine: null,
          deployment: null,
          atMs: now().getTime(),
        },
      ]),
    )
  }
}

const reserveKey = (reservation: string): string => `reserve:${reservation}`

const aboutRequest = ({ organisationId: organisation, id }: AnsweredRequest, description: string) => ({
  organisation,
  requestId: id,
  description,
})
