import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '@deos/domain'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Operation, Work } from '../accounting/ticket.ts'
import { type AnswerEvent, type AnswerSource, writeAnswers } from '../inference/answers.ts'
import type { ChatEvent } from '../inference/chat/chat-events.ts'
import type { TextEvent } from '../inference/text-generation.ts'
import type { TextModel } from '../inference/text-model.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { EventStream, type EventStreamLimits, type Framing, SlowReaderError } from './event-stream.ts'
import type { Problem } from './problem.ts'
import { asProblem } from './problem-mapping.ts'
import { ClientGoneError, RequestScope } from './request-scope.ts'

/** How one API streams an answer; each returned item is one event as {@link EventStream.send} takes it. */
export interface StreamFormat<E> {
  readonly framing: Framing
  start(): readonly unknown[]
  event(event: AnswerEvent<E>): readonly unknown[]
  end(): readonly unknown[]
  error(problem: Problem): readonly unknown[]
}

/** A request of any API, understood and tokenized. */
export interface Call<E extends TextEvent | ChatEvent> {
  readonly model: TextModel
  readonly operation: Operation
  /** All prompts together. */
  readonly promptTokens: number
  /** The most that all answers together may generate. */
  readonly mostTokens: number
  /** Whether the request said itself how much that is. */
  readonly bounded: boolean
  /** Whether a grammar says what may be answered. */
  readonly constrained: boolean
  readonly answers: readonly AnswerSource<E>[]
  /** `null` asks for one whole body. */
  readonly stream: StreamFormat<E> | null
  body(events: AsyncIterable<AnswerEvent<E>>): Promise<unknown>
}

export interface AnsweringLimits extends EventStreamLimits {
  /** From request to end of answer; 0 is unlimited. */
  readonly requestTimeoutMs: number
}

/** Answers calls of every API: whole or streamed, within limits, counted and timed. */
export class Answering {
  readonly #limits: AnsweringLimits
  readonly #metrics: () => GatewayMetrics
  readonly #clock: Clock
  readonly #scopes = new Set<RequestScope>()
  #idle: () => void = () => undefined

  /** @param metrics - read late: the metrics show what is in flight here */
  constructor(limits: AnsweringLimits, metrics: () => GatewayMetrics, clock: Clock) {
    this.#limits = limits
    this.#metrics = metrics
    this.#clock = clock
  }

  get limits(): AnsweringLimits {
    return this.#limits
  }

  get inFlight(): number {
    return this.#scopes.size
  }

  /** Resolves when nothing is in flight, or when `signal` aborts. */
  async idle(signal: AbortSignal): Promise<void> {
    if (this.#scopes.size === 0 || signal.aborted) return
    await new Promise<void>((resolve) => {
      this.#idle = resolve
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  /** Ends every answer now. */
  abort(reason: Problem): void {
    for (const scope of this.#scopes) scope.abort(reason)
  }

  /**
   * Understands a request by `prepare` and answers it.
   *
   * @throws whatever `prepare` and the backend throw, while the answer has not begun
   */
  answer<E extends TextEvent | ChatEvent>(
    request: FastifyRequest,
    reply: FastifyReply,
    prepare: (signal: AbortSignal) => Promise<Call<E>>,
  ): Promise<unknown> {
    const startMs = this.#clock.now()
    return this.#within(request, reply, async (scope) => {
      const call = await prepare(scope.signal)
      scope.signal.throwIfAborted()
      const { operation, promptTokens, mostTokens, bounded } = call
      const streamed = call.stream !== null
      await this.admit(request, { operation, promptTokens, mostTokens, bounded, streamed })
      scope.signal.throwIfAborted()
      reply.headers(request.visit.ticket?.headers() ?? {})
      const model = this.#metrics().modelLabel(call.model.id)
      this.#metrics().promptTokens.inc(model, call.promptTokens)
      if (call.constrained) this.#metrics().constrainedRequests.inc(model)
      const events = this.#observe(writeAnswers(call.answers, scope.signal), model, startMs)
      if (call.stream) return this.#stream(request, reply, scope, events, call.stream)
      return call.body(events)
    })
  }

  /**
   * Answers a request that generates nothing, within the same limits.
   *
   * @throws whatever `work` throws
   */
  run(
    request: FastifyRequest,
    reply: FastifyReply,
    work: (signal: AbortSignal) => Promise<unknown>,
  ): Promise<unknown> {
    return this.#within(request, reply, async ({ signal }) => {
      const answer = await work(signal)
      reply.headers(request.visit.ticket?.headers() ?? {})
      return answer
    })
  }

  /**
   * Asks limits and budgets whether a request may be worked on.
   *
   * @throws Problem 402, 429 or 503
   */
  async admit({ visit }: FastifyRequest, work: Work): Promise<void> {
    await visit.ticket?.admit(work)
  }

  async #within(
    { visit }: FastifyRequest,
    reply: FastifyReply,
    work: (scope: RequestScope) => Promise<unknown>,
  ): Promise<unknown> {
    const scope = new RequestScope(reply.raw, this.#limits.requestTimeoutMs)
    this.#scopes.add(scope)
    try {
      const answer = await work(scope)
      visit.ticket?.end(200)
      return answer
    } catch (error) {
      visit.ticket?.end(statusOf(error))
      throw error
    } finally {
      scope.dispose()
      this.#scopes.delete(scope)
      if (this.#scopes.size === 0) this.#idle()
    }
  }

  async *#observe<E extends TextEvent | ChatEvent>(
    events: AsyncIterable<AnswerEvent<E>>,
    model: { readonly model: string },
    startMs: number,
  ): AsyncGenerator<AnswerEvent<E>, void> {
    const firstMs = new Map<number, number>()
    const metrics = this.#metrics()
    for await (const answerEvent of events) {
      const { answer } = answerEvent
      const event: TextEvent | ChatEvent = answerEvent.event
      if (event.type === 'progress') {
        metrics.completionTokens.inc(model)
        if (!firstMs.has(answer)) {
          firstMs.set(answer, this.#clock.now())
          metrics.ttft.observe(model, (this.#clock.now() - startMs) / 1000)
        }
      } else if (event.type === 'tool-call') {
        metrics.toolCalls.inc(model)
      } else if (event.type === 'finish') {
        const { completionTokens, cachedTokens, reasoningTokens } = event.usage
        metrics.cachedPromptTokens.inc(model, cachedTokens)
        metrics.reasoningTokens.inc(model, reasoningTokens)
        if (completionTokens > 1) {
          const spentMs = this.#clock.now() - (firstMs.get(answer) ?? startMs)
          metrics.tpot.observe(model, spentMs / 1000 / (completionTokens - 1))
        }
      }
      yield answerEvent
    }
  }

  async #stream<E>(
    request: FastifyRequest,
    reply: FastifyReply,
    scope: RequestScope,
    events: AsyncGenerator<AnswerEvent<E>, void>,
    format: StreamFormat<E>,
  ): Promise<FastifyReply> {
    // Until the first token, or the first ping is due, a refusal can still be an ordinary answer with its own status.
    const first = events.next()
    const patience = new AbortController()
    const waited = delay(this.#limits.pingMs, null, { signal: patience.signal }).catch(() => null)
    try {
      await Promise.race([first, waited])
    } finally {
      patience.abort()
    }

    reply.header('openai-processing-ms', Math.round(reply.elapsedTime)).hijack()
    const stream = new EventStream(
      reply.raw,
      reply.getHeaders() as Record<string, string>,
      format.framing,
      this.#limits,
      (error) => {
        this.#metrics().cutReaders.inc()
        request.log.warn(error.message)
        scope.abort(error)
      },
    )
    const send = (items: readonly unknown[]) => {
      for (const item of items) stream.send(item)
    }
    try {
      send(format.start())
      for (let result = await first; !result.done; result = await events.next())
        send(format.event(result.value))
      send(format.end())
    } catch (error) {
      request.visit.ticket?.end(statusOf(error))
      if (!isReaderGone(error)) {
        const problem = asProblem(error)
        request.log[problem.status === 500 ? 'error' : 'warn'](
          { err: error },
          'A stream ended with an error.',
        )
        send(format.error(problem))
      }
    } finally {
      stream.end()
    }
    return reply
  }
}

/** As web servers log a client that left first. */
const CLIENT_GONE = 499

const isReaderGone = (error: unknown): boolean =>
  error instanceof ClientGoneError || error instanceof SlowReaderError

/** The status that an error has, or would have had before the answer began. */
const statusOf = (error: unknown): number => (isReaderGone(error) ? CLIENT_GONE : asProblem(error).status)
