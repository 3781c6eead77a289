import { z } from 'zod'
import { badRequest, type Problem, unsupported } from '../http/problem.ts'
import type { ChatMessage, ToolCall } from '../inference/chat/chat-request.ts'
import { wellFormed } from '../openai/common-fields.ts'

const block = z.looseObject({ type: z.string() })
type Block = z.infer<typeof block>

export const content = z.union([z.string(), z.array(block)], {
  error: 'must be a string or an array of content blocks',
})

function invalid(param: string, expected: string): Problem {
  return badRequest(`Invalid '${param}': expected ${expected}.`, { param, code: 'invalid_type' })
}

function textOf(value: Block, param: string, field = 'text'): string {
  const text = value[field]
  if (typeof text === 'string') return wellFormed(text)
  throw invalid(`${param}.${field}`, 'a string')
}

const refuse = ({ type }: Block, param: string) =>
  unsupported(`${param}.type`, `Content of type '${type.slice(0, 80)}' is`, 'Send text.')

function blocksOf(value: unknown, param: string): readonly Block[] {
  if (!Array.isArray(value)) throw invalid(param, 'a string or an array of content blocks')
  return value.map((item, index) => {
    const parsed = block.safeParse(item)
    if (parsed.success) return parsed.data
    throw invalid(`${param}[${index}]`, 'a content block with a type')
  })
}

/** What a document says, where it is text. */
function documentText(value: Block, param: string): string {
  const source = block.safeParse(value.source)
  if (!source.success) throw invalid(`${param}.source`, 'a source with a type')
  const at = `${param}.source`
  const title = typeof value.title === 'string' ? `${wellFormed(value.title)}\n` : ''
  if (source.data.type === 'text') return title + textOf(source.data, at, 'data')
  if (source.data.type === 'content') return title + plainText(source.data.content, `${at}.content`)
  throw unsupported(`${at}.type`, `Documents of type '${source.data.type.slice(0, 80)}' are`, 'Send text.')
}

/** A block that says something in words; `null` for any other. */
function wordsOf(value: Block, param: string): string | null {
  switch (value.type) {
    case 'text':
      return textOf(value, param)
    case 'document':
      return documentText(value, param)
    case 'search_result': {
      const found = plainText(value.content, `${param}.content`)
      return `${textOf(value, param, 'title')}\n${textOf(value, param, 'source')}\n${found}`
    }
    default:
      return null
  }
}

/** Text of a content that may hold nothing else: a system prompt, the result of a tool. */
export function plainText(value: unknown, param: string): string {
  if (typeof value === 'string') return wellFormed(value)
  return blocksOf(value, param)
    .map((each, index) => {
      const at = `${param}[${index}]`
      const words = wordsOf(each, at)
      if (words === null) throw refuse(each, at)
      return words
    })
    .join('\n')
}

function toolCall(value: Block, param: string): ToolCall {
  const { input = {} } = value
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw invalid(`${param}.input`, 'an object')
  }
  return {
    id: textOf(value, param, 'id'),
    name: textOf(value, param, 'name'),
    arguments: JSON.stringify(input),
  }
}

function toolResult(value: Block, param: string): ChatMessage {
  const said = plainText(value.content ?? '', `${param}.content`)
  return {
    role: 'tool',
    toolCallId: textOf(value, param, 'tool_use_id'),
    // Models know results by their text alone.
    content: value.is_error === true ? `Error: ${said}` : said,
  }
}

/** A user's turn: results of tools become messages of their own, in order, between what is said. */
export function userMessages(blocks: readonly Block[], param: string): readonly ChatMessage[] {
  const messages: ChatMessage[] = []
  let said: string[] = []
  const flush = () => {
    if (said.length > 0) messages.push({ role: 'user', content: said.join('\n') })
    said = []
  }
  for (const [index, each] of blocks.entries()) {
    const at = `${param}[${index}]`
    const words = wordsOf(each, at)
    if (words !== null) said.push(words)
    else if (each.type === 'tool_result') {
      flush()
      messages.push(toolResult(each, at))
    } else throw refuse(each, at)
  }
  flush()
  return messages.length > 0 ? messages : [{ role: 'user', content: '' }]
}

export function assistantMessage(blocks: readonly Block[], param: string): ChatMessage {
  const text: string[] = []
  const reasoning: string[] = []
  const toolCalls: ToolCall[] = []
  for (const [index, each] of blocks.entries()) {
    const at = `${param}[${index}]`
    if (each.type === 'text') text.push(textOf(each, at))
    else if (each.type === 'thinking') reasoning.push(textOf(each, at, 'thinking'))
    else if (each.type === 'tool_use') toolCalls.push(toolCall(each, at))
    else if (each.type !== 'redacted_thinking') throw refuse(each, at)
  }
  const thoughts = reasoning.filter((thought) => thought !== '').join('\n')
  return {
    role: 'assistant',
    content: text.join('\n'),
    ...(thoughts !== '' && { reasoning: thoughts }),
    ...(toolCalls.length > 0 && { toolCalls }),
  }
}
