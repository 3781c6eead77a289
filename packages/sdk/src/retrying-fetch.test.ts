import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { defaultRetry, type RetryPolicy, retryingFetch } from './retrying-fetch.ts'

type Outcome = number | 'unreachable' | { readonly status: number; readonly retryAfter: string }

/** Gives outcomes in turn, the last one for ever, and remembers how long was waited between. */
function scripted(outcomes: readonly Outcome[], policy: Partial<RetryPolicy> = {}) {
  const waits: number[] = []
  let calls = 0
  const fetch = retryingFetch(
    async () => {
      const outcome = outcomes[Math.min(calls, outcomes.length - 1)]!
      calls += 1
      if (outcome === 'unreachable') throw new TypeError('fetch failed')
      if (typeof outcome === 'number') return new Response(null, { status: outcome })
      return new Response(null, { status: outcome.status, headers: { 'retry-after': outcome.retryAfter } })
    },
    {
      ...defaultRetry,
      random: () => 0.5,
      sleep: async (ms) => {
        waits.push(ms)
      },
      ...policy,
    },
  )
  return { fetch, waits, calls: () => calls }
}

test('a read is tried again until it is answered', async () => {
  const { fetch, waits } = scripted(['unreachable', 503, 200])
  expect((await fetch('http://host', { method: 'GET' })).status).toBe(200)
  expect(waits).toEqual([150, 300])
})

test('a write without an idempotency key is sent once, whatever happens', async () => {
  const broken = scripted(['unreachable', 200])
  await expect(broken.fetch('http://host', { method: 'POST' })).rejects.toThrow('fetch failed')
  const busy = scripted([503, 200])
  expect((await busy.fetch('http://host', { method: 'POST' })).status).toBe(503)
  expect([broken.calls(), busy.calls()]).toEqual([1, 1])
})

test('a write with an idempotency key is tried again', async () => {
  const { fetch, calls } = scripted([502, 201])
  const init = { method: 'POST', headers: { 'idempotency-key': 'k1' } }
  expect((await fetch('http://host', init)).status).toBe(201)
  expect(calls()).toBe(2)
})

test.each([400, 401, 404, 409, 500])('%i is an answer', async (status) => {
  const { fetch, calls } = scripted([status, 200])
  expect((await fetch('http://host', { method: 'GET' })).status).toBe(status)
  expect(calls()).toBe(1)
})

test('the last answer is handed over when tries are used up', async () => {
  const { fetch, calls } = scripted([429])
  expect((await fetch('http://host', { method: 'PUT' })).status).toBe(429)
  expect(calls()).toBe(defaultRetry.maxAttempts)
})

describe('retry-after', () => {
  test('is waited for, up to the longest wait', async () => {
    const { fetch, waits } = scripted([
      { status: 429, retryAfter: '2' },
      { status: 503, retryAfter: '3600' },
      200,
    ])
    await fetch('http://host', { method: 'GET' })
    expect(waits).toEqual([2000, defaultRetry.maxDelayMs])
  })

  test('is passed over where it is no number of seconds', async () => {
    const { fetch, waits } = scripted([{ status: 503, retryAfter: 'Wed, 21 Oct 2026 07:28:00 GMT' }, 200])
    await fetch('http://host', { method: 'GET' })
    expect(waits).toEqual([150])
  })
})

test('an aborted call is not tried again', async () => {
  const controller = new AbortController()
  const { fetch, calls } = scripted(['unreachable'], {
    sleep: async () => {
      throw new Error('must not wait')
    },
  })
  controller.abort()
  await expect(fetch('http://host', { method: 'GET', signal: controller.signal })).rejects.toThrow(
    'fetch failed',
  )
  expect(calls()).toBe(1)
})

test('an abort ends the wait between tries', async () => {
  const controller = new AbortController()
  const { fetch, calls } = scripted([503], {
    sleep: defaultRetry.sleep,
    firstDelayMs: 60_000,
    maxDelayMs: 60_000,
  })
  const answer = fetch('http://host', { method: 'GET', signal: controller.signal })
  await new Promise((resolve) => setImmediate(resolve))
  controller.abort(new Error('enough'))
  await expect(answer).rejects.toThrow('enough')
  expect(calls()).toBe(1)
})

test('no wait is longer than the longest', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(9),
      fc.float({ min: 0, max: Math.fround(0.999), noNaN: true }),
      async (failures, random) => {
        const { fetch, waits } = scripted([...new Array<number>(failures).fill(503), 200], {
          maxAttempts: 10,
          random: () => random,
        })
        await fetch('http://host', { method: 'GET' })
        expect(waits).toHaveLength(failures)
        for (const wait of waits) expect(wait).toBeLessThanOrEqual(defaultRetry.maxDelayMs)
      },
    ),
  )
})
