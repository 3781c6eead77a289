import { z } from 'zod'
import { badRequest, unsupported } from '../http/problem.ts'
import type { ChatMessage } from '../inference/text-model.ts'
import { commonFields, wellFormed } from './common-fields.ts'

const part = z.looseObject({ type: z.string() })

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z
    .union([z.string(), z.array(part)], { error: 'must be a string or an array of content parts' })
    .nullish(),
  name: z.string().nullish(),
  tool_call_id: z.string().nullish(),
  tool_calls: z.array(z.looseObject({})).nullish(),
})

export const chatRequest = z.object({
  ...commonFields,
  messages: z.array(message).min(1),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.array(z.unknown()).nullish(),
  tool_choice: z.unknown().optional(),
  functions: z.array(z.unknown()).nullish(),
  function_call: z.unknown().optional(),
  response_format: z.looseObject({ type: z.string() }).nullish(),
  modalities: z.array(z.string()).nullish(),
  audio: z.unknown().optional(),
  web_search_options: z.unknown().optional(),
})

export type ChatRequest = z.infer<typeof chatRequest>

const absent = (value: unknown): boolean => value === undefined || value === null

/** @throws Problem naming the first parameter this server does not offer */
export function refuseUnsupported(request: ChatRequest): void {
  for (const name of ['tools', 'functions'] as const) {
    if (request[name]?.length) throw unsupported(name, `Tools ('${name}') are`)
  }
  for (const name of ['tool_choice', 'function_call'] as const) {
    const value = request[name]
    if (!absent(value) && value !== 'none' && value !== 'auto') throw unsupported(name, `'${name}' is`)
  }
  const format = request.response_format?.type ?? 'text'
  if (format !== 'text') throw unsupported('response_format', `Response format '${format.slice(0, 80)}' is`)
  const modality = request.modalities?.find((name) => name !== 'text')
  if (modality !== undefined) throw unsupported('modalities', `Modality '${modality.slice(0, 80)}' is`)
  for (const name of ['audio', 'web_search_options'] as const) {
    if (!absent(request[name])) throw unsupported(name, `'${name}' is`)
  }
  if (!absent(request.top_logprobs) && request.logprobs !== true) {
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

function contentText(message: ChatRequest['messages'][number], param: string): string {
  if (absent(message.content)) {
    if (message.role === 'assistant') return ''
    throw badRequest(`Missing required parameter: '${param}'.`, { param, code: 'missing_required_parameter' })
  }
  return typeof message.content === 'string'
    ? message.content
    : message.content!.map((part, index) => partText(part, `${param}[${index}]`)).join('\n')
}

/** Messages as chat templates know them: one text each, `developer` under its older name `system`. */
export function chatMessages(request: ChatRequest): readonly ChatMessage[] {
  return request.messages.map((message, index) => ({
    role: message.role === 'developer' ? 'system' : message.role,
    content: wellFormed(contentText(message, `messages[${index}].content`)),
    ...(message.name != null && { name: message.name }),
    ...(message.tool_call_id != null && { tool_call_id: message.tool_call_id }),
    ...(message.tool_calls != null && { tool_calls: message.tool_calls }),
  }))
}
