import { z } from 'zod'
import { badRequest, type Problem, unsupported } from '../http/problem.ts'
import type { ChatMessage, ToolCall } from '../inference/chat/chat-request.ts'
import { wellFormed } from '../openai/common-fields.ts'

export const inputItem = z.looseObject({ type: z.string().nullish() })
export type InputItem = z.infer<typeof inputItem>

const invalid = (param: string, expected: string): Problem =>
  badRequest(`Invalid '${param}': expected ${expected}.`, { param, code: 'invalid_type' })

function field(value: Readonly<Record<string, unknown>>, name: string, param: string): string {
  const text = value[name]
  if (typeof text === 'string') return wellFormed(text)
  throw invalid(`${param}.${name}`, 'a string')
}

const textTypes = ['input_text', 'output_text', 'text', 'reasoning_text', 'summary_text']

/** Text of a content: itself, or its parts. @throws Problem for a part that is no text */
function contentText(content: unknown, param: string): string {
  if (typeof content === 'string') return wellFormed(content)
  if (!Array.isArray(content)) throw invalid(param, 'a text or a list of parts')
  return content
    .map((part, index) => {
      const at = `${param}[${index}]`
      const parsed = inputItem.safeParse(part)
      if (!parsed.success) throw invalid(at, 'a content part')
      const type = parsed.data.type ?? 'input_text'
      if (type === 'refusal') return field(parsed.data, 'refusal', at)
      if (textTypes.includes(type)) return field(parsed.data, 'text', at)
      throw unsupported(`${at}.type`, `Content of type '${type.slice(0, 80)}' is`, 'Send text.')
    })
    .join('\n')
}

/** Thoughts as they were told; those that are encrypted were not ours. */
function thoughts(each: InputItem, param: string): string {
  const told = contentText(each.content ?? [], `${param}.content`)
  return told === '' ? contentText(each.summary ?? [], `${param}.summary`) : told
}

const roles = ['system', 'developer', 'user', 'assistant'] as const

/** Gathers items into messages: an assistant's thoughts, words and calls in a row are one turn. */
class Conversation {
  readonly messages: ChatMessage[] = []
  #turn: { content: string[]; reasoning: string[]; toolCalls: ToolCall[] } | null = null

  add(each: InputItem, param: string): void {
    switch (each.type ?? 'message') {
      case 'message':
        this.#message(each, param)
        break
      case 'reasoning': {
        const told = thoughts(each, param)
        if (told !== '') this.#assistant().reasoning.push(told)
        break
      }
      case 'function_call':
        this.#assistant().toolCalls.push({
          id: field(each, 'call_id', param),
          name: field(each, 'name', param),
          arguments: field(each, 'arguments', param) || '{}',
        })
        break
      case 'function_call_output':
        this.end()
        this.messages.push({
          role: 'tool',
          toolCallId: field(each, 'call_id', param),
          content: contentText(each.output, `${param}.output`),
        })
        break
      case 'item_reference':
        throw unsupported(
          `${param}.type`,
          'Responses are not kept, so referring to items of one is',
          "Send the items themselves; clients do with 'store' false.",
        )
      default:
        throw unsupported(`${param}.type`, `Items of type '${String(each.type).slice(0, 80)}' are`)
    }
  }

  /** The assistant's turn is over. */
  end(): void {
    if (this.#turn === null) return
    const { content, reasoning, toolCalls } = this.#turn
    this.#turn = null
    this.messages.push({
      role: 'assistant',
      content: content.join('\n'),
      ...(reasoning.length > 0 && { reasoning: reasoning.join('\n') }),
      ...(toolCalls.length > 0 && { toolCalls }),
    })
  }

  #message(each: InputItem, param: string): void {
    const role = roles.find((name) => name === each.role)
    if (role === undefined) throw invalid(`${param}.role`, `one of ${roles.join(', ')}`)
    const content = contentText(each.content, `${param}.content`)
    if (role === 'assistant') {
      this.#assistant().content.push(content)
      return
    }
    this.end()
    this.messages.push({ role: role === 'user' ? 'user' : 'system', content })
  }

  #assistant() {
    this.#turn ??= { content: [], reasoning: [], toolCalls: [] }
    return this.#turn
  }
}

/**
 * The conversation as every API has it.
 *
 * @throws Problem naming an item that is no text and no function's, or that there is nothing but thoughts
 */
export function conversationOf(
  input: string | readonly InputItem[],
  instructions: string | null,
): readonly ChatMessage[] {
  const conversation = new Conversation()
  if (instructions) conversation.messages.push({ role: 'system', content: wellFormed(instructions) })
  if (typeof input === 'string') conversation.messages.push({ role: 'user', content: wellFormed(input) })
  else for (const [index, each] of input.entries()) conversation.add(each, `input[${index}]`)
  conversation.end()
  if (conversation.messages.length > 0) return conversation.messages
  throw badRequest("Invalid 'input': it says nothing.", { param: 'input', hint: 'Send a message.' })
}
