import { z } from 'zod'
import type { ChatMessage, Tool } from '../inference/chat/chat-request.ts'
import { distinctTools } from '../inference/chat/distinct-tools.ts'
import { wellFormed } from '../openai/common-fields.ts'
import { toolName } from '../openai/tools.ts'
import { commonFields, refuseImages } from './common-request.ts'

const anyObject = z.record(z.string(), z.unknown())

const toolCall = z.object({
  id: z.string().nullish(),
  function: z.object({ name: z.string().min(1), arguments: anyObject.nullish() }),
})

const message = z.object({
  role: z.enum(['system', 'user', 'assistant', 'tool']),
  content: z.string().nullish(),
  thinking: z.string().nullish(),
  images: z.array(z.unknown()).nullish(),
  tool_calls: z.array(toolCall).nullish(),
  tool_name: z.string().nullish(),
  tool_call_id: z.string().nullish(),
})

const tool = z.object({
  type: z.literal('function').nullish(),
  function: z.object({
    name: toolName,
    description: z.string().nullish(),
    parameters: anyObject.nullish(),
  }),
})

/** The body of `/api/chat`. */
export const chatRequest = z.object({
  ...commonFields,
  messages: z.array(message).nullish(),
  tools: z.array(tool).max(1024).nullish(),
})

type OllamaMessage = z.infer<typeof message>

/** Names of calls that have none of their own: what a result refers to is found by order. */
const callId = (message: number, call: number): string => `call_${message}_${call}`

/** What results refer to, by their place: the call they name, else the first one that waits for its result. */
function resultIds(messages: readonly OllamaMessage[]): ReadonlyMap<number, string> {
  const ids = new Map<number, string>()
  let open: { readonly id: string; readonly name: string }[] = []
  for (const [index, { role, tool_calls, tool_call_id, tool_name }] of messages.entries()) {
    if (tool_calls?.length) {
      open = tool_calls.map(({ id, function: { name } }, call) => ({ id: id ?? callId(index, call), name }))
    }
    if (role !== 'tool') continue
    const answered =
      open.find(({ id }) => id === tool_call_id) ?? open.find(({ name }) => name === tool_name) ?? open[0]
    open = open.filter((call) => call !== answered)
    ids.set(index, tool_call_id ?? answered?.id ?? callId(index, 0))
  }
  return ids
}

/** The conversation as every API has it. @throws Problem for images */
export function chatMessages(messages: readonly OllamaMessage[]): readonly ChatMessage[] {
  const results = resultIds(messages)
  return messages.map((each, index): ChatMessage => {
    refuseImages(each.images, `messages[${index}].images`)
    const content = wellFormed(each.content ?? '')
    if (each.role === 'tool') {
      const name = each.tool_name
      return { role: 'tool', content, toolCallId: results.get(index)!, ...(name != null && { name }) }
    }
    if (each.role !== 'assistant') return { role: each.role, content }
    const toolCalls = (each.tool_calls ?? []).map(({ id, function: called }, call) => ({
      id: id ?? callId(index, call),
      name: called.name,
      arguments: JSON.stringify(called.arguments ?? {}),
    }))
    return {
      role: 'assistant',
      content,
      ...(each.thinking && { reasoning: wellFormed(each.thinking) }),
      ...(toolCalls.length > 0 && { toolCalls }),
    }
  })
}

export const chatTools = ({ tools }: Pick<z.infer<typeof chatRequest>, 'tools'>): readonly Tool[] =>
  distinctTools(
    (tools ?? []).map(({ function: described }, index) => ({
      name: described.name,
      description: described.description ?? null,
      parameters: described.parameters ?? null,
      strict: false,
      param: `tools[${index}].function.parameters`,
    })),
  )
