import { findJsonFault } from './json-syntax.ts'
import { badRequest } from './problem.ts'

/** Deeper than any request of a supported API, shallow enough for every consumer. */
const maxDepth = 64

const utf8 = new TextDecoder('utf-8', { fatal: true })

const quote = 0x22
const backslash = 0x5c

/** Whether containers nest deeper than `limit`; counts brackets outside strings. */
function isDeeperThan(body: Uint8Array, limit: number): boolean {
  let depth = 0
  let inString = false
  for (let index = 0; index < body.length; index++) {
    const byte = body[index]!
    if (inString) {
      if (byte === backslash) index += 1
      else if (byte === quote) inString = false
    } else if (byte === quote) {
      inString = true
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1
      if (depth > limit) return true
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1
    }
  }
  return false
}

/**
 * Reads a JSON body.
 *
 * @throws Problem for bytes that are not UTF-8, text that is not JSON (with its position), and deep nesting
 */
export function parseJsonBody(body: Uint8Array): unknown {
  if (body.length === 0) {
    throw badRequest('The request body is empty.', { code: 'invalid_json', hint: 'Send a JSON object.' })
  }
  let text: string
  try {
    text = utf8.decode(body)
  } catch {
    throw badRequest('The request body is not valid UTF-8.', {
      code: 'invalid_utf8',
      hint: 'Send JSON encoded as UTF-8, uncompressed.',
    })
  }
  if (isDeeperThan(body, maxDepth)) {
    throw badRequest(`The request body nests deeper than ${maxDepth} levels.`, { code: 'json_too_deep' })
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    const fault = findJsonFault(text)
    // Both follow RFC 8259; should they ever disagree, the parser is right and only the position is lost.
    const where = fault
      ? `: expected ${fault.expected} at position ${fault.offset} (line ${fault.line}, column ${fault.column})`
      : `: ${(cause as Error).message}`
    throw badRequest(`The request body is not valid JSON${where}.`, { code: 'invalid_json' })
  }
}
