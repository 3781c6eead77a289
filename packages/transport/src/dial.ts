import { createConnection, isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connectThrough, type HttpProxy } from './http-proxy.ts'
import { LinkError, type LinkErrorCode } from './link-error.ts'
import { parseTcpAddress } from './tcp-address.ts'

export interface DialOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** Port to dial from; 0 takes a free one that may be used again for other destinations. Proxies choose for themselves. */
  readonly localPort?: number
}

/** A connection to `host:port`, made. @throws LinkError */
export type Dial = (address: string, options: DialOptions) => Promise<Duplex>

/** @param proxy - that opens all connections; without one they are dialled directly */
export const dialBy = (proxy: HttpProxy | null): Dial =>
  proxy === null ? dialTcp : (address, options) => connectThrough(proxy, parseTcpAddress(address), options)

export function dialTcp(address: string, { timeoutMs, signal, localPort }: DialOptions): ReturnType<Dial> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) throw abandoned(address)
    const socket = begin(address, localPort)
    const settle = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      socket.off('error', onError)
      socket.on('error', () => {})
    }
    const fail = (error: LinkError): void => {
      settle()
      socket.destroy()
      reject(error)
    }
    const onError = (cause: Error): void => fail(dialError(address, cause, 'LINK_UNREACHABLE'))
    const abort = (): void => fail(abandoned(address))
    const timer = setTimeout(
      () => fail(new LinkError('LINK_TIMEOUT', `${address} did not answer within ${timeoutMs} ms.`)),
      timeoutMs,
    )
    signal?.addEventListener('abort', abort)
    socket.on('error', onError)
    socket.once('connect', () => {
      settle()
      resolve(socket)
    })
  })
}

function begin(address: string, localPort: number | undefined): Socket {
  const { host, port } = parseTcpAddress(address)
  // Only a socket that was bound explicitly shares its port with later ones.
  const own = isIP(host) === 6 ? { localAddress: '::', family: 6 } : { localAddress: '0.0.0.0', family: 4 }
  const local = localPort === undefined ? {} : { localPort, ...own }
  return createConnection({ host, port, noDelay: true, ...local })
}

const codeBySystemError: Readonly<Record<string, LinkErrorCode>> = {
  ECONNREFUSED: 'LINK_REFUSED',
  ETIMEDOUT: 'LINK_TIMEOUT',
  EHOSTUNREACH: 'LINK_UNREACHABLE',
  ENETUNREACH: 'LINK_UNREACHABLE',
  ENOTFOUND: 'LINK_UNREACHABLE',
  EAI_AGAIN: 'LINK_UNREACHABLE',
}

/** @param otherwise - what trouble beyond the network's means here */
export function dialError(
  address: string,
  cause: NodeJS.ErrnoException,
  otherwise: LinkErrorCode,
): LinkError {
  const code = codeBySystemError[cause.code ?? '']
  if (code !== undefined)
    return new LinkError(code, `${address} cannot be reached (${cause.code}).`, { cause })
  return new LinkError(otherwise, `The connection to ${address} failed: ${cause.message}.`, { cause })
}

export const abandoned = (address: string): LinkError =>
  new LinkError('LINK_ABORTED', `Connecting to ${address} was given up.`)
