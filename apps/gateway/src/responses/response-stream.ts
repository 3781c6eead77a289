import { unixSeconds } from '@deos/service'
import type { StreamFormat } from '../http/answering.ts'
import { NamedEvent } from '../http/event-stream.ts'
import type { Problem } from '../http/problem.ts'
import { problemText } from '../http/problem-text.ts'
import type { AnswerEvent } from '../inference/answers.ts'
import type { ChatEvent, ChatFinish } from '../inference/chat/chat-events.ts'
import {
  callItem,
  type ItemStatus,
  itemId,
  messageItem,
  type ResponseFacts,
  type ResponseState,
  reasoningItem,
  reasoningPart,
  responseObject,
  textPart,
} from './response-body.ts'

/** An item being written. */
type OpenItem =
  | { readonly type: 'message' | 'reasoning'; readonly id: string; text: string }
  | {
      readonly type: 'function_call'
      readonly id: string
      readonly call: { readonly id: string; readonly name: string; arguments: string }
    }

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The answer as events of OpenAI's Responses API: items one after another, each begun, filled and ended. */
export class ResponseStream implements StreamFormat<ChatEvent> {
  readonly framing = 'sse'
  readonly #output: unknown[] = []
  readonly #facts: ResponseFacts
  #open: OpenItem | null = null
  #state: ResponseState = { status: 'in_progress' }
  /** Whether there is a message among the output. */
  #spoken = false
  #sequence = 0

  constructor(facts: ResponseFacts) {
    this.#facts = facts
  }

  /** The response as far as it got. */
  response() {
    return responseObject(this.#facts, this.#output, this.#state)
  }

  start(): readonly unknown[] {
    const response = this.response()
    return [this.#named('response.created', { response }), this.#named('response.in_progress', { response })]
  }

  event({ event }: AnswerEvent<ChatEvent>): readonly unknown[] {
    switch (event.type) {
      case 'progress':
        return []
      case 'reasoning':
        return this.#text('reasoning', event.text)
      case 'content':
        return event.text === '' ? [] : this.#text('message', event.text)
      case 'tool-call':
        return [...this.#close('completed'), ...this.#beginCall(event.id, event.name)]
      case 'tool-arguments':
        return this.#arguments(event.text)
      case 'tool-call-end':
        // What is no JSON may have been cut off; how the answer ends tells.
        return this.#open?.type === 'function_call' && isJson(this.#open.call.arguments)
          ? this.#close('completed')
          : []
      case 'finish':
        return this.#finish(event)
    }
  }

  end(): readonly unknown[] {
    return []
  }

  error(problem: Problem): readonly unknown[] {
    const { publicCode, type, param } = problem
    this.#state = { status: 'failed', problem }
    return [
      this.#named('error', { code: publicCode ?? type, message: problemText(problem), param }),
      this.#named('response.failed', { response: this.response() }),
    ]
  }

  #finish({ reason, usage }: ChatFinish): readonly unknown[] {
    const status = reason === 'length' ? 'incomplete' : 'completed'
    const closing = this.#close(status)
    const silent = reason === 'stop' && !this.#spoken
    const empty = silent ? [...this.#begin('message'), ...this.#close(status)] : []
    this.#state = { status, usage, completedSeconds: unixSeconds() }
    return [...closing, ...empty, this.#named(`response.${status}`, { response: this.response() })]
  }

  #named(type: string, fields: Readonly<Record<string, unknown>>): NamedEvent {
    return new NamedEvent(type, { type, sequence_number: this.#sequence++, ...fields })
  }

  /** Where the open item stands. */
  #place(item: OpenItem) {
    return { item_id: item.id, output_index: this.#output.length }
  }

  #text(type: 'message' | 'reasoning', text: string): readonly unknown[] {
    const before = this.#open?.type === type ? [] : [...this.#close('completed'), ...this.#begin(type)]
    const item = this.#open as Extract<OpenItem, { text: string }>
    item.text += text
    const place = { ...this.#place(item), content_index: 0 }
    const delta =
      type === 'message'
        ? this.#named('response.output_text.delta', { ...place, delta: text, logprobs: [] })
        : this.#named('response.reasoning_text.delta', { ...place, delta: text })
    return [...before, delta]
  }

  #begin(type: 'message' | 'reasoning'): readonly unknown[] {
    const message = type === 'message'
    const id = itemId(message ? 'msg' : 'rs', this.#facts, this.#output.length)
    const item: OpenItem = { type, id, text: '' }
    this.#open = item
    const begun = message ? messageItem(id, 'in_progress', []) : reasoningItem(id, 'in_progress', [])
    return [
      this.#added(begun),
      this.#named('response.content_part.added', {
        ...this.#place(item),
        content_index: 0,
        part: message ? textPart('') : reasoningPart(''),
      }),
    ]
  }

  #beginCall(callId: string, name: string): readonly unknown[] {
    const call = { id: callId, name, arguments: '' }
    const item: OpenItem = { type: 'function_call', id: itemId('fc', this.#facts, this.#output.length), call }
    this.#open = item
    return [this.#added(callItem(item.id, 'in_progress', call))]
  }

  #added(item: unknown): NamedEvent {
    return this.#named('response.output_item.added', { output_index: this.#output.length, item })
  }

  #arguments(text: string): readonly unknown[] {
    const item = this.#open
    if (item?.type !== 'function_call') return []
    item.call.arguments += text
    return [this.#named('response.function_call_arguments.delta', { ...this.#place(item), delta: text })]
  }

  #close(status: Exclude<ItemStatus, 'in_progress'>): readonly unknown[] {
    const item = this.#open
    if (item === null) return []
    this.#open = null
    this.#spoken ||= item.type === 'message'
    const place = this.#place(item)
    const { done, before } = this.#ending(item, place, status)
    const events = [
      ...before,
      this.#named('response.output_item.done', { output_index: place.output_index, item: done }),
    ]
    this.#output.push(done)
    return events
  }

  #ending(item: OpenItem, place: Readonly<Record<string, unknown>>, status: ItemStatus) {
    if (item.type === 'function_call') {
      const { name, arguments: written } = item.call
      return {
        done: callItem(item.id, status, item.call),
        before: [
          this.#named('response.function_call_arguments.done', { ...place, name, arguments: written }),
        ],
      }
    }
    const message = item.type === 'message'
    const part = message ? textPart(item.text) : reasoningPart(item.text)
    const at = { ...place, content_index: 0 }
    const ended = message ? 'response.output_text.done' : 'response.reasoning_text.done'
    return {
      done: message ? messageItem(item.id, status, [part]) : reasoningItem(item.id, status, [part]),
      before: [
        this.#named(ended, { ...at, text: item.text, ...(message && { logprobs: [] }) }),
        this.#named('response.content_part.done', { ...at, part }),
      ],
    }
  }
}

/** The whole answer as one `response`. */
export async function responseBody(facts: ResponseFacts, events: AsyncIterable<AnswerEvent<ChatEvent>>) {
  const stream = new ResponseStream(facts)
  for await (const event of events) stream.event(event)
  return stream.response()
}
