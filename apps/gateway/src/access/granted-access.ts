import { createHash } from 'node:crypto'
import { type AccessGrant, type ApiClient, ApiError } from '@deos/api'
import type { Clock } from '@deos/domain'
import { Problem } from '../http/problem.ts'
import { presentedKey } from '../http/request-origin.ts'
import type { Access, Headers } from './access.ts'
import type { Caller } from './visit.ts'

export interface GrantedAccessOptions {
  /** How long an answer of the control plane is believed without asking again. */
  readonly freshMs: number
  /** How long at most while the control plane does not answer. */
  readonly staleLimitMs: number
}

export interface GrantedAccessParts {
  readonly client: Pick<ApiClient['gateway'], 'access'>
  /** Of the routing state: what was heard under another version is void. `null` before there is one. */
  readonly accessVersion: () => number | null
  /** Whether the control plane refuses this gateway itself: its word on keys then means nothing. */
  readonly refused: () => boolean
  readonly clock: Clock
  /** Milliseconds since 1970, against which keys expire. */
  readonly wallMs: () => number
}

interface Known {
  /** `null` for a key that means nothing. */
  readonly caller: Caller | null
  readonly version: number | null
  readonly heardMs: number
}

/** Keys remembered at once; the one longest unused is forgotten first. */
const CAPACITY = 20_000
/** Asked again in the background when so much of the freshness is used up. */
const REFRESH_SHARE = 0.6
/** Longer is no key of ours. */
const MAX_SECRET_LENGTH = 512
const RETRY_MS = 2_000
const ASK_LIMIT_MS = 3_000
/** After a question that was not answered, the next one waits this long. */
const PAUSE_MS = 500

/** Asks the control plane what keys may do, and remembers it for a while. Secrets themselves go nowhere. */
export class GrantedAccess implements Access {
  readonly keyRequired = true
  readonly #options: GrantedAccessOptions
  readonly #parts: GrantedAccessParts
  readonly #known = new Map<string, Known>()
  readonly #asking = new Map<string, Promise<Known>>()
  /** When the last question went unanswered, until one is answered again. */
  #failedMs: number | null = null

  constructor(options: GrantedAccessOptions, parts: GrantedAccessParts) {
    this.#options = options
    this.#parts = parts
  }

  admit(headers: Headers): Caller | Promise<Caller> {
    const secret = presentedKey(headers)
    if (secret === null) throw denied('No API key was given.')
    if (secret.length > MAX_SECRET_LENGTH) throw denied('The API key is not known here.')
    const digest = `sha256:${createHash('sha256').update(secret).digest('hex')}`
    const known = this.#recall(digest)
    if (known === null) return this.#decide(digest, null)
    const fresh = this.#isFresh(known)
    if (!fresh && (this.#failedMs === null || !this.#isBelieved(known))) return this.#decide(digest, known)
    if (!fresh || this.#ageMs(known) > this.#options.freshMs * REFRESH_SHARE) this.#refresh(digest)
    return this.#callerOf(known)
  }

  async #decide(digest: string, known: Known | null): Promise<Caller> {
    try {
      if (this.#pausing()) throw ApiError.unreachable('The control plane', null)
      return this.#callerOf(await this.#ask(digest))
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (known !== null && this.#isBelieved(known)) return this.#callerOf(known)
      throw new Problem({
        status: 503,
        type: 'service_unavailable_error',
        code: 'access_unknown',
        message: 'The API key cannot be checked at the moment: the control plane does not answer.',
        hint: 'Send the request again shortly.',
        retryAfterMs: RETRY_MS,
        cause: error,
      })
    }
  }

  #refresh(digest: string): void {
    // Whoever needs the answer asks again, and is told then.
    if (!this.#pausing()) this.#ask(digest).catch(() => undefined)
  }

  #pausing(): boolean {
    return this.#failedMs !== null && this.#parts.clock.now() - this.#failedMs < PAUSE_MS
  }

  #callerOf({ caller }: Known): Caller {
    if (caller === null) throw denied('The API key is unknown, expired or revoked.')
    const grant = caller.grant!
    if (grant.expiresAt !== null && Date.parse(grant.expiresAt) <= this.#parts.wallMs()) {
      throw denied('The API key has expired.')
    }
    if (grant.scopes.includes('inference')) return caller
    throw new Problem({
      status: 403,
      type: 'permission_error',
      code: 'insufficient_scope',
      message: 'This API key may not use models.',
      hint: 'Use a key with the scope "inference".',
    })
  }

  /** One question per key at a time, whoever waits for it. */
  #ask(digest: string): Promise<Known> {
    const asked = this.#asking.get(digest)
    if (asked !== undefined) return asked
    const asking = this.#fetch(digest).finally(() => this.#asking.delete(digest))
    this.#asking.set(digest, asking)
    return asking
  }

  async #fetch(digest: string): Promise<Known> {
    // Read before asking: a change in between makes the answer void, not wrongly current.
    const version = this.#parts.accessVersion()
    const grant = await this.#grantOf(digest)
    const known: Known = {
      caller: grant && { tenant: grant.projectId, grant },
      version,
      heardMs: this.#parts.clock.now(),
    }
    this.#known.delete(digest)
    this.#known.set(digest, known)
    if (this.#known.size > CAPACITY) this.#known.delete(this.#known.keys().next().value!)
    return known
  }

  async #grantOf(digest: string): Promise<AccessGrant | null> {
    try {
      const signal = AbortSignal.timeout(ASK_LIMIT_MS)
      const grant = await this.#parts.client.access({ body: { digest }, signal })
      this.#failedMs = null
      return grant as AccessGrant
    } catch (error) {
      if (error instanceof ApiError && error.status === 401 && !this.#parts.refused()) {
        this.#failedMs = null
        return null
      }
      this.#failedMs = this.#parts.clock.now()
      if (error instanceof DOMException) throw ApiError.unreachable('The control plane', error)
      throw error
    }
  }

  #recall(digest: string): Known | null {
    const known = this.#known.get(digest)
    if (known === undefined) return null
    this.#known.delete(digest)
    this.#known.set(digest, known)
    return known
  }

  #isFresh(known: Known): boolean {
    return this.#isCurrent(known) && this.#ageMs(known) < this.#options.freshMs
  }

  /** Whether it may be used though the control plane does not confirm it. */
  #isBelieved(known: Known): boolean {
    return known.caller !== null && this.#isCurrent(known) && this.#ageMs(known) < this.#options.staleLimitMs
  }

  #isCurrent({ version }: Known): boolean {
    return version === this.#parts.accessVersion()
  }

  #ageMs({ heardMs }: Known): number {
    return this.#parts.clock.now() - heardMs
  }
}

function denied(message: string): Problem {
  return new Problem({
    status: 401,
    type: 'invalid_request_error',
    code: 'invalid_api_key',
    message,
    hint: 'Send the header "authorization: Bearer <key>" with a key from the console.',
    headers: { 'www-authenticate': 'Bearer' },
  })
}
