import { ProblemError } from '@deos/api'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { limitedAddress } from '../http/request-origin.ts'
import { digestOf } from '../http/secrets.ts'

export interface Limit {
  readonly attempts: number
  readonly windowMs: number
}

export interface AttemptLimitOptions {
  readonly perAddress: Limit
  /** Attempts at one account or token, from wherever they come. */
  readonly perAccount: Limit
}

/** Enough for people who mistype, far too few for guessing. */
export const defaultAttemptLimits: AttemptLimitOptions = {
  perAddress: { attempts: 30, windowMs: 60_000 },
  perAccount: { attempts: 10, windowMs: 10 * 60_000 },
}

const limiterOf = ({ attempts, windowMs }: Limit) =>
  new RateLimiterMemory({ points: attempts, duration: windowMs / 1000 })

async function take(limiter: RateLimiterMemory, name: string): Promise<void> {
  try {
    await limiter.consume(name)
  } catch (refusal) {
    if (!(refusal instanceof RateLimiterRes)) throw refusal
    const waitS = Math.max(1, Math.ceil(refusal.msBeforeNext / 1000))
    throw new ProblemError('rate-limited', 'Too many attempts.', {
      code: 'TOO_MANY_ATTEMPTS',
      hint: `Wait ${waitS} s and try again.`,
      retryAfterMs: waitS * 1000,
    })
  }
}

/** Keeps passwords and tokens from being guessed. Counts are of this process. */
export class AttemptLimits {
  readonly #addresses: RateLimiterMemory
  readonly #accounts: RateLimiterMemory

  constructor(options: AttemptLimitOptions = defaultAttemptLimits) {
    this.#addresses = limiterOf(options.perAddress)
    this.#accounts = limiterOf(options.perAccount)
  }

  /**
   * Counts before anything is checked, so that attempts at once count as well.
   *
   * @throws ProblemError `rate-limited`, which says how long to wait
   */
  async take(address: string, account: string): Promise<void> {
    await take(this.#addresses, limitedAddress(address))
    await take(this.#accounts, digestOf(account))
  }

  /** Who knew the password may mistype it again. */
  async succeeded(account: string): Promise<void> {
    await this.#accounts.delete(digestOf(account))
  }
}
