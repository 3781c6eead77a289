const maxDepth = 4

/** Values of a failed query may be secrets: only its text, which has placeholders, is kept. */
function messageOf(error: Error): string {
  return 'query' in error && 'params' in error ? `Failed query: ${String(error.query)}` : error.message
}

/** Where an error arose, without the message, which stands at the beginning of a trace. */
function framesOf({ stack = '' }: Error): string {
  const start = stack.search(/^ {4}at /m)
  return start < 0 ? '' : stack.slice(start)
}

const facts = ['code', 'constraint', 'table'] as const

/** What a database says of itself; it stands at the innermost error. */
function factsOf(error: unknown, depth = 0): Record<string, string> {
  if (!(error instanceof Error) || depth > maxDepth) return {}
  const own = error as Partial<Record<(typeof facts)[number], unknown>>
  const entries = facts.flatMap((name) => (typeof own[name] === 'string' ? [[name, own[name]]] : []))
  return { ...factsOf(error.cause, depth + 1), ...Object.fromEntries(entries) }
}

function withoutFacts(error: Error, depth: number): Record<string, unknown> {
  const message = messageOf(error)
  return {
    type: error.name,
    message,
    stack: `${error.name}: ${message}\n${framesOf(error)}`,
    ...(error.cause instanceof Error && depth < maxDepth && { cause: withoutFacts(error.cause, depth + 1) }),
  }
}

/**
 * An error as logs may hold it: what and where, but neither values of queries and rows nor whatever else hangs on it.
 */
export function loggableError(error: unknown): Record<string, unknown> {
  if (error instanceof Error) return { ...factsOf(error), ...withoutFacts(error, 0) }
  return { type: typeof error, message: 'Something that is no error was thrown.' }
}
