import { createHash } from 'node:crypto'
import type { StreamFormat } from '../http/answering.ts'
import { NamedEvent } from '../http/event-stream.ts'
import type { Problem } from '../http/problem.ts'
import type { AnswerEvent } from '../inference/answers.ts'
import { argumentsObject } from '../inference/chat/call-arguments.ts'
import type { ChatEvent, ChatFinish } from '../inference/chat/chat-events.ts'
import type { Usage } from '../inference/text-generation.ts'
import { anthropicError } from './error-shape.ts'

export interface MessageFacts {
  readonly id: string
  readonly model: string
  readonly promptTokens: number
  /** As the request limits the answer. */
  readonly maxTokens: number
  /** Whether thoughts are told; without, their place is kept. */
  readonly showThoughts: boolean
}

function stopReason({ reason, stopString, usage }: ChatFinish, { maxTokens }: MessageFacts): string {
  if (stopString !== null) return 'stop_sequence'
  if (reason === 'length') {
    return usage.completionTokens < maxTokens ? 'model_context_window_exceeded' : 'max_tokens'
  }
  return reason === 'tool_calls' ? 'tool_use' : 'end_turn'
}

/** Anthropic counts what came from a cache apart from the rest of the prompt. */
const usageOf = (promptTokens: number, usage: Usage) => ({
  input_tokens: promptTokens - usage.cachedTokens,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: usage.cachedTokens,
  output_tokens: usage.completionTokens,
  output_tokens_details: { thinking_tokens: usage.reasoningTokens },
  server_tool_use: null,
})

/** How the answer ended, or that it has not. */
function ending(end: ChatFinish | null, facts: MessageFacts) {
  return {
    stop_reason: end === null ? null : stopReason(end, facts),
    stop_sequence: end?.stopString ?? null,
    stop_details: null,
    container: null,
  }
}

function message(facts: MessageFacts, content: readonly unknown[], end: ChatFinish | null, usage: Usage) {
  return {
    id: facts.id,
    type: 'message',
    role: 'assistant',
    model: facts.model,
    content,
    ...ending(end, facts),
    diagnostics: null,
    usage: {
      ...usageOf(facts.promptTokens, usage),
      cache_creation: null,
      inference_geo: null,
      service_tier: 'standard',
      speed: null,
    },
  }
}

const textBlock = (text: string) => ({ type: 'text', text, citations: null })
const thinkingBlock = (thinking: string, signature: string) => ({ type: 'thinking', thinking, signature })

/** Clients hand thoughts back only with a signature. It names them; nothing depends on it. */
const signatureOf = (thoughts: string): string => createHash('sha256').update(thoughts).digest('base64')

/** A block being written. */
type OpenBlock =
  | { readonly type: 'text' | 'thinking'; text: string }
  | { readonly type: 'tool_use'; readonly id: string; readonly name: string; arguments: string }

const toolBlock = ({ id, name }: { readonly id: string; readonly name: string }, input: object) => ({
  type: 'tool_use',
  id,
  name,
  input,
  caller: { type: 'direct' },
})

/** The answer as Anthropic's events: blocks one after another, each begun, filled and ended. */
export class MessageStream implements StreamFormat<ChatEvent> {
  readonly framing = 'sse'
  readonly #facts: MessageFacts
  readonly #content: unknown[] = []
  #begun = false
  #open: OpenBlock | null = null
  #end: ChatFinish | null = null

  constructor(facts: MessageFacts) {
    this.#facts = facts
  }

  /** Nothing yet: the first event says how much of the prompt was cached, and so does the start of a message. */
  start(): readonly unknown[] {
    return []
  }

  event({ event }: AnswerEvent<ChatEvent>): readonly unknown[] {
    return [...this.#begin(event), ...this.#piece(event)]
  }

  end(): readonly unknown[] {
    return [new NamedEvent('message_stop', { type: 'message_stop' })]
  }

  error(problem: Problem): readonly unknown[] {
    return [new NamedEvent('error', anthropicError(problem))]
  }

  /** The whole answer, once it is complete. */
  message() {
    const nothing: Usage = { completionTokens: 0, reasoningTokens: 0, cachedTokens: 0 }
    return message(this.#facts, this.#content, this.#end, this.#end?.usage ?? nothing)
  }

  #begin(event: ChatEvent): readonly unknown[] {
    if (this.#begun) return []
    this.#begun = true
    const cachedTokens =
      event.type === 'progress' ? event.cachedTokens : event.type === 'finish' ? event.usage.cachedTokens : 0
    const begun = message(this.#facts, [], null, { completionTokens: 0, reasoningTokens: 0, cachedTokens })
    return [
      new NamedEvent('message_start', { type: 'message_start', message: begun }),
      new NamedEvent('ping', { type: 'ping' }),
    ]
  }

  #piece(event: ChatEvent): readonly unknown[] {
    switch (event.type) {
      case 'progress':
        return []
      case 'reasoning':
        return this.#text('thinking', event.text)
      case 'content':
        return event.text === '' ? [] : this.#text('text', event.text)
      case 'tool-call': {
        const closing = this.#close()
        this.#open = { type: 'tool_use', id: event.id, name: event.name, arguments: '' }
        return [...closing, this.#start(toolBlock(event, {}))]
      }
      case 'tool-arguments':
        return this.#arguments(event.text)
      case 'tool-call-end':
        return this.#close()
      case 'finish': {
        const closing = this.#close()
        this.#end = event
        return [...closing, this.#finish(event)]
      }
    }
  }

  #text(type: 'text' | 'thinking', text: string): readonly unknown[] {
    const events: unknown[] = []
    if (this.#open?.type !== type) {
      events.push(...this.#close())
      this.#open = { type, text: '' }
      events.push(this.#start(type === 'text' ? textBlock('') : thinkingBlock('', '')))
    }
    const block = this.#open as Extract<OpenBlock, { text: string }>
    block.text += text
    if (type === 'text') events.push(this.#delta({ type: 'text_delta', text }))
    else if (this.#facts.showThoughts) events.push(this.#delta({ type: 'thinking_delta', thinking: text }))
    return events
  }

  #arguments(text: string): readonly unknown[] {
    if (this.#open?.type !== 'tool_use') return []
    this.#open.arguments += text
    return [this.#delta({ type: 'input_json_delta', partial_json: text })]
  }

  #start(block: object): NamedEvent {
    const index = this.#content.length
    return new NamedEvent('content_block_start', { type: 'content_block_start', index, content_block: block })
  }

  #delta(delta: object): NamedEvent {
    const index = this.#content.length
    return new NamedEvent('content_block_delta', { type: 'content_block_delta', index, delta })
  }

  #close(): readonly unknown[] {
    const block = this.#open
    if (block === null) return []
    this.#open = null
    const events: unknown[] = []
    const index = this.#content.length
    if (block.type === 'tool_use') {
      this.#content.push(toolBlock(block, argumentsObject(block.arguments)))
    } else if (block.type === 'text') {
      this.#content.push(textBlock(block.text))
    } else {
      const signature = signatureOf(block.text)
      events.push(this.#delta({ type: 'signature_delta', signature }))
      this.#content.push(thinkingBlock(this.#facts.showThoughts ? block.text : '', signature))
    }
    return [...events, new NamedEvent('content_block_stop', { type: 'content_block_stop', index })]
  }

  #finish(end: ChatFinish): NamedEvent {
    return new NamedEvent('message_delta', {
      type: 'message_delta',
      delta: ending(end, this.#facts),
      usage: usageOf(this.#facts.promptTokens, end.usage),
    })
  }
}

/** The whole answer as one `message`. */
export async function messageBody(facts: MessageFacts, events: AsyncIterable<AnswerEvent<ChatEvent>>) {
  const stream = new MessageStream(facts)
  for await (const event of events) stream.event(event)
  return stream.message()
}
