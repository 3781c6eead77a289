import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import { isIP } from 'node:net'
import type { Readable } from 'node:stream'
import { Agent, request } from 'undici'
import { HubError, OutgoingRefusedError } from './errors.ts'
import { isPublicAddress } from './public-address.ts'

export type Lookup = (
  host: string,
  options: { readonly all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

export interface OutgoingOptions {
  /** Hosts that may be called wherever they are, also without TLS: `host` or `host:port`. */
  readonly allowedHosts: readonly string[]
  readonly lookup?: Lookup
  /** Connections and answers that are silent for so long are given up. Default: 30 s. */
  readonly idleMs?: number
}

export interface OutgoingRequest {
  readonly headers?: Readonly<Record<string, string>>
  /** Sent to this origin and to no other, wherever redirects lead. */
  readonly token?: { readonly origin: string; readonly value: string } | null
  readonly signal?: AbortSignal | undefined
}

export interface OutgoingAnswer {
  readonly url: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readable
}

const mostRedirects = 5
const redirects: readonly number[] = [301, 302, 303, 307, 308]

/**
 * Calls addresses that people name. A host is looked up, every address it has must be public, and the connection goes
 * to what was checked; redirects are followed under the same rules. Hosts that the operator allowed are exempt.
 */
export class Outgoing {
  readonly #allowed: ReadonlySet<string>
  readonly #guarded: Agent
  readonly #open: Agent

  constructor({ allowedHosts, lookup = systemLookup as Lookup, idleMs = 30_000 }: OutgoingOptions) {
    this.#allowed = new Set(allowedHosts.map((host) => host.toLowerCase()))
    const limits = { headersTimeout: idleMs, bodyTimeout: idleMs }
    this.#guarded = new Agent({ ...limits, connect: { timeout: idleMs, lookup: guardedLookup(lookup) } })
    this.#open = new Agent({ ...limits, connect: { timeout: idleMs } })
  }

  /** @throws OutgoingRefusedError if the address cannot be allowed, whatever its host's name leads to */
  check(address: string): URL {
    const url = parsed(address)
    if (this.#isAllowed(url)) return url
    const { host, hostname } = url
    if (url.protocol !== 'https:') throw new OutgoingRefusedError(host, 'it is not asked over https')
    const literal = hostname.replace(/^\[|\]$/g, '')
    if (isIP(literal) !== 0 && !isPublicAddress(literal)) {
      throw new OutgoingRefusedError(host, 'it is not an address of the public internet')
    }
    return url
  }

  /**
   * A GET request.
   *
   * @throws OutgoingRefusedError; HubError if nobody answers; the signal's reason when aborted
   */
  async get(address: string, options: OutgoingRequest = {}): Promise<OutgoingAnswer> {
    let url = this.check(address)
    for (let hops = 0; ; hops += 1) {
      const answer = await this.#send(url, options)
      const location = redirects.includes(answer.status) ? answer.headers.location : undefined
      if (location === undefined) return answer
      answer.body.destroy()
      if (hops === mostRedirects) {
        throw new HubError(
          `${url.host} redirects more than ${mostRedirects} times.`,
          'Check the address.',
          false,
        )
      }
      url = this.check(resolved(location, url))
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#guarded.destroy(), this.#open.destroy()])
  }

  #isAllowed({ host, hostname, port, protocol }: URL): boolean {
    const full = port === '' ? `${hostname}:${protocol === 'https:' ? 443 : 80}` : host
    return this.#allowed.has(hostname.toLowerCase()) || this.#allowed.has(full.toLowerCase())
  }

  async #send(url: URL, { headers, token, signal }: OutgoingRequest): Promise<OutgoingAnswer> {
    const authorization = token?.origin === url.origin ? { authorization: `Bearer ${token.value}` } : {}
    try {
      const answer = await request(url, {
        dispatcher: this.#isAllowed(url) ? this.#open : this.#guarded,
        headers: { 'user-agent': 'deos', ...headers, ...authorization },
        ...(signal === undefined ? {} : { signal }),
      })
      // A body that is given up early says so, and nobody may be reading any more.
      answer.body.on('error', () => {})
      return {
        url: url.href,
        status: answer.statusCode,
        headers: Object.fromEntries(
          Object.entries(answer.headers).map(([name, value]) => [name, [value].flat().join(', ')]),
        ),
        body: answer.body,
      }
    } catch (error) {
      signal?.throwIfAborted()
      throw refusalIn(error) ?? unreachable(url, error)
    }
  }
}

export function unreachable(url: URL, error: unknown): HubError {
  const reason = error instanceof Error ? error.message || error.name : String(error)
  return new HubError(
    `${url.host} could not be reached: ${reason}.`,
    'Check the network, then try again.',
    true,
    null,
    error,
  )
}

function parsed(address: string): URL {
  let url: URL
  try {
    url = new URL(address)
  } catch {
    throw new OutgoingRefusedError(address.slice(0, 80), 'it is not an address')
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new OutgoingRefusedError(url.host || url.protocol, 'it is not asked over https')
  }
  if (url.username !== '' || url.password !== '') {
    throw new OutgoingRefusedError(url.host, 'its address holds a user name or password')
  }
  return url
}

function resolved(location: string, base: URL): string {
  try {
    return new URL(location, base).href
  } catch {
    throw new OutgoingRefusedError(base.host, 'it redirects to something that is not an address')
  }
}

type SystemCallback = (
  error: NodeJS.ErrnoException | null,
  address: string | LookupAddress[],
  family?: number,
) => void

const guardedLookup =
  (lookup: Lookup) =>
  (host: string, options: { all?: boolean | undefined }, callback: SystemCallback): void => {
    lookup(host, { all: true }, (error, addresses) => {
      if (error) return callback(error, [])
      const hidden = addresses.find(({ address }) => !isPublicAddress(address))
      const [first] = addresses
      if (hidden !== undefined || first === undefined) {
        return callback(
          new OutgoingRefusedError(host, 'its name leads into a network that is not public'),
          [],
        )
      }
      if (options.all) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }

/** Attempts at several addresses report their errors together. */
function refusalIn(error: unknown): OutgoingRefusedError | null {
  if (error instanceof OutgoingRefusedError) return error
  if (!(error instanceof Error)) return null
  const within = error instanceof AggregateError ? error.errors : [error.cause]
  for (const inner of within) {
    const found = inner === undefined ? null : refusalIn(inner)
    if (found !== null) return found
  }
  return null
}
