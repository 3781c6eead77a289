import type { Conversation } from '@deos/engine/tokenizer'

/** A message as templates get it. */
export type TemplateMessage = Conversation['messages'][number]

/** A call as templates get it. */
export interface TemplateCall {
  readonly id: string
  readonly type: 'function'
  readonly function: { readonly name: string; readonly arguments: string }
}

/** The calls of a message; templates see no others than those we write. */
export const callsOf = (message: TemplateMessage): readonly TemplateCall[] =>
  (message.tool_calls ?? []) as readonly TemplateCall[]

/** The call that a message is the result of; `null` if it is none. */
export const resultOf = (message: TemplateMessage): string | null =>
  message.role === 'tool' && typeof message.tool_call_id === 'string' ? message.tool_call_id : null

/** For templates that write one call a message: each call in one of its own, with its result behind. */
export function oneCallAtATime(messages: readonly TemplateMessage[]): readonly TemplateMessage[] {
  const calls = new Set(messages.flatMap(callsOf).map(({ id }) => id))
  const results = new Map(messages.map((message) => [resultOf(message), message]))
  return messages.flatMap((message): readonly TemplateMessage[] => {
    const result = resultOf(message)
    if (result !== null && calls.has(result)) return []
    const own = callsOf(message)
    if (own.length === 0) return [message]
    const { content, reasoning_content: _, ...rest } = message
    return own.flatMap((call, index) => {
      const answer = results.get(call.id)
      const said = index === 0 ? message : { ...rest, content: content === null ? null : '' }
      return [{ ...said, tool_calls: [call] }, ...(answer === undefined ? [] : [answer])]
    })
  })
}
