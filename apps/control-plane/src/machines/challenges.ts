import { createHmac, timingSafeEqual } from 'node:crypto'
import { ProblemError } from '@deos/api'

const lifeMs = 60_000
const form = /^(\d{1,15})\.(\d{1,15})\.([A-Za-z0-9_-]{43})$/

/**
 * Challenges that no control plane has to remember: each says for which incarnation and until when it is good, under a
 * secret that all of them share. One that was used is void because the incarnation has moved on.
 */
export class Challenges {
  readonly #secret: Buffer

  constructor(secret: Buffer) {
    this.#secret = secret
  }

  /** @param incarnation - that the key has reached, 0 if it never joined */
  issue(key: Buffer, incarnation: number, nowMs: number) {
    const expiresAtMs = nowMs + lifeMs
    const terms = `${expiresAtMs}.${incarnation}`
    return { challenge: `${terms}.${this.#seal(key, terms).toString('base64url')}`, expiresAtMs }
  }

  /** @throws ProblemError unless it was issued for this key and incarnation not long ago */
  check(challenge: string, key: Buffer, incarnation: number, nowMs: number): void {
    const match = form.exec(challenge)
    const [, expiresAtMs, issuedFor, seal] = match ?? []
    const genuine =
      match !== null &&
      timingSafeEqual(Buffer.from(seal!, 'base64url'), this.#seal(key, `${expiresAtMs}.${issuedFor}`))
    if (!genuine || Number(issuedFor) !== incarnation) {
      throw refusal('CHALLENGE_UNKNOWN', 'The challenge was not made for this key and incarnation.')
    }
    if (nowMs < Number(expiresAtMs)) return
    const sinceS = Math.ceil((nowMs - Number(expiresAtMs)) / 1000)
    throw refusal('CHALLENGE_EXPIRED', `The challenge expired ${sinceS} s ago.`)
  }

  #seal(key: Buffer, terms: string): Buffer {
    return createHmac('sha256', this.#secret).update(key).update(terms).digest()
  }
}

const refusal = (code: string, detail: string): ProblemError =>
  new ProblemError('unauthenticated', detail, { code, hint: 'Ask for a new challenge and sign that.' })
