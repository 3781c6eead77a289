import { once } from 'node:events'
import { connect } from 'node:net'
import { ListenError } from '@deos/service'
import { describe, expect, test } from 'vitest'
import { say, sayAndHang } from '../testing/scripted-backend.ts'
import { type StartedGateway, startGateway, until } from '../testing/start-gateway.ts'

const chat = '/v1/chat/completions'
const body = { model: 'bytes', messages: [{ role: 'user', content: 'Hi' }] }

interface ErrorBody {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly code: string
    readonly param: string
  }
}

async function errorOf(response: Response): Promise<ErrorBody['error']> {
  return ((await response.json()) as ErrorBody).error
}

async function expectStillServing({ post }: StartedGateway): Promise<void> {
  const response = await post(chat, body)
  expect(response.status).toBe(200)
  await response.text()
}

describe('a body that is no request', () => {
  test.each([
    ['{"model": }', 'invalid_json', 'expected a value at position 10 (line 1, column 11)'],
    ['{"model":"bytes",\n}', 'invalid_json', 'line 2, column 1'],
    ['nonsense', 'invalid_json', 'position 0'],
    ['[]', 'invalid_type', 'JSON object'],
    ['null', 'invalid_type', 'JSON object'],
    ['5', 'invalid_type', 'JSON object'],
    ['', 'invalid_json', 'empty'],
    [`${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'json_too_deep', '64 levels'],
    [`{"a":${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}}`, 'json_too_deep', '64 levels'],
  ])('case %#', async (text, code, message) => {
    const gateway = await startGateway((request) => say('a', request))
    const response = await gateway.post(chat, text)
    expect(response.status).toBe(400)
    const error = await errorOf(response)
    expect(error).toMatchObject({ type: 'invalid_request_error', code })
    expect(error.message).toContain(message)
    await expectStillServing(gateway)
  })

  test('brackets inside strings are no depth', async () => {
    const { post } = await startGateway((request) => say('a', request))
    const content = `${'['.repeat(1000)}\\"${'{'.repeat(1000)}`
    expect((await post(chat, { ...body, messages: [{ role: 'user', content }] })).status).toBe(200)
  })

  test('bytes that are not UTF-8', async () => {
    const gateway = await startGateway((request) => say('a', request))
    const bytes = Buffer.concat([Buffer.from('{"model":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')])
    const response = await fetch(`${gateway.url}${chat}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: bytes,
    })
    expect(response.status).toBe(400)
    expect((await errorOf(response)).code).toBe('invalid_utf8')
    await expectStillServing(gateway)
  })

  test('lone surrogates become U+FFFD, not an error', async () => {
    const { post, backend } = await startGateway((request) => say('a', request))
    const response = await post(
      chat,
      '{"model":"bytes","messages":[{"role":"user","content":"\\ud800"}],"stop":"\\udfff"}',
    )
    expect(response.status).toBe(200)
    expect(Buffer.from(backend.requests[0]!.tokens).toString()).toBe('user:\uFFFD\n')
  })

  test('__proto__ and constructor keys are only keys', async () => {
    const { post } = await startGateway((request) => say('a', request))
    const response = await post(
      chat,
      '{"__proto__":{"temperature":9},"constructor":{"prototype":{"x":1}},"model":"bytes",' +
        '"messages":[{"role":"user","content":"Hi","__proto__":{"role":"king"}}]}',
    )
    expect(response.status).toBe(200)
    expect(({} as { x?: number }).x).toBeUndefined()
  })

  test('another media type', async () => {
    const gateway = await startGateway((request) => say('a', request))
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'nonsense']) {
      const response = await gateway.post(chat, 'a=b', { headers: { 'content-type': type } })
      expect(response.status).toBe(415)
      expect(await errorOf(response)).toMatchObject({ code: 'unsupported_media_type' })
    }
    const charset = await gateway.post(chat, body, {
      headers: { 'content-type': 'application/json; charset=utf-8' },
    })
    expect(charset.status).toBe(200)
  })

  test('too large a body', async () => {
    const gateway = await startGateway((request) => say('a', request), { options: { bodyLimitBytes: 1000 } })
    const response = await gateway.post(chat, { ...body, user: 'x'.repeat(2000) })
    expect(response.status).toBe(413)
    expect(await errorOf(response)).toMatchObject({
      type: 'invalid_request_error',
      code: 'request_too_large',
    })
    await expectStillServing(gateway)
  })
})

describe('addresses and methods', () => {
  test.each([
    ['GET', chat, 405, 'POST'],
    ['DELETE', chat, 405, 'POST'],
    ['POST', '/v1/models', 405, 'GET'],
    ['POST', '/v1/models/bytes', 405, 'GET'],
    ['POST', '/health', 405, 'GET'],
    ['GET', '/v1/nonsense', 404, null],
    ['POST', '/v1/images/generations', 404, null],
    ['GET', '/%', 400, null],
  ])('%s %s', async (method, path, status, allow) => {
    const { url } = await startGateway((request) => say('a', request))
    const response = await fetch(`${url}${path}`, { method })
    expect(response.status).toBe(status)
    expect(response.headers.get('allow')).toBe(allow)
    expect(await errorOf(response)).toMatchObject({
      type: 'invalid_request_error',
      message: expect.any(String),
    })
  })

  test('bytes that are no HTTP get an answer and the server goes on', async () => {
    const gateway = await startGateway((request) => say('a', request))
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk
    })
    socket.write('\u0016\u0003\u0001 nonsense\r\n\r\n')
    await once(socket, 'close')
    expect(answer).toMatch(/^HTTP\/1.1 400 Bad Request/)
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({
      error: { type: 'invalid_request_error' },
    })
    await expectStillServing(gateway)
  })

  test('models are listed and shown, slashes in names included', async () => {
    const { url } = await startGateway((request) => say('a', request), { model: { id: 'org/bytes' } })
    const model = { id: 'org/bytes', object: 'model', created: 1_700_000_000, owned_by: 'deos' }
    expect(await (await fetch(`${url}/v1/models`)).json()).toMatchObject({ object: 'list', data: [model] })
    for (const path of ['org/bytes', 'org%2Fbytes']) {
      expect(await (await fetch(`${url}/v1/models/${path}`)).json()).toMatchObject(model)
    }
    const missing = await fetch(`${url}/v1/models/other`)
    expect(missing.status).toBe(404)
    expect(await errorOf(missing)).toMatchObject({ code: 'model_not_found' })
  })
})

describe('headers', () => {
  test('a request id is kept when it is one, and made otherwise', async () => {
    const { url } = await startGateway((request) => say('a', request))
    const given = await fetch(`${url}/health`, { headers: { 'x-request-id': 'abc-1' } })
    expect(given.headers.get('x-request-id')).toBe('abc-1')
    const odd = await fetch(`${url}/health`, { headers: { 'x-request-id': 'a b' } })
    expect(odd.headers.get('x-request-id')).toMatch(/^req-/)
  })

  test.each([false, true])('id, time and origin are on every answer (stream: %s)', async (stream) => {
    const { post } = await startGateway((request) => say('a', request))
    const response = await post(chat, { ...body, stream }, { headers: { origin: 'http://localhost:3000' } })
    expect(response.headers.get('x-request-id')).toMatch(/^req-/)
    expect(response.headers.get('openai-processing-ms')).toMatch(/^\d+$/)
    expect(response.headers.get('access-control-allow-origin')).toBe('http://localhost:3000')
    expect(response.headers.get('content-type')).toContain(stream ? 'text/event-stream' : 'application/json')
    await response.text()
  })

  test.each([
    ['http://localhost:5173', [], true],
    ['http://127.0.0.1', [], true],
    ['http://[::1]:80', [], true],
    ['https://example.org', [], false],
    ['http://localhost.example.org', [], false],
    ['null', [], false],
    ['https://example.org', ['https://example.org'], true],
    ['https://example.org', ['*'], true],
  ])('pages of %s with %j may call: %s', async (origin, corsOrigins, allowed) => {
    const { url } = await startGateway((request) => say('a', request), {
      options: { corsOrigins, apiKey: 'key' },
    })
    const response = await fetch(`${url}${chat}`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    })
    expect(response.headers.get('access-control-allow-origin')).toBe(allowed ? origin : null)
    expect(response.status === 204).toBe(allowed)
    if (allowed)
      expect(response.headers.get('access-control-allow-headers')).toBe('authorization,content-type')
  })
})

describe('with an API key', () => {
  test.each([
    [undefined, 401],
    ['Bearer wrong', 401],
    ['Basic a2V5', 401],
    ['Bearer ', 401],
    ['Bearer key', 200],
    ['bearer key', 200],
  ])('authorization %j answers %i', async (authorization, status) => {
    const { post } = await startGateway((request) => say('a', request), { options: { apiKey: 'key' } })
    const response = await post(chat, body, { headers: authorization ? { authorization } : {} })
    expect(response.status).toBe(status)
    if (status === 401) {
      expect(response.headers.get('www-authenticate')).toBe('Bearer')
      expect(await errorOf(response)).toMatchObject({
        code: 'invalid_api_key',
        type: 'invalid_request_error',
      })
    }
  })

  test('health and metrics stay open', async () => {
    const { url } = await startGateway((request) => say('a', request), { options: { apiKey: 'key' } })
    for (const path of ['/', '/health', '/metrics']) expect((await fetch(`${url}${path}`)).status).toBe(200)
    expect((await fetch(`${url}/v1/models`)).status).toBe(401)
  })
})

describe('operations', () => {
  test('health tells whether the ring is ready, and why not', async () => {
    const { url, backend } = await startGateway((request) => say('a', request))
    const ready = await fetch(`${url}/health`)
    expect(ready.status).toBe(200)
    expect(await ready.json()).toMatchObject({
      status: 'ready',
      ready: true,
      models: [{ id: 'bytes', ready: true }],
    })
    backend.current = { ...backend.current, ready: false, details: { reason: 'loading' } }
    const loading = await fetch(`${url}/health`)
    expect(loading.status).toBe(503)
    expect(loading.headers.get('retry-after')).toBe('1')
    expect(await loading.json()).toMatchObject({
      status: 'not_ready',
      models: [{ id: 'bytes', reason: 'loading' }],
    })
  })

  test('metrics count requests, tokens and time', async () => {
    const { url, post } = await startGateway((request) => say('abc', request))
    await (await post(chat, body)).text()
    await (await post(chat, { ...body, stream: true })).text()
    await (await post(chat, { ...body, n: 99 })).text()
    const text = await (await fetch(`${url}/metrics`)).text()
    const route = 'route="/v1/chat/completions",method="POST"'
    expect(text).toContain(`deos_http_requests_total{${route},status="200"} 2`)
    expect(text).toContain(`deos_http_requests_total{${route},status="400"} 1`)
    expect(text).toContain('deos_prompt_tokens_total{model="bytes"} 16')
    expect(text).toContain('deos_completion_tokens_total{model="bytes"} 8')
    expect(text).toContain('deos_time_to_first_token_seconds_count{model="bytes"} 2')
    expect(text).toContain('deos_time_per_output_token_seconds_count{model="bytes"} 2')
    expect(text).toContain('deos_ring_ready 1')
    expect(text).toContain('deos_event_loop_lag_seconds{quantile="0.99"}')
  })

  test('the root says what this is, to programs and to people', async () => {
    const { url } = await startGateway((request) => say('a', request), { model: { id: "it's <b>" } })
    const json = (await (await fetch(url)).json()) as { example: string }
    expect(json.example).toContain(`curl -N ${url}/v1/chat/completions`)
    expect(json.example).toContain(`it'\\''s`)
    const page = await (await fetch(url, { headers: { accept: 'text/html' } })).text()
    expect(page).toContain('&#60;b&#62;')
    expect(page).not.toContain('<b>')
  })

  test('a port in use is named with the remedy', async () => {
    const { url } = await startGateway((request) => say('a', request))
    const port = Number(new URL(url).port)
    const second = startGateway((request) => say('a', request), { options: { port } })
    await expect(second).rejects.toBeInstanceOf(ListenError)
    await expect(second).rejects.toMatchObject({
      message: expect.stringContaining(String(port)),
      hint: /--port/,
    })
  })

  test('draining finishes what was accepted and refuses what is new', async () => {
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const { post, gateway, backend, url } = await startGateway(async function* (request) {
      await gate
      yield* say('done', request)
    })
    const accepted = post(chat, body)
    await until(() => backend.running === 1)
    const drained = gateway.drain(new AbortController().signal)
    const refused = await post(chat, body)
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('5')
    expect((await fetch(`${url}/health`)).status).toBe(503)
    release()
    expect((await accepted).status).toBe(200)
    await drained
  })

  test('stopping answers what could not be finished', async () => {
    const { post, gateway, backend } = await startGateway((request, signal) =>
      sayAndHang('a', request, signal),
    )
    const pending = post(chat, body)
    await until(() => backend.running === 1)
    const limit = AbortSignal.abort()
    await gateway.drain(limit)
    await gateway.stop()
    const response = await pending
    expect(response.status).toBe(503)
    expect(await errorOf(response)).toMatchObject({ code: 'stopping' })
  })
})
