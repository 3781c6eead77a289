import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { QueueFullError } from './inference/errors.ts'
import { say, sayAndHang } from './testing/scripted-backend.ts'
import { startGateway, until } from './testing/start-gateway.ts'

const anthropicError = { type: 'error', error: { message: expect.stringMatching(/./) }, request_id: null }
const openAiError = { error: { message: expect.stringMatching(/./), code: expect.any(String) } }
const ollamaError = { error: expect.stringMatching(/./) }

const said = [{ role: 'user', content: 'Hi' }]

/** A request that works, and what an error looks like, of every API beside those of completions. */
const dialects = [
  { path: '/v1/messages', good: { max_tokens: 50, messages: said }, error: anthropicError },
  { path: '/v1/messages/count_tokens', good: { messages: said }, error: anthropicError },
  { path: '/v1/responses', good: { input: said }, error: openAiError },
  { path: '/v1/embeddings', good: { input: 'Hi' }, error: openAiError },
  { path: '/api/chat', good: { messages: said }, error: ollamaError },
  { path: '/api/generate', good: { prompt: 'Hi' }, error: ollamaError },
  { path: '/api/embed', good: { input: 'Hi' }, error: ollamaError },
  { path: '/api/embeddings', good: { prompt: 'Hi' }, error: ollamaError },
  { path: '/api/show', good: {}, error: ollamaError },
].map(({ good, ...rest }) => ({ ...rest, good: { model: 'bytes', ...good } }))

const generating = dialects.filter(({ path }) => !/count|embed|show/.test(path))

describe.each(dialects)('$path', ({ path, good, error }) => {
  test('an unknown model is a 404 in the API’s shape', async () => {
    const { post } = await startGateway((request) => say('ok', request))
    const response = await post(path, { ...good, model: 'other' })
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject(error)
  })

  test('so is a missing key a 401, and either way of giving it works', async () => {
    const { post } = await startGateway((request) => say('ok', request), { options: { apiKey: 'right' } })
    const response = await post(path, good)
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject(error)
    for (const headers of [{ 'x-api-key': 'right' }, { authorization: 'Bearer right' }]) {
      expect((await post(path, good, { headers })).status).toBe(200)
    }
  })

  test.each(['', '{', '[]', 'null', '"a"', '5', '{"model":"bytes"', '{}'])(
    'body %j is a 400',
    async (body) => {
      const { post } = await startGateway((request) => say('ok', request))
      const response = await post(path, body)
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject(error)
    },
  )

  test('a server that stops takes nothing', async () => {
    const { post, gateway } = await startGateway((request) => say('ok', request))
    await gateway.drain(AbortSignal.timeout(1000))
    const response = await post(path, good)
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject(error)
  })
})

describe.each(generating)('$path', ({ path, good, error }) => {
  test.each([true, false])('a full queue says when to come back, streamed: %s', async (stream) => {
    const { post } = await startGateway(async function* () {
      yield* []
      throw new QueueFullError('64 requests wait already.', 1500)
    })
    const response = await post(path, { ...good, stream })
    expect(response.status).toBe(429)
    expect(response.headers.get('retry-after')).toBe('2')
    expect(await response.json()).toMatchObject(error)
  })

  test('a prompt too long is refused before anything is sent', async () => {
    const { post } = await startGateway((request) => say('ok', request), { model: { contextLength: 2 } })
    const response = await post(path, { ...good, stream: true })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject(error)
  })

  test('a client that leaves ends the work', async () => {
    const { post, backend } = await startGateway((request, signal) => sayAndHang('abc', request, signal))
    for (const stream of [true, false]) {
      const controller = new AbortController()
      const pending = post(path, { ...good, stream }, { signal: controller.signal }).then((response) =>
        response.text(),
      )
      await until(() => backend.running === 1)
      controller.abort()
      await expect(pending).rejects.toMatchObject({ name: 'AbortError' })
      await until(() => backend.running === 0)
    }
  })
})

const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(-1, 0, 1e308, 2 ** 53, 0.1, '', '\ud800', '__proto__', null, true, [], {}, [[]], [{}]),
)

/** Blocks, parts, items and messages of all APIs, right and wrong. */
const pieceFields = [
  ...['type', 'role', 'content', 'text', 'id', 'name', 'input', 'call_id', 'output', 'arguments'],
  ...['tool_use_id', 'is_error', 'thinking', 'summary', 'source', 'function', 'tool_calls', 'images'],
]
const piece = fc.dictionary(
  fc.constantFrom(...pieceFields),
  fc.oneof(
    odd,
    fc.constantFrom(
      ...['text', 'input_text', 'tool_use', 'tool_result', 'thinking', 'document', 'search_result'],
      ...['message', 'reasoning', 'function_call', 'function_call_output', 'function', 'user', 'assistant'],
    ),
    fc.array(
      fc.dictionary(fc.constantFrom('type', 'text', 'function', 'name'), fc.oneof(odd, fc.constant('text')), {
        maxKeys: 3,
      }),
      { maxLength: 2 },
    ),
  ),
  { maxKeys: 6 },
)

const fields = [
  ...['messages', 'input', 'prompt', 'system', 'instructions', 'max_tokens', 'max_output_tokens', 'stream'],
  ...['temperature', 'top_p', 'top_k', 'stop_sequences', 'tools', 'tool_choice', 'thinking', 'think'],
  ...['output_config', 'output_format', 'text', 'format', 'reasoning', 'options', 'raw', 'suffix', 'images'],
  ...['metadata', 'include', 'dimensions', 'encoding_format', 'truncate', 'model', '__proto__', 'name'],
]

const changes = fc.dictionary(
  fc.constantFrom(...fields),
  fc.oneof(odd, piece, fc.array(piece, { maxLength: 3 })),
  { maxKeys: 3 },
)

test('whatever is sent gets an answer or a refusal in the API’s shape', async () => {
  const { post, backend } = await startGateway((request) => say('ok', request))
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...dialects), changes, async ({ path, good, error }, change) => {
      // By hand, so that `__proto__` is sent as a field.
      const text = JSON.stringify(good).slice(0, -1)
      const more = Object.entries(change).map(
        ([key, value]) => `,${JSON.stringify(key)}:${JSON.stringify(value)}`,
      )
      const response = await post(path, `${text}${more.join('')}}`)
      const body = await response.text()
      if (response.status === 200) return
      expect([400, 404]).toContain(response.status)
      expect(JSON.parse(body)).toMatchObject(error)
    }),
    { numRuns: 300 },
  )
  await until(() => backend.running === 0)
})
