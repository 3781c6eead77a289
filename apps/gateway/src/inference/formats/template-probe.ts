import type { Conversation } from '@deos/engine/tokenizer'
import type { TemplateAbilities } from './chat-format.ts'

const user = { role: 'user', content: 'probe-user' }
const tool = {
  type: 'function',
  function: {
    name: 'probe_tool',
    description: 'probe',
    parameters: {
      type: 'object',
      properties: { probe_field: { type: 'string', description: 'probe' } },
      required: ['probe_field'],
    },
  },
}
/** Nine letters and digits, as some templates demand. */
const callId = 'probe1234'
const callArguments = '{"probe_field":"probe-value"}'
const argumentAsWritten = /probe_field(": ?"|>\n|<\/arg_key>\s*<arg_value>)probe-value/

const turn = (content: string | null) => ({
  role: 'assistant',
  content,
  tool_calls: [{ id: callId, type: 'function', function: { name: 'probe_call', arguments: callArguments } }],
})
const result = { role: 'tool', tool_call_id: callId, name: 'probe_call', content: 'probe-result' }

/**
 * Finds out what a template does by asking it: templates differ in what they leave out, and none says so.
 *
 * @param render - may throw, which counts as leaving out
 */
export function probeTemplate(render: (conversation: Conversation) => string): TemplateAbilities {
  const rendered = (conversation: Conversation): string => {
    try {
      return render(conversation)
    } catch {
      return ''
    }
  }
  const calls = (content: string | null, argumentsAs: 'values' | 'text') =>
    rendered({ messages: [user, turn(content), result], tools: [tool], argumentsAs })
  const variants = (['values', 'text'] as const).flatMap((argumentsAs) =>
    (['', null] as const).map((content) => ({ argumentsAs, content, text: calls(content, argumentsAs) })),
  )
  // Arguments that come out as JSON or between marks; a template that adds texts to objects writes them otherwise.
  const fits = variants.find(({ text }) => text.includes('probe_call') && argumentAsWritten.test(text))
  const system = { role: 'system', content: 'probe-system' }
  const withSystem = (tools: readonly object[]) =>
    rendered({ messages: [system, user], tools }).includes(system.content)
  return {
    // Some templates are made for conversations with tools alone.
    system: withSystem([]) || withSystem([tool]),
    tools: rendered({ messages: [user], tools: [tool] }).includes('probe_tool'),
    calls: fits !== undefined,
    contentOfCalls: fits === undefined ? '' : fits.content,
    arguments: fits?.argumentsAs ?? 'values',
    results: (fits?.text ?? '').includes('probe-result'),
  }
}
