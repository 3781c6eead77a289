import { createConnection, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { LinkError, type LinkErrorCode } from './link-error.ts'
import { parseTcpAddress } from './tcp-address.ts'

export interface DialOptions {
  /** Port to dial from; 0 takes a free one that may be used again for other destinations. */
  readonly localPort?: number
}

/** Begins a connection; the stream emits `connect`, or `error` and `close`. The one place where sockets are dialled. */
export type Dial = (address: string, options?: DialOptions) => Duplex

export const dialTcp = (address: string, { localPort }: DialOptions = {}): Socket => {
  const { host, port } = parseTcpAddress(address)
  // Only a socket that was bound explicitly shares its port with later ones.
  const local = localPort === undefined ? {} : { localPort, localAddress: '0.0.0.0', family: 4 }
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

/** Resolves with the stream when it is connected. @throws LinkError */
export function dialled(
  dial: Dial,
  address: string,
  timeoutMs: number,
  signal?: AbortSignal,
  options?: DialOptions,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) throw abandoned(address)
    const stream = dial(address, options)
    const settle = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      stream.off('error', onError)
      stream.on('error', () => {})
    }
    const fail = (error: LinkError): void => {
      settle()
      stream.destroy()
      reject(error)
    }
    const onError = (cause: Error): void => fail(dialError(address, cause, 'LINK_UNREACHABLE'))
    const abort = (): void => fail(abandoned(address))
    const timer = setTimeout(
      () => fail(new LinkError('LINK_TIMEOUT', `${address} did not answer within ${timeoutMs} ms.`)),
      timeoutMs,
    )
    signal?.addEventListener('abort', abort)
    stream.on('error', onError)
    stream.once('connect', () => {
      settle()
      resolve(stream)
    })
  })
}

export const abandoned = (address: string): LinkError =>
  new LinkError('LINK_ABORTED', `Connecting to ${address} was given up.`)
