import { createConnection, type Socket } from 'node:net'
import { LinkError } from './link-error.ts'
import { formatTcpAddress, type TcpAddress } from './tcp-address.ts'

/** An HTTP proxy that opens connections for others by CONNECT (RFC 9110, section 9.3.6). */
export interface HttpProxy extends TcpAddress {
  /** Value of `proxy-authorization`, or null. */
  readonly authorization: string | null
}

/** An answer that is longer is none. */
const LONGEST_ANSWER = 16 * 1024

/** @throws LinkError unless the text is `http://host:port`, with `user:password@` in front of the host if need be */
export function parseHttpProxy(text: string): HttpProxy {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url?.protocol !== 'http:' || url.hostname === '' || url.pathname !== '/' || url.search !== '') {
    throw new LinkError('LINK_PROXY', `"${text.replace(/\/\/[^@/]*@/, '//…@')}" is not an HTTP proxy.`)
  }
  const { username, password } = url
  const credentials = `${unescaped(username)}:${unescaped(password)}`
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 80 : Number(url.port),
    authorization: username === '' ? null : `Basic ${Buffer.from(credentials, 'utf8').toString('base64')}`,
  }
}

/** A percent sign that escapes nothing stands for itself: passwords are pasted as they are. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** What an option says; nothing is no proxy. @throws LinkError if it says something else */
export const proxyOption = (text: string | null | undefined): HttpProxy | null =>
  text === null || text === undefined || text === '' ? null : parseHttpProxy(text)

/**
 * A connection to `target` that a proxy opens. It is paused: what reads it resumes it.
 *
 * @throws LinkError if the proxy cannot be reached, refuses, or takes too long; the signal's abortion is one too
 */
export function connectThrough(
  proxy: HttpProxy,
  target: TcpAddress,
  limits: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<Socket> {
  const { timeoutMs, signal } = limits
  const to = formatTcpAddress(target)
  const via = `the proxy ${formatTcpAddress(proxy)}`
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: proxy.host, port: proxy.port, noDelay: true })
    const settle = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      socket.removeAllListeners()
    }
    const fail = (error: LinkError): void => {
      settle()
      socket.on('error', () => undefined)
      socket.destroy()
      reject(error)
    }
    const abort = (): void => fail(new LinkError('LINK_ABORTED', `Connecting to ${to} was given up.`))
    const timer = setTimeout(() => {
      fail(new LinkError('LINK_TIMEOUT', `${to} did not come about over ${via} within ${timeoutMs} ms.`))
    }, timeoutMs)
    signal?.addEventListener('abort', abort)
    if (signal?.aborted) return abort()
    socket.on('error', (cause) =>
      fail(new LinkError('LINK_UNREACHABLE', `${to} over ${via}: ${cause.message}.`, { cause })),
    )
    socket.on('close', () => fail(new LinkError('LINK_REFUSED', `${to}: ${via} hung up.`)))
    const lines = [`CONNECT ${to} HTTP/1.1`, `Host: ${to}`]
    if (proxy.authorization !== null) lines.push(`Proxy-Authorization: ${proxy.authorization}`)
    socket.write(`${lines.join('\r\n')}\r\n\r\n`)
    let answer = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk])
      const end = answer.indexOf('\r\n\r\n')
      if (end < 0) {
        if (answer.length > LONGEST_ANSWER)
          fail(new LinkError('LINK_PROXY', `${via} does not answer as HTTP proxies do.`))
        return
      }
      const status = /^HTTP\/1\.[01] (\d{3})[^\r\n]*/.exec(answer.toString('latin1', 0, end))
      if (!status?.[1]?.startsWith('2')) {
        fail(new LinkError('LINK_REFUSED', `${to}: ${via} answers ${status?.[0] ?? 'no HTTP'}.`))
        return
      }
      settle()
      // Without a listener a reset would end the process.
      socket.on('error', () => undefined)
      socket.pause()
      const rest = answer.subarray(end + 4)
      if (rest.length > 0) socket.unshift(rest)
      resolve(socket)
    })
  })
}
