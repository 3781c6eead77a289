import type { StreamFormat } from '../http/answering.ts'
import type { Problem } from '../http/problem.ts'
import { type AnswerEvent, type ChatAnswer, collectChats } from '../inference/answers.ts'
import { argumentsObject } from '../inference/chat/call-arguments.ts'
import type { ChatEvent } from '../inference/chat/chat-events.ts'
import type { ToolCall } from '../inference/chat/chat-request.ts'
import { NotReadyError } from '../inference/errors.ts'
import type { Usage } from '../inference/text-generation.ts'
import type { TextModel } from '../inference/text-model.ts'
import { ollamaError } from './error-shape.ts'

const NANOSECONDS_PER_MS = 1e6

const now = (): string => new Date().toISOString()

/** How long something took so far, since it was asked for. */
export class Stopwatch {
  readonly #startMs = performance.now()
  #firstMs: number | null = null

  /** A token came. */
  progress(): void {
    this.#firstMs ??= performance.now()
  }

  /** In nanoseconds, as Ollama reports them. Models are loaded before they are served. */
  durations() {
    const nowMs = performance.now()
    const firstMs = this.#firstMs ?? nowMs
    const nanoseconds = (ms: number) => Math.round(ms * NANOSECONDS_PER_MS)
    return {
      total: nanoseconds(nowMs - this.#startMs),
      load: 0,
      promptEval: nanoseconds(firstMs - this.#startMs),
      eval: nanoseconds(nowMs - firstMs),
    }
  }
}

/** What every line of one answer repeats, and what its last one tells. */
export class AnswerFacts {
  constructor(
    readonly model: string,
    readonly promptTokens: number,
    readonly watch: Stopwatch,
  ) {}

  head() {
    return { model: this.model, created_at: now() }
  }

  tail(reason: string, { completionTokens }: Usage) {
    const spent = this.watch.durations()
    return {
      done: true,
      done_reason: reason === 'length' ? 'length' : 'stop',
      total_duration: spent.total,
      load_duration: spent.load,
      prompt_eval_count: this.promptTokens,
      prompt_eval_duration: spent.promptEval,
      eval_count: completionTokens,
      eval_duration: spent.eval,
    }
  }

  /** Passes events on, and notes when the first token came. */
  async *watched(
    events: AsyncIterable<AnswerEvent<ChatEvent>>,
  ): AsyncGenerator<AnswerEvent<ChatEvent>, void> {
    for await (const event of events) {
      if (event.event.type === 'progress') this.watch.progress()
      yield event
    }
  }
}

const toolCallBody = (call: ToolCall, index: number) => ({
  id: call.id,
  function: { index, name: call.name, arguments: argumentsObject(call.arguments) },
})

const messageBody = (content: string, extra: Readonly<Record<string, unknown>> = {}) => ({
  message: { role: 'assistant', content, ...extra },
})

/** How `/api/chat` and `/api/generate` carry what is said. */
export interface Shape {
  content(text: string): Readonly<Record<string, unknown>>
  thinking(text: string): Readonly<Record<string, unknown>>
  toolCall(call: ToolCall, index: number): Readonly<Record<string, unknown>>
  whole(answer: ChatAnswer): Readonly<Record<string, unknown>>
}

export const chatShape: Shape = {
  content: (text) => messageBody(text),
  thinking: (thinking) => messageBody('', { thinking }),
  toolCall: (call, index) => messageBody('', { tool_calls: [toolCallBody(call, index)] }),
  whole: ({ content, reasoning, toolCalls }) =>
    messageBody(content, {
      ...(reasoning !== '' && { thinking: reasoning }),
      ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(toolCallBody) }),
    }),
}

export const generateShape: Shape = {
  content: (response) => ({ response }),
  thinking: (thinking) => ({ response: '', thinking }),
  toolCall: () => ({ response: '' }),
  whole: ({ content, reasoning }) => ({
    response: content,
    ...(reasoning !== '' && { thinking: reasoning }),
  }),
}

/** The whole answer as one object. */
export async function wholeBody(
  facts: AnswerFacts,
  shape: Shape,
  events: AsyncIterable<AnswerEvent<ChatEvent>>,
) {
  const [answer] = await collectChats(facts.watched(events), 1)
  return { ...facts.head(), ...shape.whole(answer!), ...facts.tail(answer!.reason, answer!.usage) }
}

/**
 * What a request that says nothing is answered with: Ollama's clients load models that way.
 *
 * @throws NotReadyError
 */
export function loadedBody({ id, backend }: TextModel, name: string, shape: Shape) {
  if (!backend.status().ready) throw new NotReadyError(`${id} is not loaded yet.`, 1000)
  return { model: name, created_at: now(), ...shape.content(''), done: true, done_reason: 'load' }
}

/** One line of JSON for each piece; a call is sent when its arguments are complete. */
export class LineStream implements StreamFormat<ChatEvent> {
  readonly framing = 'ndjson'
  readonly #calls: { id: string; name: string; arguments: string }[] = []

  constructor(
    private readonly facts: AnswerFacts,
    private readonly shape: Shape,
  ) {}

  start(): readonly unknown[] {
    return []
  }

  event({ event }: AnswerEvent<ChatEvent>): readonly unknown[] {
    switch (event.type) {
      case 'progress':
        this.facts.watch.progress()
        return []
      case 'content':
        return event.text === '' ? [] : [this.#line(this.shape.content(event.text))]
      case 'reasoning':
        return [this.#line(this.shape.thinking(event.text))]
      case 'tool-call':
        this.#calls[event.index] = { id: event.id, name: event.name, arguments: '' }
        return []
      case 'tool-arguments':
        this.#calls[event.index]!.arguments += event.text
        return []
      case 'tool-call-end':
        return [this.#line(this.shape.toolCall(this.#calls[event.index]!, event.index))]
      case 'finish':
        return [
          { ...this.facts.head(), ...this.shape.content(''), ...this.facts.tail(event.reason, event.usage) },
        ]
    }
  }

  end(): readonly unknown[] {
    return []
  }

  error(problem: Problem): readonly unknown[] {
    return [ollamaError(problem)]
  }

  #line(piece: Readonly<Record<string, unknown>>) {
    return { ...this.facts.head(), ...piece, done: false }
  }
}
