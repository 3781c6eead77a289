import OpenAI from 'openai'
import { expect, test } from 'vitest'
import { InterruptedError } from '../inference/errors.ts'
import { BEGIN, bytesOf } from '../testing/byte-model.ts'
import { say, untilAborted } from '../testing/scripted-backend.ts'
import { startGateway, until } from '../testing/start-gateway.ts'

const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 })
const start = (model = {}) => startGateway((request) => say('a', request), { model })

test('the openai client gets vectors of length 1, whichever way they travel', async () => {
  const { url, backend } = await start()
  backend.vector = () => Float32Array.of(3, -4)
  const { embeddings } = client(url)
  const list = {
    object: 'list',
    model: 'bytes',
    data: [{ object: 'embedding', index: 0, embedding: [Math.fround(0.6), Math.fround(-0.8)] }],
    usage: { prompt_tokens: 3, total_tokens: 3 },
  }
  expect(await embeddings.create({ model: 'bytes', input: 'ab' })).toEqual(list)
  expect(await embeddings.create({ model: 'bytes', input: 'ab', encoding_format: 'float' })).toEqual(list)
  const base64 = await embeddings.create({ model: 'bytes', input: 'ab', encoding_format: 'base64' })
  expect(base64.data[0]!.embedding).toBe(Buffer.from(Float32Array.of(0.6, -0.8).buffer).toString('base64'))
  expect(backend.embedded[0]).toMatchObject({ pooling: 'mean', needs: { adapter: null, grammar: null } })
})

test.each([
  ['ab', [[BEGIN, ...bytesOf('ab')]]],
  [
    ['a', 'b'],
    [
      [BEGIN, 97],
      [BEGIN, 98],
    ],
  ],
  [[1, 2, 3], [[1, 2, 3]]],
  [
    [[1], [2, 3]],
    [[1], [2, 3]],
  ],
])('input %j', async (input, tokens) => {
  const { post, backend } = await start()
  const response = await post('/v1/embeddings', { model: 'bytes', input, pooling: 'last' })
  const { data, usage } = (await response.json()) as { data: { index: number }[]; usage: object }
  expect(backend.embedded.map((request) => [...request.tokens])).toEqual(tokens)
  expect(new Set(backend.embedded.map(({ pooling }) => pooling))).toEqual(new Set(['last']))
  expect(data.map(({ index }) => index)).toEqual(tokens.map((_, index) => index))
  expect(usage).toMatchObject({ prompt_tokens: tokens.flat().length })
})

test('many texts keep their order, and not all of them are sent at once', async () => {
  const { post, backend } = await start()
  let most = 0
  let running = 0
  const embed = backend.embed.bind(backend)
  backend.embed = async (request, signal) => {
    running += 1
    most = Math.max(most, running)
    // Later texts finish first.
    await new Promise((resolve) => setTimeout(resolve, 10 - (request.tokens[1]! % 10)))
    running -= 1
    return embed(request, signal)
  }
  backend.vector = ({ tokens }) => Float32Array.of(Math.cos(tokens[1]!), Math.sin(tokens[1]!))
  const input = Array.from({ length: 60 }, (_, index) => String.fromCharCode(33 + index))
  const response = await post('/v1/embeddings', { model: 'bytes', input })
  const { data } = (await response.json()) as { data: { embedding: number[] }[] }
  for (const [index, { embedding }] of data.entries())
    expect(embedding[0]).toBeCloseTo(Math.cos(33 + index), 5)
  expect(most).toBe(16)
})

test('the first failure ends the others and is the answer', async () => {
  const { post, backend } = await start()
  let cancelled = 0
  backend.embed = async (request, signal) => {
    if (request.id.endsWith('.3')) throw new InterruptedError('a worker went away.')
    await untilAborted(signal).catch(() => {
      cancelled += 1
    })
    signal.throwIfAborted()
    return Float32Array.of(1)
  }
  const response = await post('/v1/embeddings', { model: 'bytes', input: Array(20).fill('a') })
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ error: { code: 'interrupted' } })
  await until(() => cancelled === 15)
})

test('an abort cancels the work', async () => {
  const { url, backend } = await start()
  let state = 'idle'
  backend.embed = async (_request, signal) => {
    state = 'running'
    return untilAborted(signal).finally(() => {
      state = 'cancelled'
    })
  }
  const controller = new AbortController()
  const pending = client(url).embeddings.create({ model: 'bytes', input: 'a' }, { signal: controller.signal })
  await until(() => state === 'running')
  controller.abort()
  await expect(pending).rejects.toBeInstanceOf(OpenAI.APIUserAbortError)
  await until(() => state === 'cancelled')
})

test('adapters embed as themselves', async () => {
  const { post, backend } = await startGateway((request) => say('a', request), {
    options: { adapters: ['poet'] },
  })
  const response = await post('/v1/embeddings', { model: 'poet', input: 'a' })
  expect(await response.json()).toMatchObject({ model: 'poet' })
  expect(backend.embedded[0]!.needs).toEqual({ adapter: 'poet', grammar: null })
})

test.each([
  [{}, 400, 'input'],
  [{ input: '' }, 400, 'input'],
  [{ input: [] }, 400, 'input'],
  [{ input: ['a', ''] }, 400, 'input[1]'],
  [{ input: ['a', 5] }, 400, 'input'],
  [{ input: [[]] }, 400, 'input[0]'],
  [{ input: [1.5] }, 400, 'input'],
  [{ input: [258] }, 400, 'input'],
  [{ input: { text: 'a' } }, 400, 'input'],
  [{ input: Array(2049).fill('a') }, 400, 'input'],
  [{ input: 'a'.repeat(5000) }, 400, null],
  [{ input: 'a', encoding_format: 'hex' }, 400, 'encoding_format'],
  [{ input: 'a', dimensions: 1 }, 400, 'dimensions'],
  [{ input: 'a', dimensions: 0 }, 400, 'dimensions'],
  [{ input: 'a', pooling: 'max' }, 400, 'pooling'],
  [{ input: 'a', model: 'other' }, 404, 'model'],
])('a fault is refused, naming the field (%#)', async (fields, status, param) => {
  const { post } = await start()
  const response = await post('/v1/embeddings', { model: 'bytes', ...fields })
  const { error } = (await response.json()) as { error: { param: string | null } }
  expect([response.status, error.param]).toEqual([status, param])
})
