import ipaddr from 'ipaddr.js'

export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

const single = (value: string | readonly string[] | undefined): string | null =>
  typeof value === 'string' ? value : null

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Methods that change nothing, so that it does not matter which page made a browser call them. */
export const isSafeMethod = (method: string): boolean => safeMethods.has(method)

export type Site = 'same' | 'other' | 'unknown'

/**
 * Which site's page made a browser send this. Browsers set both headers themselves, and pages cannot change them;
 * programs that are no browsers send neither, as a rule.
 *
 * @param ownOrigins - `https://deos.example.org`; under which browsers know this server
 */
export function siteOf(headers: Headers, ownOrigins: readonly string[]): Site {
  const fetchSite = single(headers['sec-fetch-site'])
  if (fetchSite !== null && fetchSite !== 'none') return fetchSite === 'same-origin' ? 'same' : 'other'
  const origin = single(headers.origin)
  if (origin === null) return 'unknown'
  return ownOrigins.includes(origin) ? 'same' : 'other'
}

const ipv6SubnetBytes = 8

/**
 * An address for limits: of version 6 the subnet, since each household has more addresses than could be counted.
 */
export function limitedAddress(address: string): string {
  if (!ipaddr.isValid(address)) return 'unknown'
  const parsed = ipaddr.process(address)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  return `${Buffer.from(parsed.toByteArray().slice(0, ipv6SubnetBytes)).toString('hex')}/64`
}
