import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { CompletionClient, ServerFailedError } from './completion-client.ts'

let server: Server
let bodies: unknown[]

afterEach(() => {
  server.closeAllConnections()
  server.close()
})

async function serve(answer: (response: ServerResponse) => void): Promise<CompletionClient> {
  bodies = []
  server = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request) body += String(piece)
    bodies.push(JSON.parse(body))
    answer(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return new CompletionClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'model')
}

const token = (text: string) => `data: {"choices":[{"text":${JSON.stringify(text)}}]}\n\n`
const end = (tokens: number) =>
  `data: {"choices":[],"usage":{"completion_tokens":${tokens}}}\n\ndata: [DONE]\n\n`
const request = { prompt: [7, 8], maxTokens: 2 }

test('a completion asks for exactly its tokens, greedily, and records when they came', async () => {
  const client = await serve((response) => response.end(token('a') + token('b') + end(2)))
  const seen: number[] = []
  const record = await client.complete(request, { onTokens: ({ length }) => seen.push(length) })
  expect(bodies).toEqual([
    {
      ...{ model: 'model', prompt: [7, 8], max_tokens: 2, temperature: 0, ignore_eos: true, stream: true },
      stream_options: { include_usage: true },
    },
  ])
  expect(record).toMatchObject({ tokens: 2, cachedTokens: 0 })
  expect(record.tokensMs).toHaveLength(2)
  expect(record.tokensMs[0]).toBeGreaterThanOrEqual(record.startedMs)
  expect(seen.at(-1)).toBe(2)
})

test.each([
  ['fewer tokens', (response: ServerResponse) => response.end(token('a') + end(1)), '1 tokens'],
  ['no usage', (response: ServerResponse) => response.end(`${token('a')}data: [DONE]\n\n`), 'unknown number'],
  ['another status', (response: ServerResponse) => response.writeHead(429).end('busy'), '429: busy'],
  ['an error event', (response: ServerResponse) => response.end('data: {"error":{}}\n\n'), 'ended a stream'],
  ['a broken connection', (response: ServerResponse) => response.destroy(), 'broke off'],
  [
    'a connection that breaks halfway',
    (response: ServerResponse) => response.write(token('a'), () => response.destroy()),
    'broke off',
  ],
])('%s is a failure of the server', async (_, answer, said) => {
  const client = await serve(answer)
  const failed = client.complete(request)
  await expect(failed).rejects.toThrow(ServerFailedError)
  await expect(failed).rejects.toThrow(said)
})

test('an aborted completion ends with the reason', async () => {
  const client = await serve((response) => response.write(token('a')))
  const abort = new AbortController()
  const reason = new Error('enough')
  const failed = client.complete(request, { signal: abort.signal, onTokens: () => abort.abort(reason) })
  await expect(failed).rejects.toBe(reason)
})
