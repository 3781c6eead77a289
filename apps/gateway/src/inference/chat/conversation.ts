import type { Conversation } from '@deos/engine/tokenizer'
import type { ChatFormat } from '../formats/chat-format.ts'
import type { TemplateMessage } from '../formats/template-messages.ts'
import type { ChatMessage, ChatRequest, Tool } from './chat-request.ts'

/** A tool as OpenAI writes it, which is how templates get it. */
export const toolObject = ({ name, description, parameters }: Tool) => ({
  type: 'function',
  function: {
    name,
    description: description ?? '',
    parameters: parameters ?? { type: 'object', properties: {} },
  },
})

/** What a model is told about tools when its template says nothing. */
function toolInstructions(tools: readonly Tool[], format: ChatFormat): string {
  const example = { name: '<name of the function>', arguments: '{<its arguments as JSON>}' }
  return [
    'You can call these functions, each given as JSON with a schema of its arguments:',
    ...tools.map((tool) => JSON.stringify(toolObject(tool).function)),
    '',
    'To call a function, answer with nothing but this:',
    format.tools.writeCalls([example]),
    'The next message then brings its result. When you need no function, answer as usual.',
  ].join('\n')
}

/** A conversation as a model's template takes it; what the template leaves out is said in messages. */
export function conversationFor(
  request: Pick<ChatRequest, 'messages' | 'reasoning' | 'templateVariables'>,
  tools: readonly Tool[],
  format: ChatFormat,
): Conversation {
  const { abilities } = format
  const names = new Map(
    request.messages.flatMap((message) =>
      message.role === 'assistant'
        ? (message.toolCalls ?? []).map(({ id, name }) => [id, name] as const)
        : [],
    ),
  )
  const written = request.messages.flatMap((message) => templateMessages(message, format, names))
  const told =
    tools.length === 0 || abilities.tools ? written : withSystem(written, toolInstructions(tools, format))
  const conversation: Conversation = {
    messages: mergeUsers(abilities.system ? told : withoutSystem(told), !abilities.results),
    tools: tools.map(toolObject),
    argumentsAs: abilities.arguments,
    variables: { ...reasoningVariables(request.reasoning), ...request.templateVariables },
  }
  return format.tools.arrange?.(conversation) ?? conversation
}

function templateMessages(
  message: ChatMessage,
  format: ChatFormat,
  names: ReadonlyMap<string, string>,
): readonly TemplateMessage[] {
  const { abilities } = format
  const name = message.name === undefined ? {} : { name: message.name }
  if (message.role === 'tool') {
    const { content, toolCallId } = message
    const called = names.get(toolCallId)
    if (!abilities.results)
      return [{ role: 'user', content: `<tool_response>\n${content}\n</tool_response>` }]
    const named = called === undefined ? name : { name: called, ...name }
    return [{ role: 'tool', content, tool_call_id: toolCallId, ...named }]
  }
  if (message.role !== 'assistant') return [{ role: message.role, content: message.content, ...name }]
  const { content, reasoning, toolCalls = [] } = message
  const base = {
    role: 'assistant',
    ...name,
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
  }
  if (toolCalls.length === 0) return [{ ...base, content }]
  if (!abilities.calls) {
    const calls = format.tools.writeCalls(toolCalls)
    return [{ ...base, content: content === '' ? calls : `${content}\n${calls}` }]
  }
  const tool_calls = toolCalls.map((call) => ({
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments },
  }))
  if (content === '') return [{ ...base, content: abilities.contentOfCalls, tool_calls }]
  // Templates that know calls by their lack of content would leave out one of the two.
  if (abilities.contentOfCalls === null)
    return [
      { ...base, content },
      { role: 'assistant', content: null, tool_calls, ...name },
    ]
  return [{ ...base, content, tool_calls }]
}

/** Puts a text behind what the system message says, or makes one. */
function withSystem(messages: readonly TemplateMessage[], text: string): readonly TemplateMessage[] {
  const [first, ...rest] = messages
  return first?.role === 'system'
    ? [{ ...first, content: `${first.content}\n\n${text}` }, ...rest]
    : [{ role: 'system', content: text }, ...messages]
}

/** What the system would say, the user says first. */
function withoutSystem(messages: readonly TemplateMessage[]): readonly TemplateMessage[] {
  const said = messages.filter(({ role }) => role === 'system').map(({ content }) => content)
  const others = messages.filter(({ role }) => role !== 'system')
  if (said.length === 0) return messages
  const text = said.join('\n\n')
  const first = others.findIndex(({ role }) => role === 'user')
  if (first === -1) return [{ role: 'user', content: text }, ...others]
  return others.with(first, { ...others[first]!, content: `${text}\n\n${others[first]!.content}` })
}

/** Results told as messages of the user may follow each other; templates want turns. */
function mergeUsers(messages: readonly TemplateMessage[], wanted: boolean): readonly TemplateMessage[] {
  if (!wanted) return messages
  const merged: TemplateMessage[] = []
  for (const message of messages) {
    const last = merged.at(-1)
    if (last?.role !== 'user' || message.role !== 'user') merged.push(message)
    else merged[merged.length - 1] = { ...last, content: `${last.content}\n\n${message.content}` }
  }
  return merged
}

/** The names under which templates know how much to think. */
function reasoningVariables({
  effort,
  enabled,
}: ChatRequest['reasoning']): Readonly<Record<string, unknown>> {
  return {
    ...(effort !== null && { reasoning_effort: effort }),
    ...(enabled !== null && { enable_thinking: enabled, thinking: enabled }),
  }
}
