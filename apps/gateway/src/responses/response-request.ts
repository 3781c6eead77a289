import { z } from 'zod'
import { unsupported } from '../http/problem.ts'
import type { ChatMessage, OutputFormat, Reasoning } from '../inference/chat/chat-request.ts'
import { toolFields } from './function-tools.ts'
import { conversationOf, inputItem } from './input-items.ts'

const formatField = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('text') }),
    z.object({ type: z.literal('json_object') }),
    z.object({
      type: z.literal('json_schema'),
      name: z.string().min(1),
      description: z.string().nullish(),
      schema: z.record(z.string(), z.unknown()),
      strict: z.boolean().nullish(),
    }),
  ],
  { error: "must be of type 'text', 'json_object' or 'json_schema'" },
)

/** The body of `/v1/responses`. Fields not named here are ignored. */
export const responseRequest = z.object({
  ...toolFields,
  model: z.string().min(1),
  input: z.union([z.string(), z.array(inputItem).min(1)], { error: 'must be a text or a list of items' }),
  instructions: z.string().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  stream: z.boolean().nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: z.object({ format: formatField.nullish(), verbosity: z.string().nullish() }).nullish(),
  reasoning: z
    .object({
      effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']).nullish(),
      summary: z.string().nullish(),
    })
    .nullish(),
  service_tier: z.string().nullish(),
  truncation: z.enum(['auto', 'disabled']).nullish(),
  include: z.array(z.string()).nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  previous_response_id: z.string().nullish(),
  conversation: z.unknown().optional(),
  prompt: z.unknown().optional(),
  background: z.boolean().nullish(),
  store: z.boolean().nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  prompt_cache_key: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  user: z.string().nullish(),
})

export type ResponseRequest = z.infer<typeof responseRequest>

/** @throws Problem naming the first parameter this server does not offer */
export function refuseUnsupported(request: ResponseRequest): void {
  if (request.previous_response_id != null) {
    throw unsupported(
      'previous_response_id',
      'Responses are not kept, so going on from one is',
      "Send the conversation so far as 'input'.",
    )
  }
  if (request.conversation != null) throw unsupported('conversation', 'Stored conversations are')
  if (request.prompt != null) throw unsupported('prompt', 'Stored prompts are')
  if (request.background === true) throw unsupported('background', 'Working in the background is')
  if (request.truncation === 'auto') throw unsupported('truncation', 'Leaving out items on its own is')
  if (request.top_logprobs || request.include?.includes('message.output_text.logprobs')) {
    const param = request.top_logprobs ? 'top_logprobs' : 'include'
    throw unsupported(param, 'Log-probabilities in a response are', 'Ask for them in a chat completion.')
  }
}

/** @throws Problem naming an item that is no text and no function's */
export const chatMessages = ({ input, instructions }: ResponseRequest): readonly ChatMessage[] =>
  conversationOf(input, instructions ?? null)

export function outputFormat({ text }: ResponseRequest): OutputFormat {
  const format = text?.format
  switch (format?.type) {
    case 'json_object':
      return { type: 'json', param: 'text.format' }
    case 'json_schema': {
      const { schema, strict } = format
      return { type: 'json_schema', schema, strict: strict === true, param: 'text.format.schema' }
    }
    default:
      return { type: 'text' }
  }
}

export function reasoningOf({ reasoning }: ResponseRequest): Reasoning {
  const effort = reasoning?.effort ?? null
  return {
    effort: effort === 'none' ? null : effort,
    enabled: effort === null ? null : effort !== 'none',
  }
}
