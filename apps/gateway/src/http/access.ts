import { createHash, timingSafeEqual } from 'node:crypto'
import { Problem } from './problem.ts'

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Checks keys in a time that does not depend on how much of one is right. */
export class AccessKey {
  readonly #expected: Buffer

  constructor(key: string) {
    this.#expected = digest(key)
  }

  /** @throws Problem 401 unless `given` is the key */
  check(given: string | null): void {
    if (given === null) throw denied('No API key was given.')
    if (!timingSafeEqual(digest(given), this.#expected)) throw denied('The API key is not known here.')
  }
}

function denied(message: string): Problem {
  return new Problem({
    status: 401,
    type: 'invalid_request_error',
    code: 'invalid_api_key',
    message,
    hint: 'Send the header "authorization: Bearer <key>" with the key this gateway was started with.',
    headers: { 'www-authenticate': 'Bearer' },
  })
}

const loopbackHost = /^(localhost|.*\.localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i

export const isLoopback = (host: string): boolean => loopbackHost.test(host)

/** Which web pages may call: those of this machine, and the origins named in the options (`*` for all). */
export function allowedOrigin(origin: string, extra: readonly string[]): boolean {
  if (extra.includes('*') || extra.includes(origin)) return true
  try {
    return isLoopback(new URL(origin).hostname)
  } catch {
    return false
  }
}
