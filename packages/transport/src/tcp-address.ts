import { isIP } from 'node:net'
import { LinkError } from './link-error.ts'

export interface TcpAddress {
  readonly host: string
  readonly port: number
}

/** @throws LinkError unless the text is `host:port`, with IPv6 hosts in brackets; port 0 asks for a free one */
export function parseTcpAddress(text: string): TcpAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65535) throw new LinkError('LINK_ADDRESS', `"${text}" is not an address.`)
  return { host: match[1] ?? match[2]!, port }
}

export const formatTcpAddress = ({ host, port }: TcpAddress): string =>
  isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
