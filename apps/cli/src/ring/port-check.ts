import { createServer } from 'node:net'
import { DomainError } from '@deos/domain'

/** The flag by which the port is chosen. */
type PortFlag = '--port' | '--control-port'

export class PortError extends DomainError {
  readonly code = 'PORT_UNAVAILABLE'
  readonly retriable = false

  constructor(
    readonly host: string,
    readonly port: number,
    cause: NodeJS.ErrnoException,
    flag: PortFlag,
  ) {
    super(describe(host, port, cause), remedy(port, flag, cause), { cause })
  }
}

function describe(host: string, port: number, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'EADDRINUSE') return `Port ${port} of ${host} is already in use.`
  if (code === 'EACCES') return `Listening on port ${port} of ${host} is not permitted.`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return `${host} is not an address of this machine.`
  return `Listening on ${host}:${port} failed: ${message}.`
}

function remedy(port: number, flag: PortFlag, { code }: NodeJS.ErrnoException): string {
  if (code === 'EADDRINUSE')
    return `Stop what uses it, or choose another: ${flag} ${port + 1}, or ${flag} 0 for any.`
  if (code === 'EACCES') return `Choose a ${flag} of 1024 or above.`
  return 'Choose another --host.'
}

/** Finds out early whether a port can be had; 0 always can. @throws PortError */
export async function checkPort(host: string, port: number, flag: PortFlag = '--port'): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new PortError(host, port, error, flag)))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()))
  })
}
