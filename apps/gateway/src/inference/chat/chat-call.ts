import { createHash } from 'node:crypto'
import type { Operation } from '../../accounting/ticket.ts'
import type { AnswerSource } from '../answers.ts'
import { InvalidFieldError } from '../errors.ts'
import type { ChatFormat } from '../formats/chat-format.ts'
import type { AnswerParser, Piece } from '../formats/pieces.ts'
import { ReasoningParser } from '../formats/reasoning.ts'
import { generateText, mostTokens, type TextRequest, type TextToken } from '../text-generation.ts'
import type { TextModel } from '../text-model.ts'
import type { ChatEvent, ChatFinish } from './chat-events.ts'
import type { ChatRequest } from './chat-request.ts'
import { constraintFor, type ThoughtState } from './constraint.ts'
import { conversationFor } from './conversation.ts'

/** A conversation as tokens, and its answers ready to be written. */
export interface PreparedChat {
  readonly model: TextModel
  readonly operation: Operation
  readonly promptTokens: number
  /** The most that all answers together may generate. */
  readonly mostTokens: number
  /** Whether the request said itself how much that is. */
  readonly bounded: boolean
  /** Whether a grammar says what may be answered. */
  readonly constrained: boolean
  readonly answers: readonly AnswerSource<ChatEvent>[]
}

/**
 * Renders and tokenizes a conversation.
 *
 * @throws InvalidFieldError, ChatTemplateError, PromptTooLongError, GrammarError
 */
export async function prepareChat(
  model: TextModel,
  request: ChatRequest,
  signal: AbortSignal,
): Promise<PreparedChat> {
  const { format } = model
  const { toolChoice } = request
  if (toolChoice.type === 'named' && !request.tools.some(({ name }) => name === toolChoice.name)) {
    throw new InvalidFieldError(
      'tool_choice',
      `'tool_choice' names the function '${toolChoice.name}', which is not among the tools.`,
      `Offered are: ${request.tools.map(({ name }) => name).join(', ') || 'none'}.`,
    )
  }
  if (toolChoice.type === 'required' && request.tools.length === 0) {
    throw new InvalidFieldError(
      'tool_choice',
      "'tool_choice' demands a call, but no tools are offered.",
      "Add 'tools', or leave 'tool_choice' out.",
    )
  }
  const tools = toolChoice.type === 'none' ? [] : request.tools
  const rendered = model.renderChat(conversationFor(request, tools, format))
  const thoughts = thoughtState(rendered, format)
  const grammar = constraintFor(request, tools, model, thoughts)
  const prompt = await model.encode(rendered, 'template', signal)
  const offered = new Map(tools.map(({ name, parameters }) => [name, parameters ?? true]))
  const marksCalls = offered.size > 0 || format.tools.marksAll
  const visibleTokens = [
    ...(marksCalls ? format.tools.visibleTokens : []),
    ...(format.reasoning === null ? [] : [format.reasoning.open, format.reasoning.close]),
  ]
  const { maxTokens, stopStrings, ignoreEos, deadlineMs, tenant, priority } = request
  return {
    model,
    operation: 'chat',
    promptTokens: prompt.length,
    mostTokens: request.sampling.length * mostTokens(prompt.length, maxTokens, model),
    bounded: maxTokens !== null,
    constrained: grammar !== null,
    answers: request.sampling.map((sampling, answer) => {
      const id = `${request.id}.${answer}`
      const text = { id, prompt, maxTokens, stopStrings, ignoreEos, visibleTokens, grammar, sampling }
      return (signal) => {
        const calls = format.tools.parser({ tools: offered })
        const parser = withThoughts(calls, format, thoughts)
        const turn = new Turn(id, parser, request.parallelToolCalls)
        return writeTurn(model, { ...text, deadlineMs, tenant, priority }, turn, signal)
      }
    }),
  }
}

function thoughtState(prompt: string, { reasoning }: ChatFormat): ThoughtState {
  if (reasoning === null) return 'past'
  const end = prompt.trimEnd()
  if (end.endsWith(reasoning.open)) return 'open'
  return end.endsWith(reasoning.close) ? 'past' : 'undecided'
}

function withThoughts(answer: AnswerParser, { reasoning }: ChatFormat, thoughts: ThoughtState): AnswerParser {
  if (reasoning === null || thoughts === 'past') return answer
  return new ReasoningParser(reasoning, thoughts === 'open', answer)
}

/** Follows one answer from text to what the model says by it. */
class Turn {
  readonly #id: string
  readonly #parser: AnswerParser
  readonly #parallel: boolean
  #calls = 0
  #completeCalls = 0
  #completionTokens = 0
  #reasoningTokens = 0
  #cachedTokens = 0
  /** Tokens that may belong to the next content. */
  #tokens: TextToken[] = []

  constructor(id: string, parser: AnswerParser, parallel: boolean) {
    this.#id = id
    this.#parser = parser
    this.#parallel = parallel
  }

  /** Whether whatever the model says from here on is not wanted. */
  get ended(): boolean {
    return this.#parser.ended || this.#hasItsCall
  }

  get #hasItsCall(): boolean {
    return !this.#parallel && this.#completeCalls > 0
  }

  token(cachedTokens: number): void {
    this.#completionTokens += 1
    this.#cachedTokens = cachedTokens
    if (this.#parser.reasoning) this.#reasoningTokens += 1
  }

  push(text: string, tokens: readonly TextToken[]): readonly ChatEvent[] {
    this.#tokens.push(...tokens)
    return this.#events(this.#parser.push(text))
  }

  finish(reason: 'stop' | 'length', stopString: string | null): readonly ChatEvent[] {
    const rest = this.#events(this.#parser.finish())
    const end: ChatFinish = {
      type: 'finish',
      reason: this.#calls > 0 && reason === 'stop' ? 'tool_calls' : reason,
      stopString,
      usage: {
        completionTokens: this.#completionTokens,
        reasoningTokens: this.#reasoningTokens,
        cachedTokens: this.#cachedTokens,
      },
    }
    return [...rest, ...this.#restOfTokens(), end]
  }

  #events(pieces: readonly Piece[]): readonly ChatEvent[] {
    return pieces.flatMap((piece) => (this.#hasItsCall ? [] : this.#event(piece)))
  }

  #event(piece: Piece): readonly ChatEvent[] {
    const tokens = this.#tokens
    this.#tokens = []
    const index = this.#calls - 1
    switch (piece.type) {
      case 'content':
        return [{ type: 'content', text: piece.text, tokens }]
      case 'reasoning':
        return [{ type: 'reasoning', text: piece.text }]
      case 'call':
        this.#calls += 1
        return [{ type: 'tool-call', index: index + 1, id: this.#callId(index + 1), name: piece.name }]
      case 'arguments':
        return [{ type: 'tool-arguments', index, text: piece.text }]
      case 'call-end':
        this.#completeCalls += 1
        return [{ type: 'tool-call-end', index }]
      case 'marker':
        return []
    }
  }

  /** Tokens without text of their own, behind the last content. */
  #restOfTokens(): readonly ChatEvent[] {
    if (this.#tokens.length === 0 || this.#calls > 0) return []
    return [{ type: 'content', text: '', tokens: this.#tokens }]
  }

  /** Unlike that of any other call, and the same if the answer is written again. */
  #callId(index: number): string {
    return `call_${createHash('sha256').update(`${this.#id}.${index}`).digest('hex').slice(0, 24)}`
  }
}

async function* writeTurn(
  model: TextModel,
  request: TextRequest,
  turn: Turn,
  signal: AbortSignal,
): AsyncGenerator<ChatEvent, void> {
  for await (const event of generateText(model, request, signal)) {
    if (event.type === 'finish') {
      yield* turn.finish(event.reason, event.stopString)
      return
    }
    if (event.type === 'progress') {
      yield event
      turn.token(event.cachedTokens)
      continue
    }
    yield* turn.push(event.text, event.tokens)
    if (turn.ended) {
      yield* turn.finish('stop', null)
      return
    }
  }
}
