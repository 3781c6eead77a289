import { ProblemError } from '@deos/api'

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** What a parser says of a body quotes it: neither answers nor logs get to see that. */
function refusal(): ProblemError {
  return new ProblemError('malformed', 'The body is not JSON in UTF-8.', {
    hint: 'Send one JSON document, encoded as UTF-8.',
  })
}

/** @throws ProblemError if the bytes are not JSON in UTF-8; no bytes are no body */
export function parseJsonBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined
  try {
    return JSON.parse(utf8.decode(bytes))
  } catch {
    throw refusal()
  }
}
