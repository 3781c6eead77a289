import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { ProblemError, problemMediaType } from '@deos/api'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { checkConsoleFolder } from './console-files.ts'
import type { KnownKey } from './credentials.ts'
import { stubHandlers } from './testing/stub-handlers.ts'
import { createTestServer, type TestServer, type TestServerParts } from './testing/test-server.ts'

const opened: TestServer[] = []
afterEach(async () => {
  for (const { app } of opened.splice(0)) await app.close()
})

async function open(parts: TestServerParts = {}): Promise<TestServer> {
  const server = await createTestServer({ sources: { keyOf: async () => key }, ...parts })
  opened.push(server)
  return server
}

const key: KnownKey = { keyId: 'key-1' as never, organisation: 'org-1' as never, scopes: ['manage', 'read'] }
const authorization = 'Bearer deos_k_anything'

describe('answers', () => {
  test('one document, created things, nothing, and a request id', async () => {
    const { app } = await open()
    const shown = await app.inject({ url: '/api/v1/machines/machine-1', headers: { authorization } })
    expect(shown.statusCode).toBe(200)
    expect(shown.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(shown.headers['x-request-id']).toMatch(/^req-/)
    expect(shown.headers['cache-control']).toBe('no-store')
    const created = await app.inject({
      method: 'POST',
      url: '/api/v1/keys',
      headers: { authorization },
      payload: { name: 'a' },
    })
    expect(created.statusCode).toBe(201)
    const gone = await app.inject({ method: 'DELETE', url: '/api/v1/keys/key-1', headers: { authorization } })
    expect([gone.statusCode, gone.body]).toEqual([204, ''])
  })

  test('hands parameters, repeated query fields and the caller to the handler', async () => {
    const calls: { id: string; request: unknown; organisation: string | null; actor: string }[] = []
    const handlers = stubHandlers({}, ({ id, request, caller }) =>
      calls.push({ id, request, organisation: caller.organisation, actor: caller.actor }),
    )
    const { app } = await open({ handlers })
    await app.inject({
      url: '/api/v1/machines?state=ready&state=offline&limit=3',
      headers: { authorization },
    })
    expect(calls).toMatchObject([
      {
        id: 'machines.list',
        organisation: 'org-1',
        actor: 'key:manage',
        request: { query: { state: ['ready', 'offline'], limit: 3 } },
      },
    ])
  })

  test('keeps a well-formed request id and replaces any other', async () => {
    const { app } = await open()
    const idFor = async (id: string) =>
      (await app.inject({ url: '/api/v1/version', headers: { 'x-request-id': id } })).headers['x-request-id']
    expect(await idFor('trace:1')).toBe('trace:1')
    for (const bad of ['', 'a b', '<script>', 'x'.repeat(129), 'a\u00e9']) {
      expect(await idFor(bad)).toMatch(/^req-/)
    }
  })

  test('gives the document of the whole API', async () => {
    const { app } = await open()
    const document = (await app.inject('/api/v1/openapi.json')).json()
    expect(document.openapi).toMatch(/^3\.1/)
    expect(document.info.version).toBe('0.1.0')
  })
})

describe('refusals', () => {
  const post = (payload: string | Buffer, headers: Record<string, string> = {}) => ({
    method: 'POST' as const,
    url: '/api/v1/keys',
    headers: { authorization, 'content-type': 'application/json', ...headers },
    payload,
  })

  test.each([
    ['text that is no JSON', post('{"name":'), 400, 'malformed'],
    ['bytes that are no UTF-8', post(Buffer.from([0x22, 0xff, 0x22])), 400, 'malformed'],
    ['another type', post('<a/>', { 'content-type': 'text/xml' }), 415, 'unsupported-media-type'],
    [
      'a form',
      post('a=b', { 'content-type': 'application/x-www-form-urlencoded' }),
      415,
      'unsupported-media-type',
    ],
    [
      'JSON by another name',
      post('{}', { 'content-type': 'application/jsonp' }),
      415,
      'unsupported-media-type',
    ],
    ['too much', post(JSON.stringify({ name: 'x'.repeat(3000) })), 413, 'too-large'],
    ['fields that do not fit', post('{"name":5}'), 400, 'validation'],
    ['no body', post(''), 400, 'validation'],
    ['an unknown address', { url: '/api/v1/nothing' }, 404, 'not-found'],
    ['an address of no version', { url: '/api' }, 404, 'not-found'],
    ['another method', { method: 'PUT' as const, url: '/api/v1/keys' }, 405, 'method-not-allowed'],
    ['HEAD', { method: 'HEAD' as const, url: '/api/v1/version' }, 405, 'method-not-allowed'],
    ['broken escapes', { url: '/api/v1/keys/%zz', headers: { authorization } }, 400, 'malformed'],
  ])('%s', async (_, request, status, name) => {
    const { app } = await open({ bodyLimitBytes: 2000 })
    const answer = await app.inject(request)
    expect(answer.statusCode).toBe(status)
    expect(answer.headers['content-type']).toBe(problemMediaType)
    if (answer.body !== '') {
      expect(answer.json()).toMatchObject({
        status,
        type: `urn:deos:problem:${name}`,
        requestId: answer.headers['x-request-id'],
      })
    }
    expect(answer.headers['x-content-type-options']).toBe('nosniff')
    if (status === 405) expect(answer.headers.allow).toMatch(/GET/)
  })

  test('strangers send nothing large', async () => {
    const { app } = await open()
    const payload = { email: 'a@example.org', password: 'x'.repeat(70_000) }
    const answer = await app.inject({ method: 'POST', url: '/api/v1/session', payload })
    expect(answer.statusCode).toBe(413)
  })

  test('retry-after tells of waits', async () => {
    const handlers = stubHandlers({
      session: {
        version: () => {
          throw new ProblemError('rate-limited', 'Too many.', { retryAfterMs: 1500 })
        },
      },
    })
    const { app } = await open({ handlers })
    const answer = await app.inject('/api/v1/version')
    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([429, '2'])
  })

  test('what nobody expected is logged with the request id, but not what it holds', async () => {
    const failed = Object.assign(new Error('Failed query: select $1\nparams: deos_k_hidden'), {
      query: 'select $1',
      params: ['deos_k_hidden'],
      cause: Object.assign(new Error('duplicate'), { code: '23505', detail: 'Key (digest)=(deos_k_hidden)' }),
    })
    const handlers = stubHandlers({ keys: { create: () => Promise.reject(failed) } })
    const { app, logged } = await open({ handlers })
    const answer = await app.inject({
      method: 'POST',
      url: '/api/v1/keys?x=deos_k_hidden',
      headers: { authorization: 'Bearer deos_k_hidden', cookie: 'deos.session_token=hidden' },
      payload: { name: 'hidden-name' },
    })
    expect(answer.statusCode).toBe(500)
    expect(answer.json()).toMatchObject({ code: 'INTERNAL', requestId: answer.headers['x-request-id'] })
    expect(answer.body).not.toContain('hidden')
    expect(logged.join('')).not.toContain('hidden')
    const line = logged.map((text) => JSON.parse(text)).find(({ level }) => level === 'error')
    expect(line).toMatchObject({
      requestId: answer.headers['x-request-id'],
      operation: 'keys.create',
      err: { message: 'Failed query: select $1: duplicate', code: '23505' },
    })
  })

  test('no header is set that would begin another', async () => {
    const handlers = stubHandlers({
      session: {
        version: (_request, caller) => {
          caller.addHeader('x-name', 'a\r\nset-cookie: stolen=1')
          return { version: '0.1.0', workerProtocols: { min: 1, max: 1 }, gatewayUrl: null }
        },
      },
    })
    const { app } = await open({ handlers })
    const answer = await app.inject('/api/v1/version')
    expect(answer.statusCode).toBe(500)
    expect(answer.headers['set-cookie']).toBeUndefined()
  })
})

describe('bytes', () => {
  const url = `/api/v1/gateway/blobs/sha256:${'0'.repeat(64)}`
  const sources = { gatewayToken: 'deos_g_token' }
  test.each([
    [undefined, 200, '0123456789', undefined],
    ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=8-99', 206, '89', 'bytes 8-9/10'],
    ['bytes=-2', 206, '89', 'bytes 8-9/10'],
    ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=3-1', 200, '0123456789', undefined],
    ['bytes=0-1,4-5', 200, '0123456789', undefined],
    ['lines=0-1', 200, '0123456789', undefined],
    ['bytes=-', 200, '0123456789', undefined],
  ])('range %s', async (range, status, body, contentRange) => {
    const { app } = await open({ sources })
    const headers = { authorization: 'Bearer deos_g_token', ...(range && { range }) }
    const answer = await app.inject({ url, headers })
    expect([answer.statusCode, answer.body]).toEqual([status, body])
    expect(answer.headers['content-range']).toBe(contentRange)
    expect(answer.headers['content-length']).toBe(String(body.length))
    expect(answer.headers).toMatchObject({
      'accept-ranges': 'bytes',
      'content-type': 'application/octet-stream',
    })
  })

  test.each(['bytes=10-', 'bytes=10-20', 'bytes=-0'])('range %s lies beyond', async (range) => {
    const { app } = await open({ sources })
    const answer = await app.inject({ url, headers: { authorization: 'Bearer deos_g_token', range } })
    expect(answer.statusCode).toBe(416)
    expect(answer.headers['content-range']).toBe('bytes */10')
    expect(answer.json()).toMatchObject({ type: 'urn:deos:problem:range-not-satisfiable' })
  })
})

describe('the console', () => {
  let folder = ''
  beforeAll(async () => {
    const above = await mkdtemp(join(tmpdir(), 'deos-console-'))
    folder = join(above, 'console')
    await mkdir(join(folder, 'assets'), { recursive: true })
    await writeFile(join(above, 'secret.txt'), 'secret')
    await writeFile(join(folder, 'index.html'), '<p>console')
    await writeFile(join(folder, '.env'), 'secret')
    await writeFile(join(folder, 'assets', 'main-Ab3dEf6h.js'), 'run()')
  })
  afterAll(() => rm(join(folder, '..'), { recursive: true, force: true }))

  test.each(['/', '/machines', '/models/Qwen3-0.6B', '/deployments/x?tab=logs'])(
    '%s is its document',
    async (url) => {
      const { app } = await open({
        consoleFolder: folder,
        connectSources: () => ['http://gw:8000', 'x; script-src *'],
      })
      const answer = await app.inject(url)
      expect([answer.statusCode, answer.body]).toEqual([200, '<p>console'])
      expect(answer.headers['cache-control']).toBe('no-cache')
      const policy = String(answer.headers['content-security-policy'])
      expect(policy).toContain("default-src 'self'")
      expect(policy).toContain("connect-src 'self' http://gw:8000;")
      expect(policy).toContain("frame-ancestors 'none'")
      expect(policy).not.toContain('script-src')
    },
  )

  test('its folder may be named from where the process runs', async () => {
    const { app } = await open({ consoleFolder: relative(process.cwd(), folder) })
    expect((await app.inject('/')).body).toBe('<p>console')
  })

  test('a folder that was named must hold it', () => {
    expect(() => checkConsoleFolder(folder)).not.toThrow()
    expect(() => checkConsoleFolder(join(folder, 'assets'))).toThrow('holds no index.html')
    expect(() => checkConsoleFolder(join(folder, 'nowhere'))).toThrow('does not exist')
  })

  test('files with a hash in their name may be kept', async () => {
    const { app } = await open({ consoleFolder: folder })
    const answer = await app.inject('/assets/main-Ab3dEf6h.js')
    expect([answer.statusCode, answer.body]).toEqual([200, 'run()'])
    expect(answer.headers['cache-control']).toContain('immutable')
  })

  test.each([
    '/assets/gone-12345678.js',
    '/favicon.ico',
    '/../secret.txt',
    '/..%2fsecret.txt',
    '/%2e%2e/secret.txt',
    '/assets/..%2f..%2f..%2fsecret.txt',
    '/assets/%5c..%5c..%5csecret.txt',
    '/.env',
    '/%00.txt',
    '/api/../secret.txt',
  ])('%s gives away nothing', async (url) => {
    const { app } = await open({ consoleFolder: folder })
    const answer = await app.inject(url)
    expect(answer.body).not.toMatch(/^secret/)
    if (answer.statusCode === 200) expect(answer.body).toBe('<p>console')
    else expect([400, 403, 404]).toContain(answer.statusCode)
  })

  test('the API is never answered with a page', async () => {
    const { app } = await open({ consoleFolder: folder })
    const answer = await app.inject('/api/v1/no-such-thing')
    expect(answer.statusCode).toBe(404)
    expect(answer.headers['content-type']).toBe(problemMediaType)
    expect((await app.inject('/health')).json()).toEqual({ ok: true })
  })

  test('without one, a page says so', async () => {
    const { app } = await open()
    const answer = await app.inject('/')
    expect(answer.headers['content-type']).toMatch(/^text\/html/)
    expect(answer.body).toContain('was not built')
  })
})
