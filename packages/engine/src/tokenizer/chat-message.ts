import { isRecord } from '../weights/fields.ts'
import { ChatTemplateError } from './errors.ts'

/** A message as OpenAI's API has it; fields beyond these reach the template as they are. */
export interface ChatMessage {
  readonly role: string
  readonly content?: string | readonly ContentPart[] | null
  readonly tool_calls?: readonly object[]
  readonly [field: string]: unknown
}

export interface ContentPart {
  readonly type: string
  readonly text?: string
}

/**
 * What templates expect: content as one text, and arguments of tool calls mostly as values rather than JSON in a text.
 *
 * @throws ChatTemplateError if a part of the content is not text
 */
export function templateMessage(
  message: ChatMessage,
  index: number,
  argumentsAs: 'values' | 'text',
): Readonly<Record<string, unknown>> {
  const { content, tool_calls: calls } = message
  return {
    ...message,
    ...(content === undefined ? {} : { content: flatContent(content, index) }),
    ...(Array.isArray(calls) && argumentsAs === 'values' ? { tool_calls: calls.map(parsedCall) } : {}),
  }
}

function flatContent(content: string | readonly ContentPart[] | null, index: number): string | null {
  if (content === null || typeof content === 'string') return content
  return content
    .map((part) => {
      if (part.type === 'text' && typeof part.text === 'string') return part.text
      throw new ChatTemplateError(
        `takes only text, but messages[${index}] holds a part of type ${JSON.stringify(part.type)}.`,
        'Send text parts only.',
      )
    })
    .join('')
}

function parsedCall(call: unknown): unknown {
  if (!isRecord(call) || !isRecord(call.function)) return call
  const { arguments: given } = call.function
  return { ...call, function: { ...call.function, arguments: parsedArguments(given) } }
}

/** Models write arguments that are not always JSON; then they stay the text they are. */
function parsedArguments(given: unknown): unknown {
  if (typeof given !== 'string') return given
  try {
    const value: unknown = JSON.parse(given)
    return isRecord(value) ? value : given
  } catch {
    return given
  }
}
