import type { FastifyRequest } from 'fastify'
import { AccessKey } from '../http/access.ts'
import { presentedKey, tenantOf } from '../http/request-origin.ts'
import type { Caller } from './visit.ts'

export type Headers = FastifyRequest['headers']

/** Decides who may use the API. */
export interface Access {
  /** Whether requests need a key at all. */
  readonly keyRequired: boolean
  /** @throws Problem 401, 403 or 503 */
  admit(headers: Headers): Caller | Promise<Caller>
}

/** One key for everybody, or none. */
export class FixedAccess implements Access {
  readonly #key: AccessKey | null

  constructor(apiKey: string | null) {
    this.#key = apiKey === null ? null : new AccessKey(apiKey)
  }

  get keyRequired(): boolean {
    return this.#key !== null
  }

  admit(headers: Headers): Caller {
    this.#key?.check(presentedKey(headers))
    return { tenant: tenantOf(headers), grant: null }
  }
}
