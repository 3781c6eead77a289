import { InvalidFieldError } from '../errors.ts'
import type { Tool } from './chat-request.ts'

/** @throws InvalidFieldError if two tools have one name: a call could mean either */
export function distinctTools(tools: readonly Tool[]): readonly Tool[] {
  const names = new Set<string>()
  for (const [index, { name }] of tools.entries()) {
    if (names.has(name)) {
      const param = `tools[${index}]`
      throw new InvalidFieldError(
        param,
        `Invalid '${param}': a tool named '${name}' is there already.`,
        'Give every tool a name of its own.',
      )
    }
    names.add(name)
  }
  return tools
}
