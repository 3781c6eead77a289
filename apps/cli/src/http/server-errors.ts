import { DomainError } from '@deos/domain'

/** Nobody answers at the address. */
export class ServerUnreachableError extends DomainError {
  readonly code = 'SERVER_UNREACHABLE'
  readonly retriable = true

  constructor(
    readonly url: string,
    cause: unknown,
  ) {
    super(
      `No server answers at ${url} (${(cause as NodeJS.ErrnoException).code ?? String(cause)}).`,
      'Start one with "deos serve" (or "npm start"), or name another with --url.',
      { cause },
    )
  }
}

/** The server refused or could not finish. */
export class ServerError extends DomainError {
  readonly code = 'SERVER_ERROR'
  readonly retriable: boolean

  constructor(
    /** 0 when the answer had already begun. */
    readonly status: number,
    message: string,
    readonly serverCode: string | null,
    hint = '',
  ) {
    super(message, hint)
    this.retriable = status === 429 || status >= 500
  }
}

const hints: Readonly<Record<number, string>> = {
  401: 'Give its key with --api-key or DEOS_API_KEY.',
  404: 'Check --url; it names a server, without /v1.',
  429: 'Try again shortly.',
  503: 'Try again shortly.',
}

/** The error a body of OpenAI's shape tells of, or whatever else came. */
export function serverError(status: number, body: string): ServerError {
  try {
    const { error } = JSON.parse(body) as { error?: { message?: unknown; code?: unknown } }
    if (typeof error?.message === 'string') {
      const code = typeof error.code === 'string' ? error.code : null
      return new ServerError(status, error.message, code, status === 401 ? hints[401] : '')
    }
  } catch {
    // Not JSON: shown as it is.
  }
  const shown = body.trim().slice(0, 200)
  return new ServerError(
    status,
    `The server answered ${status}${shown ? `: ${shown}` : '.'}`,
    null,
    hints[status],
  )
}
