import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { ProblemError, routes } from '@deos/api'
import { sampleOf } from '@deos/api/testing'
import { afterEach, expect, test } from 'vitest'
import type { Caller } from './caller.ts'
import type { KnownKey } from './credentials.ts'
import { stubHandlers } from './testing/stub-handlers.ts'
import { createTestServer, type TestServer } from './testing/test-server.ts'

const opened: TestServer[] = []
afterEach(async () => {
  for (const { app } of opened.splice(0)) await app.close()
})

const sample = sampleOf(routes.status.follow.answer.event)
type Events = AsyncGenerator<{ id: string | null; data: typeof sample }>

let keyIsValid = true
const key: KnownKey = { keyId: 'key-1' as never, organisation: 'org-1' as never, scopes: ['read'] }

async function open(live: (caller: Caller) => Events, pingMs?: number) {
  keyIsValid = true
  const server = await createTestServer({
    handlers: stubHandlers({ status: { follow: (_request, caller) => live(caller) } }),
    sources: { keyOf: async () => (keyIsValid ? key : null) },
    ...(pingMs !== undefined && { pingMs }),
  })
  opened.push(server)
  await server.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = server.app.server.address() as AddressInfo
  return { ...server, port, url: `http://127.0.0.1:${port}/api/v1/status/stream` }
}

const headers = { authorization: 'Bearer deos_k_anything', accept: 'text/event-stream' }

test('begins, tells events with ids, and ends for good', async () => {
  const { url } = await open(async function* () {
    yield { id: '1', data: sample }
    yield { id: null, data: sample }
  })
  const answer = await fetch(url, { headers })
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe('text/event-stream')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('x-request-id')).toMatch(/^req-/)
  const text = await answer.text()
  expect(text).toMatch(/^retry: 1000\n\nid: 1\ndata: \{.*\}\n\ndata: \{.*\}\n\nevent: end\ndata: \{\}\n\n$/)
})

test('tells trouble in the midst of it as a problem', async () => {
  const { url, logged } = await open(async function* () {
    yield { id: '1', data: sample }
    throw new ProblemError('unavailable', 'The machine went away.')
  })
  const text = await (await fetch(url, { headers })).text()
  expect(text).toContain('event: problem\ndata: {"type":"urn:deos:problem:unavailable"')
  expect(text).not.toContain('event: end')
  expect(logged.filter((line) => line.includes('"level":"error"'))).toEqual([])
})

test('tells trouble before it as an answer', async () => {
  const { url } = await open(() => {
    throw new ProblemError('not-found', 'There is no such thing.')
  })
  expect((await fetch(url, { headers })).status).toBe(404)
})

test('lets the source go when the reader goes', async () => {
  let leave = () => {}
  const left = new Promise<boolean>((resolve) => {
    leave = () => resolve(true)
  })
  const { url } = await open(async function* ({ signal }) {
    try {
      yield { id: '1', data: sample }
      await once(signal, 'abort')
    } finally {
      leave()
    }
  })
  const reading = new AbortController()
  const answer = await fetch(url, { headers, signal: reading.signal })
  await answer.body!.getReader().read()
  reading.abort()
  expect(await left).toBe(true)
})

test('keeps to the pace of the reader', async () => {
  let given = 0
  const { port } = await open(async function* ({ signal }) {
    while (!signal.aborted) {
      given += 1
      yield { id: String(given), data: sample }
    }
  })
  const socket = connect(port, '127.0.0.1')
  socket.pause()
  await once(socket, 'connect')
  socket.write(
    `GET /api/v1/status/stream HTTP/1.1\r\nhost: x\r\nauthorization: ${headers.authorization}\r\n\r\n`,
  )
  let before = -1
  while (before !== given || given === 0) {
    before = given
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  // It stopped by itself, with a reader who takes nothing.
  expect(given).toBe(before)
  socket.destroy()
})

test('stays alive by pings, and ends when the permission does', async () => {
  const { url } = await open(async function* ({ signal }) {
    yield { id: '1', data: sample }
    await once(signal, 'abort')
  }, 20)
  const answer = await fetch(url, { headers })
  keyIsValid = false
  const text = await answer.text()
  expect(text).toContain(': ping\n\n')
  expect(text).toMatch(/event: problem\ndata: \{"type":"urn:deos:problem:unauthenticated".*\}\n\n$/)
})

test('a server that closes breaks streams off', async () => {
  const { app, url } = await open(async function* ({ signal }) {
    yield { id: '1', data: sample }
    await once(signal, 'abort')
  })
  const answer = await fetch(url, { headers })
  const text = answer.text().then(
    (whole) => whole,
    () => 'broken off',
  )
  await app.close()
  expect(await text).toBe('broken off')
})
