import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { UsageError } from '../cli-error.ts'
import { parseServerUrl, ServerClient } from './server-client.ts'
import { ServerError, ServerUnreachableError } from './server-errors.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections()
})

async function serve(listener: RequestListener, path = ''): Promise<ServerClient> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return new ServerClient(new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`), 'key')
}

const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

test('streams text of both kinds of chunks, with the usage at the end', async () => {
  const client = await serve((request, response) => {
    expect(request.headers.authorization).toBe('Bearer key')
    response.write(
      'data: {"choices":[{"text":"He"}]}\n\ndata: {"choices":[{"delta":{"content":"llo é"}}]}\n\n',
    )
    response.write('data: {"choices":[{"text":"","finish_reason":"length"}]}\n\n')
    response.end(
      'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\ndata: [DONE]\n\n',
    )
  })
  const pieces = await collect(client.stream('/v1/completions', {}, new AbortController().signal))
  expect(pieces.map(({ text }) => text).join('')).toBe('Hello é')
  expect(pieces.map(({ finish }) => finish)).toContain('length')
  expect(pieces.at(-1)?.usage?.completion_tokens).toBe(2)
  await client.close()
})

test('an error inside a stream, and a stream that just ends, are errors', async () => {
  const failing = await serve((_, response) =>
    response.end('data: {"error":{"message":"The ring is gone."}}\n\n'),
  )
  const cut = await serve((_, response) => response.end('data: {"choices":[{"text":"He"}]}\n\n'))
  const signal = new AbortController().signal
  await expect(collect(failing.stream('/v1/completions', {}, signal))).rejects.toThrow('The ring is gone.')
  await expect(collect(cut.stream('/v1/completions', {}, signal))).rejects.toThrow(ServerError)
  await failing.close()
  await cut.close()
})

test('an address with /v1 is the same server', async () => {
  const client = await serve((request, response) => {
    response.end(JSON.stringify({ data: [{ id: request.url }] }))
  }, '/v1/')
  expect(await client.models()).toEqual(['/v1/models'])
  await client.close()
})

test('a closed port is nobody, and says how to start one', async () => {
  const client = await serve(() => undefined)
  servers.pop()!.close()
  expect(await client.ready()).toBeNull()
  await expect(client.models()).rejects.toThrow(ServerUnreachableError)
  await expect(client.models()).rejects.toMatchObject({ hint: expect.stringContaining('deos serve') })
  await client.close()
})

test('an abort ends a request with its reason', async () => {
  const client = await serve((_, response) => response.write('data: {"choices":[{"text":"He"}]}\n\n'))
  const controller = new AbortController()
  const pieces = client.stream('/v1/completions', {}, controller.signal)
  await pieces.next()
  controller.abort(new Error('enough'))
  await expect(pieces.next()).rejects.toThrow('enough')
  await client.close()
})

test.each(['', 'http://', '::::'])('%j is no address of a server', (text) => {
  expect(() => parseServerUrl(text)).toThrow(UsageError)
})

test('a scheme may be left out', () => {
  expect(parseServerUrl('localhost:8000').origin).toBe('http://localhost:8000')
})
