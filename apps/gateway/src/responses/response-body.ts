import type { Problem } from '../http/problem.ts'
import { problemText } from '../http/problem-text.ts'
import type { ChatFinish } from '../inference/chat/chat-events.ts'
import { toolsBody } from './function-tools.ts'
import type { ResponseRequest } from './response-request.ts'

export interface ResponseFacts {
  readonly id: string
  readonly createdSeconds: number
  readonly model: string
  readonly promptTokens: number
  readonly request: ResponseRequest
  /** How the answer is sampled. */
  readonly temperature: number
  readonly topP: number
}

/** How far a response got. */
export type ResponseState =
  | { readonly status: 'in_progress' }
  | {
      readonly status: 'completed' | 'incomplete'
      readonly completedSeconds: number
      readonly usage: ChatFinish['usage']
    }
  | { readonly status: 'failed'; readonly problem: Problem }

function usageOf(inputTokens: number, state: ResponseState) {
  if (!('usage' in state)) return null
  const { cachedTokens, completionTokens, reasoningTokens } = state.usage
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: inputTokens + completionTokens,
  }
}

const errorCodes: Partial<Record<Problem['type'], string>> = {
  rate_limit_error: 'rate_limit_exceeded',
  invalid_request_error: 'invalid_prompt',
}

function errorOf(state: ResponseState) {
  if (state.status !== 'failed') return null
  const { problem } = state
  return { code: errorCodes[problem.type] ?? 'server_error', message: problemText(problem) }
}

function textBody({ text }: ResponseRequest) {
  const format = text?.format ?? { type: 'text' as const }
  return {
    format:
      format.type === 'json_schema'
        ? { ...format, description: format.description ?? null, strict: format.strict === true }
        : format,
    verbosity: text?.verbosity ?? 'medium',
  }
}

export function responseObject(facts: ResponseFacts, output: readonly unknown[], state: ResponseState) {
  const { request } = facts
  const { status } = state
  return {
    id: facts.id,
    object: 'response',
    created_at: facts.createdSeconds,
    completed_at: status === 'completed' ? state.completedSeconds : null,
    status,
    background: false,
    error: errorOf(state),
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    max_tool_calls: null,
    metadata: request.metadata ?? {},
    model: facts.model,
    output,
    parallel_tool_calls: request.parallel_tool_calls !== false,
    previous_response_id: null,
    prompt_cache_key: request.prompt_cache_key ?? null,
    reasoning: { effort: request.reasoning?.effort ?? null, summary: null },
    safety_identifier: request.safety_identifier ?? null,
    service_tier: 'default',
    store: false,
    temperature: facts.temperature,
    text: textBody(request),
    tool_choice: request.tool_choice ?? 'auto',
    tools: toolsBody(request),
    top_logprobs: 0,
    top_p: facts.topP,
    truncation: 'disabled',
    usage: usageOf(facts.promptTokens, state),
    user: request.user ?? null,
  }
}

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

export const textPart = (text: string) => ({ type: 'output_text', text, annotations: [], logprobs: [] })
export const reasoningPart = (text: string) => ({ type: 'reasoning_text', text })

export const messageItem = (id: string, status: ItemStatus, content: readonly unknown[]) => ({
  id,
  type: 'message',
  status,
  role: 'assistant',
  content,
})

export const reasoningItem = (id: string, status: ItemStatus, content: readonly unknown[]) => ({
  id,
  type: 'reasoning',
  status,
  summary: [],
  content,
})

export const callItem = (
  id: string,
  status: ItemStatus,
  call: { readonly id: string; readonly name: string; readonly arguments: string },
) => ({ id, type: 'function_call', status, call_id: call.id, name: call.name, arguments: call.arguments })

/** Items of one response are named after it. */
export const itemId = (prefix: 'msg' | 'rs' | 'fc', facts: ResponseFacts, index: number): string =>
  `${prefix}_${facts.id.replace(/^resp[_-]?/, '')}_${index}`
