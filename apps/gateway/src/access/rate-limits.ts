import type { AccessGrant } from '@deos/api'
import type { Clock } from '@deos/domain'
import { Problem } from '../http/problem.ts'
import { RateWindow } from './rate-window.ts'

const MINUTE_MS = 60_000

type Unit = 'requests' | 'tokens'

interface Limit {
  readonly of: 'key' | 'project'
  readonly unit: Unit
  readonly window: RateWindow
  /** Of the whole installation, a minute. */
  readonly perMinute: number
  /** What this gateway lets through in one window. */
  readonly share: number
}

/** What was counted for a request, to be corrected when it is known better. */
export interface Charge {
  /** @param tokens - what the request really took */
  correct(tokens: number): void
}

const nothing: Charge = { correct: () => undefined }

/**
 * Requests and tokens a minute, by key and by project. Limits are the installation's: each of its gateways lets through an
 * equal share, so all of them together never exceed one.
 */
export class RateLimits {
  readonly #clock: Clock
  readonly #gateways: () => number
  readonly #windows = new Map<string, RateWindow>()
  #sweptMs = 0

  /** @param gateways - how many gateways share the limits now */
  constructor(clock: Clock, gateways: () => number) {
    this.#clock = clock
    this.#gateways = gateways
  }

  /**
   * Counts one request.
   *
   * @throws Problem 429
   */
  takeRequest(grant: AccessGrant): void {
    this.#take(this.#limits(grant, 'requests'), 1)
  }

  /**
   * Counts tokens before they are worked on.
   *
   * @param bounded - whether the request itself named its longest answer; if not, it never counts more than a limit
   * @throws Problem 429
   */
  takeTokens(grant: AccessGrant, tokens: number, bounded: boolean): Charge {
    const limits = this.#limits(grant, 'tokens')
    if (limits.length === 0) return nothing
    const counted = bounded ? tokens : Math.min(tokens, ...limits.map(({ share }) => share))
    const pieces = this.#take(limits, counted)
    return {
      correct: (used) => {
        const nowMs = this.#clock.now()
        for (const [index, { window }] of limits.entries())
          window.correct(pieces[index]!, used - counted, nowMs)
      },
    }
  }

  /** What is left, in the headers that OpenAI's clients know. */
  headers(grant: AccessGrant): Record<string, string> {
    const nowMs = this.#clock.now()
    const headers: Record<string, string> = {}
    for (const unit of ['requests', 'tokens'] as const) {
      const limits = this.#limits(grant, unit)
      if (limits.length === 0) continue
      const left = ({ share, window }: Limit) => Math.max(0, Math.floor(share - window.total(nowMs)))
      const tightest = limits.reduce((least, limit) => (left(limit) < left(least) ? limit : least))
      headers[`x-ratelimit-limit-${unit}`] = String(tightest.perMinute)
      headers[`x-ratelimit-remaining-${unit}`] = String(left(tightest))
      headers[`x-ratelimit-reset-${unit}`] = `${(tightest.window.timeUntil(0, nowMs) / 1000).toFixed(3)}s`
    }
    return headers
  }

  #take(limits: readonly Limit[], amount: number): readonly number[] {
    const nowMs = this.#clock.now()
    for (const limit of limits) {
      if (limit.window.total(nowMs) + amount > limit.share) throw tooMany(limit, amount, nowMs)
    }
    return limits.map(({ window }) => window.add(amount, nowMs))
  }

  #limits(grant: AccessGrant, unit: Unit): readonly Limit[] {
    const gateways = Math.max(1, this.#gateways())
    const holders = [
      { of: 'key', id: grant.keyId, rate: grant.keyRateLimit },
      { of: 'project', id: grant.projectId, rate: grant.projectRateLimit },
    ] as const
    return holders.flatMap(({ of, id, rate }) => {
      const perMinute = unit === 'requests' ? rate.requestsPerMinute : rate.tokensPerMinute
      if (id === null || perMinute === null) return []
      // Where a minute's share is less than one, the window is as long as one takes.
      const minutes = Math.max(1, Math.ceil(gateways / perMinute))
      const window = this.#window(`${of} ${id} ${unit} ${minutes}`, minutes * MINUTE_MS)
      return [{ of, unit, window, perMinute, share: Math.floor((perMinute * minutes) / gateways) }]
    })
  }

  #window(name: string, windowMs: number): RateWindow {
    this.#sweep()
    const known = this.#windows.get(name)
    if (known !== undefined) return known
    const window = new RateWindow(windowMs)
    this.#windows.set(name, window)
    return window
  }

  /** Windows in which nothing happened are made anew when they are needed. */
  #sweep(): void {
    const nowMs = this.#clock.now()
    if (nowMs - this.#sweptMs < MINUTE_MS) return
    this.#sweptMs = nowMs
    for (const [name, window] of this.#windows) if (window.total(nowMs) === 0) this.#windows.delete(name)
  }
}

function tooMany({ of, unit, share, perMinute, window }: Limit, amount: number, nowMs: number): Problem {
  const never = amount > share
  const retryAfterMs = never ? 0 : Math.max(1, window.timeUntil(share - amount, nowMs))
  return new Problem({
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    message: never
      ? `This request counts ${amount} ${unit}, more than the ${of}’s ${perMinute} a minute allow.`
      : `The ${of}’s limit of ${perMinute} ${unit} a minute is reached.`,
    hint: never
      ? 'Send a shorter prompt, or ask for fewer tokens with max_tokens.'
      : `Try again in ${Math.ceil(retryAfterMs / 1000)} s.`,
    retryAfterMs: never ? MINUTE_MS : retryAfterMs,
  })
}
