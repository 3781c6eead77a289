import { DomainError } from '@deos/domain'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { ProblemError, problemFor, problemMediaType } from '../problem.ts'
import { routes } from '../routes/index.ts'
import type { ApiEvent } from '../schemas/index.ts'
import { streamEnd, streamPing, writeEvent, writeStreamProblem } from '../server.ts'
import { sampleOf, samplesOf } from '../testing/sample.ts'
import { ApiError } from './api-error.ts'
import { type ClientOptions, createClient, eachItem, type Fetch } from './client.ts'
import type { Sleep } from './event-reader.ts'

interface Sent {
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
}

/** A server that gives one prepared answer after the other. */
function fakeServer(...answers: (Response | Error | ((signal: AbortSignal | null) => Response))[]) {
  const sent: Sent[] = []
  const fetch: Fetch = async (url, init) => {
    const { method = 'GET', body } = init
    const headers = Object.fromEntries(new Headers(init.headers))
    sent.push({ url, method, headers, body: typeof body === 'string' ? JSON.parse(body) : null })
    const answer = answers.shift()
    if (answer === undefined) throw new Error('More was asked than was prepared.')
    if (answer instanceof Error) throw answer
    return typeof answer === 'function' ? answer(init.signal ?? null) : answer
  }
  return { fetch, sent }
}

const clientOf = (fetch: Fetch, options: Partial<ClientOptions> = {}, sleep?: Sleep) =>
  createClient(
    routes,
    { baseUrl: 'http://deos.test/', ...options },
    { fetch, ...(sleep && { sleep }), random: () => 1 },
  )

const jsonOf = (value: unknown, status = 200) => new Response(JSON.stringify(value), { status })
const machine = sampleOf(routes.machines.show.answer.schema)

async function errorFrom(run: Promise<unknown>): Promise<ApiError> {
  const error = await run.then(
    () => null,
    (caught: unknown) => caught,
  )
  expect(error).toBeInstanceOf(ApiError)
  return error as ApiError
}

describe('what is sent', () => {
  test('path, query, body and headers', async () => {
    const { fetch, sent } = fakeServer(jsonOf({ items: [machine], nextCursor: null }), jsonOf(machine))
    const client = clientOf(fetch, { token: 'deos_k_1', organisation: 'org-1' })
    await client.machines.list({ query: { limit: 5, state: ['ready', 'offline'], region: undefined } })
    await client.machines.drain({
      params: { machine: 'a' },
      body: { reason: 'Repairs' },
      idempotencyKey: 'k1',
    })
    expect(sent[0]).toMatchObject({
      url: 'http://deos.test/api/v1/machines?limit=5&state=ready&state=offline',
      method: 'GET',
      headers: { authorization: 'Bearer deos_k_1', 'deos-organisation': 'org-1' },
      body: null,
    })
    expect(sent[0]!.headers['content-type']).toBeUndefined()
    expect(sent[1]).toMatchObject({
      url: 'http://deos.test/api/v1/machines/a/drain',
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'k1' },
      body: { reason: 'Repairs' },
    })
  })

  test('no organisation where none is meant, and nothing of a credential that is not there', async () => {
    const { fetch, sent } = fakeServer(jsonOf(sampleOf(routes.session.show.answer.schema)))
    await clientOf(fetch, { organisation: 'org-1' }).session.show()
    expect(sent[0]!.headers).not.toHaveProperty('deos-organisation')
    expect(sent[0]!.headers).not.toHaveProperty('authorization')
  })

  test('a path that would mean something else is never sent', async () => {
    const { fetch, sent } = fakeServer()
    const call = clientOf(fetch).aliases.remove({ params: { alias: '..' } })
    await expect(call).rejects.toMatchObject({ code: 'VALIDATION_FAILED' })
    expect(sent).toEqual([])
  })

  test('ranges are half-open, and the whole is no answer to them', async () => {
    const part = new Response('abcd', { status: 206 })
    const { fetch, sent } = fakeServer(part, new Response('abcdefgh', { status: 200 }))
    const params = { digest: `sha256:${'0'.repeat(64)}` }
    const chunks: Uint8Array[] = []
    const blob = await clientOf(fetch).worker.blob({ params, range: { first: 4, end: 8 } })
    for await (const chunk of blob) chunks.push(chunk)
    expect(sent[0]!.headers.range).toBe('bytes=4-7')
    expect(new TextDecoder().decode(chunks[0])).toBe('abcd')
    const error = await errorFrom(clientOf(fetch).worker.blob({ params, range: { first: 4, end: 8 } }))
    expect(error.code).toBe('API_ANSWER_UNEXPECTED')
  })

  test('types say what each call needs', () => {
    const client = clientOf(fakeServer().fetch)
    expectTypeOf(client.machines.show).parameter(0).toHaveProperty('params')
    expectTypeOf(client.status.show).toBeCallableWith()
    expectTypeOf(client.machines.list).toBeCallableWith({ query: { limit: 3 } })
    expectTypeOf(client.events.follow()).toExtend<AsyncIterable<{ id: string | null }>>()
    // @ts-expect-error the machine is missing
    expectTypeOf(client.machines.show).toBeCallableWith({})
    // @ts-expect-error there is no such state
    expectTypeOf(client.machines.list).toBeCallableWith({ query: { state: ['gone'] } })
  })
})

describe('what can go wrong', () => {
  test('problem details become an error with all they say', async () => {
    const thrown = new ProblemError('rate-limited', 'Too fast.', { hint: 'Wait.', retryAfterMs: 700 })
    const problem = problemFor(thrown, {}, 'req-9')
    const { fetch } = fakeServer(
      new Response(JSON.stringify(problem), { status: 429, headers: { 'content-type': problemMediaType } }),
    )
    const error = await errorFrom(clientOf(fetch).status.show())
    expect(error).toBeInstanceOf(DomainError)
    expect(error).toMatchObject({
      message: 'Too fast.',
      hint: 'Wait.',
      code: 'RATE_LIMITED',
      problemName: 'rate-limited',
      retriable: true,
      retryAfterMs: 700,
      status: 429,
      requestId: 'req-9',
    })
  })

  test.each([
    ['<html>Bad gateway: secret</html>', 502, true],
    ['{"status":502}', 502, true],
    ['', 404, false],
  ])('an error in other words (%j) is not repeated', async (body, status, retriable) => {
    const { fetch } = fakeServer(new Response(body, { status, headers: { 'x-request-id': 'req-3' } }))
    const error = await errorFrom(clientOf(fetch).status.show())
    expect(error).toMatchObject({ status, retriable, problem: null, problemName: null, requestId: 'req-3' })
    expect(error.message).not.toContain('secret')
  })

  test.each(['{}', '', 'null', '<html>'])('an answer of another shape (%j) is refused', async (body) => {
    const { fetch } = fakeServer(new Response(body))
    const error = await errorFrom(clientOf(fetch).status.show())
    expect(error).toMatchObject({ code: 'API_ANSWER_UNEXPECTED', retriable: false })
  })

  test('nobody there is told with the address, and nothing is tried twice', async () => {
    const { fetch, sent } = fakeServer(new TypeError('fetch failed'))
    const error = await errorFrom(clientOf(fetch, { token: 'deos_k_1' }).status.show())
    expect(error).toMatchObject({ code: 'API_UNREACHABLE', retriable: true, status: null })
    expect(error.message).toBe('http://deos.test could not be reached.')
    expect(sent).toHaveLength(1)
  })

  test('a caller who gives up gets the own reason', async () => {
    const reason = new Error('enough')
    const { fetch } = fakeServer(new TypeError('aborted'))
    const signal = AbortSignal.abort(reason)
    await expect(clientOf(fetch).status.show({ signal })).rejects.toBe(reason)
  })
})

test('a list is followed to its end', async () => {
  const [a, b, c] = samplesOf(routes.machines.show.answer.schema, 3)
  const { fetch, sent } = fakeServer(
    jsonOf({ items: [a, b], nextCursor: 'X' }),
    jsonOf({ items: [c], nextCursor: null }),
  )
  const ids: string[] = []
  for await (const { id } of eachItem(clientOf(fetch).machines.list, { limit: 2 })) ids.push(id)
  expect(ids).toEqual([a, b, c].map((each) => each!.id))
  expect(sent[1]!.url).toMatch(/\?limit=2&cursor=X$/)
})

describe('streams', () => {
  const { follow } = routes.events
  const events = samplesOf(follow.answer.event, 6)
  const framed = events.map((event, index) => writeEvent(follow, String(index + 1), event))
  const encoder = new TextEncoder()

  /** A connection that sends text in pieces of `size` bytes and then ends, breaks or stays silent. */
  function connection(text: string, end: 'close' | 'break' | 'silence' = 'close', size = 7) {
    return (signal: AbortSignal | null) => {
      const bytes = encoder.encode(text)
      let at = 0
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          signal?.addEventListener('abort', () => controller.error(signal.reason))
        },
        pull: (controller) => {
          if (at < bytes.length) {
            controller.enqueue(bytes.slice(at, at + size))
            at += size
            return
          }
          if (end === 'close') controller.close()
          if (end === 'break') controller.error(new TypeError('terminated'))
          return end === 'silence' ? new Promise<void>(() => {}) : undefined
        },
      })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    }
  }

  /** Never lets silence run out, and notes every other wait. */
  function patience() {
    const waits: number[] = []
    const sleep: Sleep = async (ms, signal) => {
      if (ms === 45_000)
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      signal.throwIfAborted()
      waits.push(ms)
    }
    return { waits, sleep }
  }

  async function gather(stream: AsyncIterable<{ id: string | null; data: unknown }>) {
    const seen: { id: string | null; data: unknown }[] = []
    for await (const event of stream) seen.push(event)
    return seen
  }

  const all = events.map((data, index) => ({ id: String(index + 1), data }))

  test('events come whole however they are cut, until the server says that it is over', async () => {
    for (const size of [1, 2, 3, 1000]) {
      const { fetch } = fakeServer(connection(framed.join('') + streamEnd, 'silence', size))
      expect(await gather(clientOf(fetch, {}, patience().sleep).events.follow())).toEqual(all)
    }
  })

  test('a stream that breaks off goes on after the last event', async () => {
    const { waits, sleep } = patience()
    const { fetch, sent } = fakeServer(
      connection(framed.slice(0, 2).join('') + framed[2]!.slice(0, 20), 'break'),
      new TypeError('refused'),
      new Response('', { status: 502 }),
      connection(`retry: 2000\n\n${streamPing}${framed[2]}`, 'close'),
      connection(framed.slice(3).join('') + streamEnd),
    )
    const seen = await gather(clientOf(fetch, { token: 't' }, sleep).events.follow({ lastEventId: '0' }))
    expect(seen).toEqual(all)
    expect(sent.map(({ headers }) => headers['last-event-id'])).toEqual(['0', '2', '2', '2', '3'])
    expect(sent.every(({ headers }) => headers.authorization === 'Bearer t')).toBe(true)
    expect(waits).toEqual([250, 500, 1000, 2000])
  })

  test('silence counts as a broken connection', async () => {
    let silences = 0
    const sleep: Sleep = (ms, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
        if (ms !== 45_000) return resolve()
        silences += 1
        // One event and its end are read before silence is noticed.
        if (silences === 2) resolve()
      })
    const { fetch, sent } = fakeServer(
      connection(framed[0]!, 'silence', 10_000),
      connection(framed.slice(1).join('') + streamEnd, 'silence', 10_000),
    )
    expect(await gather(clientOf(fetch, {}, sleep).events.follow())).toEqual(all)
    expect(sent).toHaveLength(2)
  })

  test('waits grow up to a bound, and attempts are counted while nothing comes', async () => {
    const { waits, sleep } = patience()
    const failures = Array.from({ length: 4 }, () => new TypeError('refused'))
    const { fetch } = fakeServer(connection(framed[0]!, 'break'), ...failures)
    const reconnect = { maxAttempts: 4, maxDelayMs: 800 }
    const reading = gather(clientOf(fetch, { reconnect }, sleep).events.follow())
    expect(await errorFrom(reading)).toMatchObject({ code: 'API_STREAM_LOST', retriable: true })
    expect(waits).toEqual([250, 500, 800, 800])
  })

  test('a server that asks for time gets it', async () => {
    const { waits, sleep } = patience()
    const busy = problemFor(new ProblemError('unavailable', 'Starting.', { retryAfterMs: 3000 }), {}, null)
    const { fetch } = fakeServer(connection(''), jsonOf(busy, 503), connection(streamEnd))
    await gather(clientOf(fetch, {}, sleep).events.follow())
    expect(waits).toEqual([250, 3000])
  })

  test('the first connection must succeed, and what is refused is not asked for again', async () => {
    const unreachable = fakeServer(new TypeError('refused'))
    const first = gather(clientOf(unreachable.fetch, {}, patience().sleep).events.follow())
    expect(await errorFrom(first)).toMatchObject({ code: 'API_UNREACHABLE' })
    const denied = problemFor(new ProblemError('forbidden', 'Not yours.'), {}, null)
    const { fetch, sent } = fakeServer(connection(framed[0]!), jsonOf(denied, 403))
    const later = gather(clientOf(fetch, {}, patience().sleep).events.follow())
    expect(await errorFrom(later)).toMatchObject({ code: 'FORBIDDEN' })
    expect(sent).toHaveLength(2)
  })

  test('a problem within the stream ends it', async () => {
    const problem = problemFor(new ProblemError('gone', 'The key was revoked.'), {}, null)
    const { fetch } = fakeServer(connection(framed[0]! + writeStreamProblem(problem)))
    const seen: unknown[] = []
    const reading = (async () => {
      for await (const event of clientOf(fetch, {}, patience().sleep).events.follow()) seen.push(event)
    })()
    expect(await errorFrom(reading)).toMatchObject({ code: 'GONE', status: 410 })
    expect(seen).toEqual(all.slice(0, 1))
  })

  test('nothing left to say is an end as well', async () => {
    const { fetch } = fakeServer(new Response(null, { status: 204 }))
    expect(await gather(clientOf(fetch).events.follow())).toEqual([])
  })

  test.each(['data: {}\n\n', 'data: <html>\n\n'])(
    'an event of another shape (%j) is refused',
    async (text) => {
      const { fetch } = fakeServer(connection(text))
      const reading = gather(clientOf(fetch, {}, patience().sleep).events.follow())
      expect(await errorFrom(reading)).toMatchObject({ code: 'API_ANSWER_UNEXPECTED' })
    },
  )

  test('leaving the loop or aborting ends the connection', async () => {
    const signals: AbortSignal[] = []
    const noting: Fetch = async (_, init) => {
      signals.push(init.signal!)
      return connection(framed.join(''), 'silence')(init.signal!)
    }
    const client = clientOf(noting, {}, patience().sleep)
    for await (const _ of client.events.follow()) break
    expect(signals[0]!.aborted).toBe(true)

    const controller = new AbortController()
    const seen: ApiEvent['type'][] = []
    const reading = (async () => {
      for await (const { data } of client.events.follow({ signal: controller.signal })) {
        seen.push(data.type)
        if (seen.length === events.length) controller.abort(new Error('enough'))
      }
    })()
    await expect(reading).rejects.toThrow('enough')
    expect(signals[1]!.aborted).toBe(true)
  })

  test('aborting ends a stream of which fetch has forgotten the signal', async () => {
    let cancelled = false
    const body = new ReadableStream<Uint8Array>({
      start: (stream) => stream.enqueue(encoder.encode(framed[0]!)),
      cancel: () => {
        cancelled = true
      },
    })
    const { fetch } = fakeServer(() => new Response(body))
    const controller = new AbortController()
    const reading = (async () => {
      for await (const _ of clientOf(fetch, {}, patience().sleep).events.follow({
        signal: controller.signal,
      })) {
        setTimeout(() => controller.abort(new Error('enough')))
      }
    })()
    await expect(reading).rejects.toThrow('enough')
    expect(cancelled).toBe(true)
  })

  test('aborting ends bytes of which fetch has forgotten the signal', async () => {
    const body = new ReadableStream<Uint8Array>({ start: (stream) => stream.enqueue(encoder.encode('abcd')) })
    const { fetch } = fakeServer(new Response(body))
    const controller = new AbortController()
    const params = { digest: `sha256:${'0'.repeat(64)}` }
    const blob = await clientOf(fetch).worker.blob({ params, signal: controller.signal })
    const reading = (async () => {
      for await (const _ of blob) setTimeout(() => controller.abort(new Error('enough')))
    })()
    await expect(reading).rejects.toThrow('enough')
  })
})
