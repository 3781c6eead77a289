import { BlockList, connect, isIPv6 } from 'node:net'

const privateAddresses = new BlockList()
for (const [network, prefix] of [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
] as const) {
  privateAddresses.addSubnet(network, prefix, 'ipv4')
}
privateAddresses.addSubnet('fc00::', 7, 'ipv6')
privateAddresses.addSubnet('fe80::', 10, 'ipv6')
privateAddresses.addAddress('::1', 'ipv6')

/** IPv4 addresses are written as such also where a socket speaks both. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '')

export const isPrivateAddress = (address: string): boolean =>
  privateAddresses.check(plain(address), isIPv6(plain(address)) ? 'ipv6' : 'ipv4')

/** Said of a machine that nobody is to dial, whatever its addresses look like. */
export const notAdvertised = 'none'

const wildcards = new Set(['0.0.0.0', '::'])

export interface OwnHostOptions {
  readonly url: string
  readonly listenHost: string
  readonly advertise: string | null
}

/** The address from which this computer reaches another, and that other's. */
export type FindRoute = (url: string) => Promise<{ readonly local: string; readonly remote: string } | null>

/**
 * Under which host other machines reach what listens here; null if they do not. A private address counts only if the
 * control plane is in a private network, too: otherwise there is a NAT between.
 */
export async function findOwnHost(
  options: OwnHostOptions,
  findRoute: FindRoute = route,
): Promise<string | null> {
  const { url, listenHost, advertise } = options
  if (advertise === notAdvertised) return null
  if (advertise !== null) return advertise
  if (!wildcards.has(listenHost)) return listenHost
  const found = await findRoute(url)
  if (found === null) return null
  return isPrivateAddress(found.local) && !isPrivateAddress(found.remote) ? null : plain(found.local)
}

const ROUTE_MS = 3_000

const route: FindRoute = (url) => {
  const { hostname, port, protocol } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    })
    const settle = (found: Awaited<ReturnType<FindRoute>>) => {
      socket.destroy()
      resolve(found)
    }
    socket.setTimeout(ROUTE_MS, () => settle(null))
    socket.once('error', () => settle(null))
    socket.once('connect', () => {
      const { localAddress: local, remoteAddress: remote } = socket
      settle(local === undefined || remote === undefined ? null : { local, remote })
    })
  })
}
