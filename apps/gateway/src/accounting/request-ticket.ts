import {
  type AccessGrant,
  type AnsweredRequest,
  type ApiClient,
  ApiError,
  type Money,
  type RouteTarget,
} from '@deos/api'
import { type Clock, ms, tokens } from '@deos/domain'
import type { Charge, RateLimits } from '../access/rate-limits.ts'
import type { Visit } from '../access/visit.ts'
import { Problem } from '../http/problem.ts'
import { AnswerTrace } from './answer-trace.ts'
import { hopsOf } from './hops.ts'
import { chargedPrices, costOf, largestCost, type TokenCounts, type TokenPrices } from './prices.ts'
import type { RecordHandover } from './record-handover.ts'
import type { Operation, Ticket, Work } from './ticket.ts'
import { timelineOf } from './timeline.ts'

/** A request that is over, with what only its gateway knows. */
export interface EndedRequest {
  readonly record: AnsweredRequest
  readonly visit: Visit
  readonly operation: Operation
}

export interface TicketOptions {
  /** From a request to the end of its answer; 0 is unlimited. */
  readonly requestTimeoutMs: number
  /** Records with a cost, waiting or to come, above which nothing priced is begun. */
  readonly maxPricedRecords: number
}

export interface TicketParts {
  readonly client: Pick<ApiClient['gateway'], 'reserve'>
  readonly limits: RateLimits
  readonly handover: RecordHandover
  readonly clock: Clock
  /** Milliseconds since 1970. */
  readonly wallMs: () => number
  readonly onEnd: (ended: EndedRequest) => void
  /** Told of requests that limits or budgets kept out. */
  readonly onRefused: (why: 'rate' | 'budget') => void
}

const DAY_MS = 86_400_000
/** A reservation outlives its request by this. */
const RESERVATION_MARGIN_MS = 60_000
const RESERVE_LIMIT_MS = 5_000
/** The request's id makes reserving happen once, so it may be tried again. */
const RESERVE_TRIES = 2
const RETRY_MS = 2_000
/** What left before its answer was complete. */
const CLIENT_GONE = 499

/** Gives out tickets for requests to deployments. */
export class TicketDesk {
  readonly #options: TicketOptions
  readonly #parts: TicketParts
  /** Tickets with money held for them. */
  #reserved = 0

  constructor(options: TicketOptions, parts: TicketParts) {
    this.#options = options
    this.#parts = parts
  }

  /**
   * Opens the ticket of a request and counts the request.
   *
   * @throws Problem 429; the request has its ticket then, too
   */
  open(visit: Visit, grant: AccessGrant, target: RouteTarget): RequestTicket {
    const ticket = new RequestTicket(visit, grant, target, this, this.#parts)
    visit.ticket = ticket
    this.refusing('rate', () => this.#parts.limits.takeRequest(grant))
    return ticket
  }

  /** Counts what is refused. @throws whatever `check` throws */
  refusing<T>(why: 'rate' | 'budget', check: () => T): T {
    try {
      return check()
    } catch (error) {
      this.#parts.onRefused(why)
      throw error
    }
  }

  /**
   * Holds the most a request can cost.
   *
   * @throws Problem 402 if there is not so much left, 503 if nobody can say
   */
  async reserve(visit: Visit, grant: AccessGrant, price: Money): Promise<void> {
    if (this.#parts.handover.priced + this.#reserved >= this.#options.maxPricedRecords) {
      throw unavailable('Too many charges wait for the control plane.', null)
    }
    this.#reserved += 1
    try {
      await this.#holdOrRefuse(visit, grant, price)
    } catch (error) {
      this.#reserved -= 1
      throw error
    }
  }

  released(): void {
    this.#reserved -= 1
  }

  async #holdOrRefuse(visit: Visit, grant: AccessGrant, price: Money): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#hold(visit, grant, price)
        return
      } catch (error) {
        if (!(error instanceof ApiError)) throw error
        if (error.problemName === 'budget-exhausted') {
          this.#parts.onRefused('budget')
          throw exhausted(error)
        }
        if (!error.retriable || attempt >= RESERVE_TRIES) {
          throw unavailable('The price of this request cannot be reserved at the moment.', error)
        }
      }
    }
  }

  async #hold(visit: Visit, grant: AccessGrant, price: Money): Promise<void> {
    const { requestTimeoutMs } = this.#options
    const durationMs =
      requestTimeoutMs === 0 ? DAY_MS : Math.min(DAY_MS, requestTimeoutMs + RESERVATION_MARGIN_MS)
    const { organisationId, projectId, keyId } = grant
    try {
      await this.#parts.client.reserve({
        body: { requestId: visit.id, organisationId, projectId, keyId, price, durationMs },
        signal: AbortSignal.timeout(RESERVE_LIMIT_MS),
      })
    } catch (error) {
      throw error instanceof DOMException ? ApiError.unreachable('The control plane', error) : error
    }
  }
}

type ReserveState = 'none' | 'asked' | 'refused' | 'held'

/** One request to a deployment. */
export class RequestTicket implements Ticket {
  readonly #visit: Visit
  readonly #grant: AccessGrant
  readonly #target: RouteTarget
  readonly #desk: TicketDesk
  readonly #parts: TicketParts
  readonly #prices: TokenPrices | null
  readonly #answers: AnswerTrace[] = []
  /** Prompts that were turned into vectors. */
  #embedded = false
  #charge: Charge | null = null
  #work: Work | null = null
  #reserve: ReserveState = 'none'
  #ended = false

  constructor(visit: Visit, grant: AccessGrant, target: RouteTarget, desk: TicketDesk, parts: TicketParts) {
    this.#visit = visit
    this.#grant = grant
    this.#target = target
    this.#desk = desk
    this.#parts = parts
    this.#prices = chargedPrices(target.prices)
  }

  get trace(): string | null {
    return this.#visit.span?.traceparent ?? null
  }

  headers(): Readonly<Record<string, string>> {
    return this.#parts.limits.headers(this.#grant)
  }

  async admit(work: Work): Promise<void> {
    this.#work = work
    const { promptTokens, mostTokens, bounded } = work
    this.#charge = this.#desk.refusing('rate', () =>
      this.#parts.limits.takeTokens(this.#grant, promptTokens + mostTokens, bounded),
    )
    if (this.#prices === null) return
    this.#reserve = 'asked'
    try {
      await this.#desk.reserve(this.#visit, this.#grant, largestCost(this.#prices, promptTokens, mostTokens))
      this.#reserve = 'held'
    } catch (error) {
      // Unless it was refused, it may have been held all the same.
      if (error instanceof Problem && error.status === 402) this.#reserve = 'refused'
      throw error
    }
  }

  /** The trace of one of the request's answers, or of one of its vectors. */
  answer(prompt: Int32Array): AnswerTrace {
    const trace = new AnswerTrace(prompt)
    this.#answers.push(trace)
    return trace
  }

  /** A vector was handed out: prompts count though no token was generated. */
  embedded(): void {
    this.#embedded = true
  }

  end(status: number): void {
    if (this.#ended) return
    this.#ended = true
    const record = this.#record(status)
    this.#charge?.correct(record.promptTokens + record.completionTokens)
    if (this.#reserve === 'held') this.#desk.released()
    this.#parts.handover.add(record)
    const operation = this.#work?.operation ?? 'chat'
    this.#parts.onEnd({ record, visit: this.#visit, operation })
  }

  #record(status: number): AnsweredRequest {
    const { arrivedMs, id } = this.#visit
    const endMs = this.#parts.clock.now()
    const durationMs = endMs - arrivedMs
    const answers = this.#answers
    const firsts = answers.flatMap(({ firstMs }) => (firstMs === null ? [] : [firstMs]))
    const tokenTimes = answers.flatMap(({ tokenMs }) => (tokenMs === null ? [] : [tokenMs]))
    const counts = this.#counts(status)
    return {
      id: id as AnsweredRequest['id'],
      at: new Date(this.#parts.wallMs() - durationMs).toISOString(),
      organisationId: this.#grant.organisationId,
      projectId: this.#grant.projectId,
      keyId: this.#grant.keyId,
      userId: this.#grant.userId,
      model: this.#target.name,
      deploymentId: this.#target.deploymentId,
      replicaId: (answers.find(({ replicaId }) => replicaId !== null)?.replicaId ??
        null) as AnsweredRequest['replicaId'],
      status,
      streamed: this.#work?.streamed ?? false,
      promptTokens: tokens(counts.promptTokens),
      cachedPromptTokens: tokens(counts.cachedPromptTokens),
      completionTokens: tokens(counts.completionTokens),
      cost: this.#cost(counts),
      ttftMs: firsts.length === 0 ? null : ms(Math.max(0, Math.min(...firsts) - arrivedMs)),
      tpotMs:
        tokenTimes.length === 0
          ? null
          : ms(tokenTimes.reduce((sum, time) => sum + time, 0) / tokenTimes.length),
      durationMs: ms(durationMs),
      interruptions: answers.reduce((sum, { interruptions }) => sum + interruptions.length, 0),
      timeline: timelineOf(answers, { startMs: arrivedMs, endMs }),
      hops: hopsOf(answers),
      split: (answers.find(({ split }) => split?.used) ?? answers.find(({ split }) => split))?.split ?? null,
      reserved: this.#reserve === 'held' || this.#reserve === 'asked',
    }
  }

  /** What the request took; nothing if its sender got nothing. */
  #counts(status: number): TokenCounts {
    const completionTokens = this.#answers.reduce((sum, answer) => sum + answer.tokens, 0)
    const reached = status < 400 || ((this.#work?.streamed || status === CLIENT_GONE) && completionTokens > 0)
    if (this.#work === null || !reached || (completionTokens === 0 && !this.#embedded)) {
      return { promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0 }
    }
    // Answers to one prompt share it: as cached counts what none of them had to compute.
    const cached = new Map<Int32Array, number>()
    for (const { prompt, cachedTokens } of this.#answers) {
      if (cachedTokens !== null)
        cached.set(prompt, Math.min(cachedTokens, cached.get(prompt) ?? prompt.length))
    }
    const cachedPromptTokens = [...cached.values()].reduce((sum, value) => sum + value, 0)
    const { promptTokens } = this.#work
    return {
      promptTokens,
      cachedPromptTokens: Math.min(promptTokens, cachedPromptTokens),
      completionTokens,
    }
  }

  #cost(counts: TokenCounts): Money {
    if (this.#prices === null) {
      return { currency: this.#target.prices?.promptPerMillion.currency ?? 'USD', microUnits: '0' }
    }
    return this.#reserve === 'held'
      ? costOf(this.#prices, counts)
      : { currency: this.#prices.promptPerMillion.currency, microUnits: '0' }
  }
}

const exhausted = (cause: ApiError): Problem =>
  new Problem({
    status: 402,
    type: 'insufficient_quota',
    code: 'insufficient_quota',
    message: cause.message,
    hint: cause.hint,
    cause,
  })

const unavailable = (message: string, cause: unknown): Problem =>
  new Problem({
    status: 503,
    type: 'service_unavailable_error',
    code: 'budget_unknown',
    message,
    hint: 'Send the request again shortly.',
    retryAfterMs: RETRY_MS,
    cause,
  })
