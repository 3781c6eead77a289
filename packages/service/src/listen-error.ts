import { DomainError } from '@deos/domain'

/** The address for clients could not be taken. */
export class ListenError extends DomainError {
  readonly code = 'LISTEN_FAILED'
  readonly retriable = false

  static of(host: string, port: number, cause: unknown): ListenError {
    const at = `${host}:${port}`
    switch ((cause as NodeJS.ErrnoException).code) {
      case 'EADDRINUSE':
        return new ListenError(
          `Port ${port} of ${host} is already in use.`,
          'Stop what uses it, or choose another with --port (0 takes any free one).',
          { cause },
        )
      case 'EACCES':
        return new ListenError(`Listening on ${at} is not permitted.`, 'Choose a --port of 1024 or above.', {
          cause,
        })
      case 'EADDRNOTAVAIL':
      case 'ENOTFOUND':
        return new ListenError(`${host} is not an address of this machine.`, 'Choose another --host.', {
          cause,
        })
      default:
        return new ListenError(
          `Listening on ${at} failed: ${(cause as Error).message}.`,
          'Choose another address.',
          {
            cause,
          },
        )
    }
  }
}
