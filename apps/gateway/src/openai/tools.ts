import { z } from 'zod'
import { badRequest, unsupported } from '../http/problem.ts'
import type { Tool, ToolChoice } from '../inference/chat/chat-request.ts'

/** Names that every format can write without quoting. */
export const toolName = z
  .string()
  .regex(/^[\w.-]{1,128}$/, 'must be 1 to 128 letters, digits, dots, dashes or underscores')

export const toolField = z.looseObject({
  type: z.string(),
  function: z
    .object({
      name: toolName,
      description: z.string().nullish(),
      parameters: z.record(z.string(), z.unknown()).nullish(),
      strict: z.boolean().nullish(),
    })
    .optional(),
})

const named = z.object({ name: z.string() })

export const toolChoiceField = z.union(
  [
    z.enum(['auto', 'none', 'required']),
    z.object({ type: z.literal('function'), function: named }),
    z.object({
      type: z.literal('allowed_tools'),
      allowed_tools: z.object({
        mode: z.enum(['auto', 'required']),
        tools: z.array(z.object({ type: z.literal('function'), function: named })).min(1),
      }),
    }),
  ],
  { error: "must be 'auto', 'none', 'required', or an object that names a function or allowed tools" },
)

interface ToolFields {
  readonly tools?: readonly z.infer<typeof toolField>[] | null | undefined
  readonly tool_choice?: z.infer<typeof toolChoiceField> | null | undefined
}

/** The tools on offer and how they may be used. @throws Problem */
export function offeredTools(fields: ToolFields): { tools: readonly Tool[]; toolChoice: ToolChoice } {
  const tools = (fields.tools ?? []).map(readTool)
  const names = new Set<string>()
  for (const [index, { name }] of tools.entries()) {
    if (names.has(name)) {
      throw badRequest(`Invalid 'tools[${index}].function.name': '${name}' is there twice.`, {
        param: `tools[${index}].function.name`,
        hint: 'Give every tool a name of its own.',
      })
    }
    names.add(name)
  }
  const choice = fields.tool_choice ?? 'auto'
  if (typeof choice === 'string') return { tools, toolChoice: { type: choice } }
  if (choice.type === 'function') return { tools, toolChoice: { type: 'named', name: choice.function.name } }
  const { mode, tools: allowed } = choice.allowed_tools
  for (const [index, { function: one }] of allowed.entries()) {
    if (names.has(one.name)) continue
    const param = `tool_choice.allowed_tools.tools[${index}].function.name`
    throw badRequest(`Invalid '${param}': '${one.name.slice(0, 80)}' is not among the tools.`, { param })
  }
  const allowedNames = new Set(allowed.map(({ function: one }) => one.name))
  return { tools: tools.filter(({ name }) => allowedNames.has(name)), toolChoice: { type: mode } }
}

function readTool(tool: z.infer<typeof toolField>, index: number): Tool {
  if (tool.type !== 'function') {
    throw unsupported(
      `tools[${index}].type`,
      `Tools of type '${tool.type.slice(0, 80)}' are`,
      "Send tools of type 'function'.",
    )
  }
  const { function: one } = tool
  if (one === undefined) {
    const param = `tools[${index}].function`
    throw badRequest(`Missing required parameter: '${param}'.`, { param, code: 'missing_required_parameter' })
  }
  return {
    name: one.name,
    description: one.description ?? null,
    parameters: one.parameters ?? null,
    strict: one.strict === true,
    param: `tools[${index}].function.parameters`,
  }
}
