import { createServer } from 'node:net'
import { DomainError } from '@deos/domain'

export class PortError extends DomainError {
  readonly code = 'PORT_UNAVAILABLE'
  readonly retriable = false

  constructor(
    readonly host: string,
    readonly port: number,
    cause: NodeJS.ErrnoException,
  ) {
    super(describe(host, port, cause), remedy(port, cause), { cause })
  }
}

function describe(host: string, port: number, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'EADDRINUSE') return `Port ${port} of ${host} is already in use.`
  if (code === 'EACCES') return `Listening on port ${port} of ${host} is not permitted.`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return `${host} is not an address of this machine.`
  return `Listening on ${host}:${port} failed: ${message}.`
}

function remedy(port: number, { code }: NodeJS.ErrnoException): string {
  if (code === 'EADDRINUSE')
    return `Stop what uses it, or choose another: --port ${port + 1}, or --port 0 for any.`
  if (code === 'EACCES') return 'Choose a --port of 1024 or above.'
  return 'Choose another --host.'
}

/** Finds out early whether a port can be had; 0 always can. @throws PortError */
export async function checkPort(host: string, port: number): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new PortError(host, port, error)))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()))
  })
}
