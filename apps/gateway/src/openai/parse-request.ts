import type { z } from 'zod'
import { badRequest, type Problem } from '../http/problem.ts'

/** `messages[0].content`, as OpenAI writes the place of a fault. */
function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) =>
      typeof key === 'number' ? `${text}[${key}]` : text ? `${text}.${String(key)}` : String(key),
    '',
  )
}

function formatInput(input: unknown): string {
  const text = JSON.stringify(input) ?? String(input)
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}

function asProblem(issue: z.core.$ZodIssue): Problem {
  const param = formatPath(issue.path)
  if (param === '') return badRequest('The request body must be a JSON object.', { code: 'invalid_type' })
  if (issue.input === undefined) {
    return badRequest(`Missing required parameter: '${param}'.`, {
      param,
      code: 'missing_required_parameter',
    })
  }
  const code =
    issue.code === 'invalid_type' || issue.code === 'invalid_union' ? 'invalid_type' : 'invalid_value'
  const message = issue.message.charAt(0).toLowerCase() + issue.message.slice(1)
  return badRequest(`Invalid '${param}': ${message}, got ${formatInput(issue.input)}.`, { param, code })
}

/** @throws Problem about the first field that does not fit */
export function parseRequest<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const result = schema.safeParse(body, { reportInput: true })
  if (result.success) return result.data
  throw asProblem(result.error.issues[0]!)
}
