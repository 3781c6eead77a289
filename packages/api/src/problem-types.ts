interface ProblemType {
  readonly status: number
  readonly title: string
  /** Whether the same call may succeed later. */
  readonly retriable: boolean
}

/** Every kind of trouble the API tells of. Names are part of the API: they may be added to, not changed. */
export const problemTypes = {
  'budget-exhausted': { status: 402, title: 'The budget is used up', retriable: false },
  conflict: { status: 409, title: 'The state of the resource does not allow this', retriable: false },
  forbidden: { status: 403, title: 'Not permitted', retriable: false },
  gone: { status: 410, title: 'No longer usable', retriable: false },
  'idempotency-in-progress': {
    status: 409,
    title: 'The first call with this key still runs',
    retriable: true,
  },
  'idempotency-mismatch': {
    status: 422,
    title: 'The key belongs to a different request',
    retriable: false,
  },
  infeasible: { status: 422, title: 'No placement fits', retriable: false },
  internal: { status: 500, title: 'The server failed', retriable: true },
  malformed: { status: 400, title: 'The request cannot be read', retriable: false },
  'method-not-allowed': { status: 405, title: 'This address has no such method', retriable: false },
  'not-found': { status: 404, title: 'Not found', retriable: false },
  'range-not-satisfiable': { status: 416, title: 'The range is beyond the end', retriable: false },
  'rate-limited': { status: 429, title: 'Too many requests', retriable: true },
  'stale-incarnation': {
    status: 409,
    title: 'A newer incarnation of the machine has joined',
    retriable: false,
  },
  timeout: { status: 504, title: 'It took too long', retriable: true },
  'too-large': { status: 413, title: 'The request is too large', retriable: false },
  unauthenticated: { status: 401, title: 'Not signed in', retriable: false },
  unavailable: { status: 503, title: 'Not available now', retriable: true },
  'unsupported-media-type': { status: 415, title: 'The body is not JSON', retriable: false },
  validation: { status: 400, title: 'The request is not valid', retriable: false },
  'version-unsupported': { status: 426, title: 'The versions do not fit together', retriable: false },
} as const satisfies Readonly<Record<string, ProblemType>>

export type ProblemName = keyof typeof problemTypes

export const problemNames = Object.keys(problemTypes) as readonly ProblemName[]

const uriPrefix = 'urn:deos:problem:'

/** The stable `type` of RFC 9457. */
export const problemUri = (name: ProblemName): string => `${uriPrefix}${name}`

/** The name in a `type`; null if it is not one of ours. */
export function problemNameOf(uri: string): ProblemName | null {
  const name = uri.startsWith(uriPrefix) ? uri.slice(uriPrefix.length) : ''
  return Object.hasOwn(problemTypes, name) ? (name as ProblemName) : null
}
