import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '@deos/domain'
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  type Answer,
  type AnswerEvent,
  type AnswersRequest,
  collectAnswers,
  writeAnswers,
} from '../inference/answers.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { EventStream, type EventStreamLimits, SlowReaderError } from './event-stream.ts'
import type { Problem } from './problem.ts'
import { asProblem } from './problem-mapping.ts'
import { ClientGoneError, RequestScope } from './request-scope.ts'

/** How one API writes an answer as server-sent events; each returned item is one event's data. */
export interface StreamFormat {
  start(): readonly unknown[]
  event(event: AnswerEvent): readonly unknown[]
  end(): readonly unknown[]
  error(problem: Problem): readonly unknown[]
}

/** A request of any API, understood and tokenized. */
export interface Call {
  readonly request: AnswersRequest
  readonly promptTokens: number
  /** `null` asks for one whole body. */
  readonly stream: StreamFormat | null
  body(answers: readonly Answer[]): unknown
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
  async answer(
    request: FastifyRequest,
    reply: FastifyReply,
    prepare: (signal: AbortSignal) => Promise<Call>,
  ): Promise<unknown> {
    const startMs = this.#clock.now()
    const scope = new RequestScope(reply.raw, this.#limits.requestTimeoutMs)
    this.#scopes.add(scope)
    try {
      const call = await prepare(scope.signal)
      scope.signal.throwIfAborted()
      const model = { model: call.request.model.id }
      this.#metrics().promptTokens.inc(model, call.promptTokens)
      const events = this.#observe(writeAnswers(call.request, scope.signal), model, startMs)
      if (call.stream) return await this.#stream(request, reply, scope, events, call.stream)
      return call.body(await collectAnswers(events, call.request.answers.length))
    } finally {
      scope.dispose()
      this.#scopes.delete(scope)
      if (this.#scopes.size === 0) this.#idle()
    }
  }

  async *#observe(
    events: AsyncIterable<AnswerEvent>,
    model: { readonly model: string },
    startMs: number,
  ): AsyncGenerator<AnswerEvent, void> {
    const firstMs = new Map<number, number>()
    const metrics = this.#metrics()
    for await (const answerEvent of events) {
      const { answer, event } = answerEvent
      if (event.type === 'progress') {
        metrics.completionTokens.inc(model)
        if (!firstMs.has(answer)) {
          firstMs.set(answer, this.#clock.now())
          metrics.ttft.observe(model, (this.#clock.now() - startMs) / 1000)
        }
      } else if (event.type === 'finish' && event.completionTokens > 1) {
        const spentMs = this.#clock.now() - (firstMs.get(answer) ?? startMs)
        metrics.tpot.observe(model, spentMs / 1000 / (event.completionTokens - 1))
      }
      yield answerEvent
    }
  }

  async #stream(
    request: FastifyRequest,
    reply: FastifyReply,
    scope: RequestScope,
    events: AsyncGenerator<AnswerEvent, void>,
    format: StreamFormat,
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
      if (!(error instanceof ClientGoneError || error instanceof SlowReaderError)) {
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
