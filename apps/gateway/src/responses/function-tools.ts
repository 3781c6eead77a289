import { z } from 'zod'
import { badRequest, unsupported } from '../http/problem.ts'
import type { Tool, ToolChoice } from '../inference/chat/chat-request.ts'
import { distinctTools } from '../inference/chat/distinct-tools.ts'
import { toolName } from '../openai/tools.ts'

const named = z.object({ type: z.literal('function'), name: z.string().min(1) })

export const toolFields = {
  tools: z
    .array(
      z.looseObject({
        type: z.string(),
        name: toolName.nullish(),
        description: z.string().nullish(),
        parameters: z.record(z.string(), z.unknown()).nullish(),
        strict: z.boolean().nullish(),
      }),
    )
    .max(1024)
    .nullish(),
  tool_choice: z
    .union(
      [
        z.enum(['auto', 'none', 'required']),
        named,
        z.object({
          type: z.literal('allowed_tools'),
          mode: z.enum(['auto', 'required']),
          tools: z.array(named).min(1),
        }),
      ],
      { error: "must be 'auto', 'none', 'required', or an object that names a function or allowed tools" },
    )
    .nullish(),
}

type ToolFields = z.infer<z.ZodObject<typeof toolFields>>

/** @throws Problem for a tool that OpenAI would run itself */
function functionTool(given: NonNullable<ToolFields['tools']>[number], index: number): Tool {
  const at = `tools[${index}]`
  if (given.type !== 'function') {
    throw unsupported(
      `${at}.type`,
      `Tools of type '${given.type.slice(0, 80)}' are`,
      "Send tools of type 'function'.",
    )
  }
  if (given.name == null) {
    const param = `${at}.name`
    throw badRequest(`Missing required parameter: '${param}'.`, { param, code: 'missing_required_parameter' })
  }
  return {
    name: given.name,
    description: given.description ?? null,
    parameters: given.parameters ?? null,
    strict: given.strict === true,
    param: `${at}.parameters`,
  }
}

/** The tools on offer and how they may be used. @throws Problem */
export function offeredTools(fields: ToolFields): { tools: readonly Tool[]; toolChoice: ToolChoice } {
  const tools = distinctTools((fields.tools ?? []).map(functionTool))
  const choice = fields.tool_choice ?? 'auto'
  if (typeof choice === 'string') return { tools, toolChoice: { type: choice } }
  if (choice.type === 'function') return { tools, toolChoice: { type: 'named', name: choice.name } }
  const allowed = new Set(choice.tools.map(({ name }) => name))
  for (const [index, { name }] of choice.tools.entries()) {
    if (tools.some((tool) => tool.name === name)) continue
    const param = `tool_choice.tools[${index}].name`
    throw badRequest(`Invalid '${param}': '${name.slice(0, 80)}' is not among the tools.`, { param })
  }
  return { tools: tools.filter(({ name }) => allowed.has(name)), toolChoice: { type: choice.mode } }
}

/** Tools as a response repeats them. */
export const toolsBody = ({ tools }: ToolFields) =>
  (tools ?? []).map(({ type, name, description, parameters, strict }) => ({
    type,
    name,
    description: description ?? null,
    parameters: parameters ?? null,
    strict: strict === true,
  }))
