import { type Fetch, idempotencyHeader } from '@deos/api'

export interface RetryPolicy {
  /** The first try included. */
  readonly maxAttempts: number
  /** Before the second try; doubles with each. */
  readonly firstDelayMs: number
  readonly maxDelayMs: number
  readonly sleep: (ms: number, signal: AbortSignal | null) => Promise<void>
  /** In [0, 1): spreads the tries of many clients. */
  readonly random: () => number
}

export const defaultRetry: RetryPolicy = {
  maxAttempts: 3,
  firstDelayMs: 200,
  maxDelayMs: 5000,
  sleep: abortableSleep,
  random: Math.random,
}

/** Answers that a later try may not get. */
const passing = new Set([429, 502, 503, 504])

/** Nothing happens twice when these are sent twice. */
const repeatable = new Set(['GET', 'HEAD', 'PUT', 'DELETE'])

/** Sends again what may be sent again; everything else is sent once. Waits as long as the server asks, up to the policy's longest. */
export function retryingFetch(fetch: Fetch, policy: RetryPolicy): Fetch {
  return async (url, init) => {
    const attempts = mayRepeat(init) ? policy.maxAttempts : 1
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await fetch(url, init).catch((error: unknown) => new Failure(error))
      const failed = outcome instanceof Failure
      if (attempt >= attempts || init.signal?.aborted || (!failed && !passing.has(outcome.status))) {
        if (failed) throw outcome.cause
        return outcome
      }
      const askedMs = failed ? null : retryAfterMs(outcome)
      if (!failed) await outcome.body?.cancel()
      const ownMs = policy.firstDelayMs * 2 ** (attempt - 1) * (0.5 + policy.random() / 2)
      await policy.sleep(Math.min(policy.maxDelayMs, askedMs ?? ownMs), init.signal ?? null)
    }
  }
}

class Failure {
  constructor(readonly cause: unknown) {}
}

function mayRepeat({ method = 'GET', headers }: RequestInit): boolean {
  return repeatable.has(method) || new Headers(headers).has(idempotencyHeader)
}

/** Seconds, as this API sends them; dates are not looked at. */
function retryAfterMs({ headers }: Response): number | null {
  const seconds = headers.get('retry-after')
  return seconds !== null && /^\d{1,6}$/.test(seconds) ? Number(seconds) * 1000 : null
}

function abortableSleep(ms: number, signal: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    if (signal?.aborted) stop()
    else signal?.addEventListener('abort', stop, { once: true })
  })
}
