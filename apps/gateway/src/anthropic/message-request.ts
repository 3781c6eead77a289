import { z } from 'zod'
import { badRequest, unsupported } from '../http/problem.ts'
import type {
  ChatMessage,
  OutputFormat,
  Reasoning,
  Tool,
  ToolChoice,
} from '../inference/chat/chat-request.ts'
import { distinctTools } from '../inference/chat/distinct-tools.ts'
import { wellFormed } from '../openai/common-fields.ts'
import { toolName } from '../openai/tools.ts'
import { assistantMessage, content, plainText, userMessages } from './content-blocks.ts'

const schema = z.record(z.string(), z.unknown())

const tool = z.object({
  type: z.string().nullish(),
  name: toolName,
  description: z.string().nullish(),
  input_schema: schema.nullish(),
  strict: z.boolean().nullish(),
})

const format = z.object({ type: z.literal('json_schema'), schema })

/** The body of `/v1/messages`. Fields not named here are ignored. */
export const messageRequest = z.object({
  model: z.string().min(1),
  max_tokens: z.int().min(1),
  messages: z.array(z.object({ role: z.enum(['user', 'assistant', 'system']), content })).min(1),
  system: content.nullish(),
  stop_sequences: z.array(z.string().min(1)).max(64).nullish(),
  stream: z.boolean().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  tools: z.array(tool).max(1024).nullish(),
  tool_choice: z
    .object({
      type: z.enum(['auto', 'any', 'tool', 'none']),
      name: z.string().nullish(),
      disable_parallel_tool_use: z.boolean().nullish(),
    })
    .nullish(),
  thinking: z
    .object({
      type: z.enum(['enabled', 'disabled', 'adaptive', 'between_tools']),
      budget_tokens: z.int().min(1).nullish(),
      display: z.enum(['summarized', 'omitted']).nullish(),
    })
    .nullish(),
  output_config: z
    .object({
      format: format.nullish(),
      effort: z.enum(['low', 'medium', 'high', 'xhigh', 'max']).nullish(),
    })
    .nullish(),
  output_format: format.nullish(),
  container: z.unknown().optional(),
  mcp_servers: z.array(z.unknown()).nullish(),
})

/** What counting tokens looks at. */
export const countRequest = messageRequest.partial({ max_tokens: true })

export type MessageRequest = z.infer<typeof messageRequest>
export type CountRequest = z.infer<typeof countRequest>

/** @throws Problem naming the first thing this server does not offer */
export function refuseUnsupported({ container, mcp_servers: servers, messages }: MessageRequest): void {
  if (container != null) throw unsupported('container', 'Containers are')
  if (servers?.length) throw unsupported('mcp_servers', 'Tools of MCP servers are')
  const last = messages.length - 1
  if (messages[last]!.role === 'assistant') {
    throw unsupported(
      `messages[${last}]`,
      "Going on with a begun message of the assistant's is",
      'End the conversation with a message of the user.',
    )
  }
}

/** Two messages of one speaker in a row are one turn; `null` for any other two. */
function oneTurn(first: ChatMessage, second: ChatMessage): ChatMessage | null {
  const join = (a: string, b: string) => [a, b].filter((text) => text !== '').join('\n\n')
  const content = join(first.content, second.content)
  if (first.role === 'user' && second.role === 'user') return { role: 'user', content }
  if (first.role !== 'assistant' || second.role !== 'assistant') return null
  const reasoning = join(first.reasoning ?? '', second.reasoning ?? '')
  const toolCalls = [...(first.toolCalls ?? []), ...(second.toolCalls ?? [])]
  return {
    role: 'assistant',
    content,
    ...(reasoning !== '' && { reasoning }),
    ...(toolCalls.length > 0 && { toolCalls }),
  }
}

/** The conversation as every API has it. @throws Problem naming a block that is no text and no tool's */
export function chatMessages({ system, messages }: CountRequest): readonly ChatMessage[] {
  const instruction = system == null ? '' : plainText(system, 'system')
  const turns: ChatMessage[] = instruction === '' ? [] : [{ role: 'system', content: instruction }]
  const said = messages.flatMap(({ role, content: given }, index): readonly ChatMessage[] => {
    const param = `messages[${index}].content`
    if (typeof given === 'string') return [{ role, content: wellFormed(given) }]
    if (role === 'assistant') return [assistantMessage(given, param)]
    if (role === 'system') return [{ role, content: plainText(given, param) }]
    return userMessages(given, param)
  })
  for (const message of said) {
    const last = turns.at(-1)
    const joined = last === undefined ? null : oneTurn(last, message)
    if (joined === null) turns.push(message)
    else turns[turns.length - 1] = joined
  }
  return turns
}

/** @throws Problem for a tool that comes with the model or that Anthropic would run itself */
export function chatTools({ tools }: CountRequest): readonly Tool[] {
  return distinctTools(
    (tools ?? []).map(({ type, name, description, input_schema: parameters, strict }, index) => {
      if (type != null && type !== 'custom') {
        throw unsupported(
          `tools[${index}].type`,
          `Tools of type '${type.slice(0, 80)}' are`,
          "Send tools with an 'input_schema'.",
        )
      }
      const param = `tools[${index}].input_schema`
      if (parameters == null) {
        throw badRequest(`Missing required parameter: '${param}'.`, {
          param,
          code: 'missing_required_parameter',
        })
      }
      return { name, description: description ?? null, parameters, strict: strict === true, param }
    }),
  )
}

export function toolChoice({ tool_choice: choice }: CountRequest): ToolChoice {
  switch (choice?.type) {
    case 'any':
      return { type: 'required' }
    case 'none':
      return { type: 'none' }
    case 'tool':
      if (choice.name) return { type: 'named', name: choice.name }
      throw badRequest("Missing required parameter: 'tool_choice.name'.", {
        param: 'tool_choice.name',
        code: 'missing_required_parameter',
      })
    default:
      return { type: 'auto' }
  }
}

export function outputFormat({ output_config: config, output_format: older }: CountRequest): OutputFormat {
  const asked = config?.format ?? older
  if (asked == null) return { type: 'text' }
  const param = config?.format == null ? 'output_format.schema' : 'output_config.format.schema'
  return { type: 'json_schema', schema: asked.schema, strict: true, param }
}

/** As Anthropic has it, a model thinks when it is told to; templates know no more than `high`. */
export function reasoningOf({ thinking, output_config: config }: CountRequest): Reasoning {
  const effort = config?.effort ?? null
  return {
    effort: effort === 'xhigh' || effort === 'max' ? 'high' : effort,
    enabled: thinking != null && thinking.type !== 'disabled',
  }
}
