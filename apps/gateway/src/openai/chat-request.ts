import type { SamplingParams } from '@deos/domain'
import { z } from 'zod'
import { badRequest, unsupported } from '../http/problem.ts'
import { type ChatMessage, type ChatRequest, plainChat } from '../inference/chat/chat-request.ts'
import { commonFields, priorityOf, stopStrings, wellFormed } from './common-fields.ts'
import { outputFields, outputFormat } from './output-format.ts'
import { offeredTools, toolChoiceField, toolField } from './tools.ts'

const part = z.looseObject({ type: z.string() })

const toolCall = z.object({
  id: z.string().min(1),
  type: z.literal('function').nullish(),
  function: z.object({ name: z.string().min(1), arguments: z.string().nullish() }),
})

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z
    .union([z.string(), z.array(part)], { error: 'must be a string or an array of content parts' })
    .nullish(),
  name: z.string().nullish(),
  tool_call_id: z.string().nullish(),
  tool_calls: z.array(toolCall).nullish(),
  reasoning_content: z.string().nullish(),
  reasoning: z.string().nullish(),
})

export const chatRequest = z.object({
  ...commonFields,
  ...outputFields,
  messages: z.array(message).min(1),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.array(toolField).max(1024).nullish(),
  tool_choice: toolChoiceField.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  functions: z.array(z.unknown()).nullish(),
  function_call: z.unknown().optional(),
  modalities: z.array(z.string()).nullish(),
  audio: z.unknown().optional(),
  web_search_options: z.unknown().optional(),
})

export type ChatFields = z.infer<typeof chatRequest>

const absent = (value: unknown): boolean => value === undefined || value === null

/** @throws Problem naming the first parameter this server does not offer */
export function refuseUnsupported(fields: ChatFields): void {
  if (fields.functions?.length) {
    throw unsupported('functions', "The older 'functions' are", "Send 'tools' instead.")
  }
  const { function_call: call } = fields
  if (!absent(call) && call !== 'none' && call !== 'auto') {
    throw unsupported('function_call', "The older 'function_call' is", "Send 'tool_choice' instead.")
  }
  const modality = fields.modalities?.find((name) => name !== 'text')
  if (modality !== undefined) throw unsupported('modalities', `Modality '${modality.slice(0, 80)}' is`)
  for (const name of ['audio', 'web_search_options'] as const) {
    if (!absent(fields[name])) throw unsupported(name, `'${name}' is`)
  }
  if (!absent(fields.top_logprobs) && fields.logprobs !== true) {
    throw badRequest("'top_logprobs' needs 'logprobs' to be true.", { param: 'top_logprobs' })
  }
}

function partText(part: Readonly<Record<string, unknown>>, param: string): string {
  const field = part.type === 'refusal' ? 'refusal' : 'text'
  if (part.type !== 'text' && part.type !== 'refusal') {
    throw unsupported(
      `${param}.type`,
      `Content of type '${String(part.type).slice(0, 80)}' is`,
      'Send text parts.',
    )
  }
  const text = part[field]
  if (typeof text !== 'string') {
    throw badRequest(`Invalid '${param}.${field}': expected a string.`, {
      param: `${param}.${field}`,
      code: 'invalid_type',
    })
  }
  return text
}

const missing = (param: string) =>
  badRequest(`Missing required parameter: '${param}'.`, { param, code: 'missing_required_parameter' })

function contentText(message: ChatFields['messages'][number], param: string): string {
  if (absent(message.content)) {
    if (message.role === 'assistant') return ''
    throw missing(param)
  }
  return typeof message.content === 'string'
    ? message.content
    : message.content!.map((part, index) => partText(part, `${param}[${index}]`)).join('\n')
}

/** Messages as every model knows them: one text each, `developer` under its older name `system`. */
export function chatMessages(fields: Pick<ChatFields, 'messages'>): readonly ChatMessage[] {
  return fields.messages.map((message, index): ChatMessage => {
    const content = wellFormed(contentText(message, `messages[${index}].content`))
    const name = message.name == null ? {} : { name: message.name }
    if (message.role === 'tool') {
      if (message.tool_call_id == null) throw missing(`messages[${index}].tool_call_id`)
      return { role: 'tool', content, toolCallId: message.tool_call_id, ...name }
    }
    if (message.role !== 'assistant') {
      return { role: message.role === 'developer' ? 'system' : message.role, content, ...name }
    }
    const reasoning = message.reasoning_content ?? message.reasoning
    return {
      role: 'assistant',
      content,
      ...(reasoning != null && { reasoning: wellFormed(reasoning) }),
      ...(message.tool_calls?.length && {
        toolCalls: message.tool_calls.map((call) => ({
          id: call.id,
          name: call.function.name,
          arguments: wellFormed(call.function.arguments || '{}'),
        })),
      }),
      ...name,
    }
  })
}

/** @throws Problem */
export function readChat(
  fields: ChatFields,
  call: {
    readonly id: string
    readonly tenant: string
    readonly deadlineMs: number
    readonly sampling: (answer: number) => SamplingParams
  },
): ChatRequest {
  const { id, tenant, deadlineMs, sampling } = call
  const effort = fields.reasoning_effort ?? null
  return {
    ...plainChat,
    id,
    tenant,
    deadlineMs,
    priority: priorityOf(fields),
    messages: chatMessages(fields),
    ...offeredTools(fields),
    parallelToolCalls: fields.parallel_tool_calls ?? true,
    output: outputFormat(fields),
    reasoning: {
      effort: effort === 'none' ? null : effort,
      enabled: effort === null ? null : effort !== 'none',
    },
    templateVariables: fields.chat_template_kwargs ?? {},
    sampling: Array.from({ length: fields.n ?? 1 }, (_, answer) => sampling(answer)),
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens ?? null,
    stopStrings: stopStrings(fields.stop),
    ignoreEos: fields.ignore_eos === true,
  }
}
