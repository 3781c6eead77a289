import { expect, test } from 'vitest'
import { textOf } from '../testing/byte-model.ts'
import { readLines } from '../testing/read-stream.ts'
import { calling, citySchema } from '../testing/said.ts'
import { say } from '../testing/scripted-backend.ts'
import { startGateway } from '../testing/start-gateway.ts'

const chat = { model: 'bytes', messages: [{ role: 'user', content: 'Hi' }] }
const generate = { model: 'bytes', prompt: 'Hi' }
const created_at = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
const end = (counts: object) => ({
  done: true,
  done_reason: 'stop',
  total_duration: expect.any(Number),
  load_duration: 0,
  prompt_eval_duration: expect.any(Number),
  eval_duration: expect.any(Number),
  ...counts,
})

test('a chat is lines of JSON, the last one with what it took', async () => {
  const { post } = await startGateway((request) => say('Hé', request))
  const response = await post('/api/chat', chat)
  expect(response.headers.get('content-type')).toBe('application/x-ndjson')
  const line = (content: string) => ({
    model: 'bytes',
    created_at,
    message: { role: 'assistant', content },
    done: false,
  })
  const counts = { prompt_eval_count: 8, eval_count: 4 }
  expect(await readLines(response)).toEqual([line('H'), line('é'), { ...line(''), ...end(counts) }])
  const whole = await post('/api/chat', { ...chat, stream: false })
  expect(whole.headers.get('content-type')).toContain('application/json')
  expect(await whole.json()).toEqual({ ...line('Hé'), ...end(counts) })
})

test('so is a text', async () => {
  const { post } = await startGateway((request) => say('Hé', request))
  const line = (response: string) => ({ model: 'bytes', created_at, response, done: false })
  const counts = { prompt_eval_count: 8, eval_count: 4 }
  expect(await readLines(await post('/api/generate', generate))).toEqual([
    line('H'),
    line('é'),
    { ...line(''), ...end(counts) },
  ])
  expect(await (await post('/api/generate', { ...generate, stream: false })).json()).toEqual({
    ...line('Hé'),
    ...end(counts),
  })
})

test('a call is one line, once it is complete', async () => {
  const { post } = await startGateway((request) => say(calling('weather', '{"city": "Oslo"}'), request), {
    model: { contextLength: 8192 },
  })
  const tools = [{ type: 'function', function: { name: 'weather', parameters: citySchema } }]
  const lines = await readLines(await post('/api/chat', { ...chat, tools }))
  expect(lines).toHaveLength(2)
  expect(lines[0]!.message).toEqual({
    role: 'assistant',
    content: '',
    tool_calls: [
      {
        id: expect.stringMatching(/^call_/),
        function: { index: 0, name: 'weather', arguments: { city: 'Oslo' } },
      },
    ],
  })
})

test.each([true, false])('the time before the first token is the prompt’s, streamed: %s', async (stream) => {
  let waitedMs = 0
  const { post } = await startGateway(async function* (request) {
    const startMs = performance.now()
    await new Promise((resolve) => setTimeout(resolve, 20))
    waitedMs = performance.now() - startMs
    yield* say('abc', request)
  })
  const last = (await readLines(await post('/api/chat', { ...chat, stream }).then(lineEnded))).at(-1)!
  const [total, prompt, evaluation] = [
    last.total_duration as number,
    last.prompt_eval_duration as number,
    last.eval_duration as number,
  ]
  expect(prompt).toBeGreaterThanOrEqual(Math.floor(waitedMs * 1e6))
  expect(evaluation).toBeGreaterThan(0)
  expect(Math.abs(prompt + evaluation - total)).toBeLessThanOrEqual(2)
})

/** A whole answer read as the only line of a stream. */
const lineEnded = async (response: Response) => new Response(`${(await response.text()).trimEnd()}\n`)

test.each([
  ['/api/chat', { model: 'bytes', messages: [] }, { message: { role: 'assistant', content: '' } }],
  ['/api/chat', { model: 'bytes', keep_alive: 0 }, { message: { role: 'assistant', content: '' } }],
  ['/api/generate', { model: 'bytes', prompt: '' }, { response: '' }],
  ['/api/generate', { model: 'bytes' }, { response: '' }],
])('%s with %j only asks whether the model is there', async (path, body, said) => {
  const { post, backend } = await startGateway((request) => say('a', request))
  const response = await post(path, body)
  expect(await response.json()).toEqual({
    model: 'bytes',
    created_at,
    ...said,
    done: true,
    done_reason: 'load',
  })
  backend.current = { ...backend.current, ready: false }
  expect((await post(path, body)).status).toBe(503)
  expect((await post(path, { ...body, model: 'other' })).status).toBe(404)
  expect(backend.requests).toHaveLength(0)
})

test.each([
  [{ num_predict: 2 }, 2, 'ab', 'length'],
  [{ num_predict: -1 }, 4088, 'abc', 'stop'],
  [{ num_predict: 0 }, 4088, 'abc', 'stop'],
  [{ stop: 'b' }, 4088, 'a', 'stop'],
  [{ stop: ['', 'c'] }, 4088, 'ab', 'stop'],
  [{ num_ctx: 5, mirostat: 1, low_vram: true }, 4088, 'abc', 'stop'],
])('options %j', async (options, maxTokens, content, done_reason) => {
  const { post, backend } = await startGateway((request) => say('abc', request))
  const response = await post('/api/chat', { ...chat, options, stream: false })
  expect(await response.json()).toMatchObject({ message: { content }, done_reason })
  expect(backend.requests[0]!.maxTokens).toBe(maxTokens)
})

test.each([
  [undefined, {}],
  [false, { enable_thinking: false, thinking: false }],
  [true, { enable_thinking: true, thinking: true }],
  ['low', { enable_thinking: true, thinking: true, reasoning_effort: 'low' }],
])('think %j', async (think, variables) => {
  const { post, backend } = await startGateway((request) => say('a', request), {
    model: { renderChat: (conversation) => JSON.stringify(conversation.variables) },
  })
  await post('/api/chat', { ...chat, think })
  expect(JSON.parse(textOf([...backend.requests[0]!.tokens]))).toEqual(variables)
})

test('JSON is read without its header, as documented, but not from web pages', async () => {
  const { url } = await startGateway((request) => say('a', request))
  const send = (headers: Record<string, string>) =>
    fetch(`${url}/api/chat`, { method: 'POST', body: JSON.stringify(chat), headers })
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  expect((await send(form)).status).toBe(200)
  expect((await send({})).status).toBe(200)
  const foreign = await send({ ...form, origin: 'http://evil.example' })
  expect(foreign.status).toBe(415)
  expect(await foreign.json()).toEqual({ error: expect.stringContaining('must be JSON') })
  const json = { 'content-type': 'application/json', origin: 'http://evil.example' }
  expect((await send(json)).status).toBe(200)
})

test('a client that looks whether anyone is there finds someone', async () => {
  const { url } = await startGateway((request) => say('a', request))
  for (const path of ['/', '/api/version', '/api/tags']) {
    expect((await fetch(`${url}${path}`, { method: 'HEAD' })).status).toBe(200)
  }
})

test('models are shown under their older field too', async () => {
  const { post } = await startGateway((request) => say('a', request))
  expect((await post('/api/show', { name: 'bytes' })).status).toBe(200)
  expect((await post('/api/show', {})).status).toBe(400)
  expect(await (await post('/api/show', { model: 'x' })).json()).toEqual({
    error: expect.stringContaining("'x'"),
  })
})

test.each([
  ['/api/chat', { messages: 5 }, 'messages'],
  ['/api/chat', { messages: [{ role: 'nobody', content: '' }] }, 'messages[0].role'],
  ['/api/chat', { messages: [{ role: 'user', content: [] }] }, 'messages[0].content'],
  ['/api/chat', { messages: [{ role: 'user', content: '', images: ['x'] }] }, 'messages[0].images'],
  [
    '/api/chat',
    { messages: [{ role: 'assistant', tool_calls: [{ function: { name: 'a', arguments: '{}' } }] }] },
    'messages[0].tool_calls[0].function.arguments',
  ],
  ['/api/chat', { tools: [{ type: 'function' }] }, 'tools[0].function'],
  ['/api/chat', { format: 'xml' }, 'format'],
  ['/api/chat', { format: { type: 'colour' } }, 'format'],
  ['/api/chat', { think: 'much' }, 'think'],
  ['/api/chat', { options: { temperature: 'hot' } }, 'options.temperature'],
  ['/api/chat', { logprobs: true }, 'logprobs'],
  ['/api/generate', { template: '{{ .Prompt }}' }, 'template'],
  ['/api/generate', { context: [1, 2] }, 'context'],
  ['/api/generate', { suffix: 'x' }, 'suffix'],
  ['/api/generate', { images: ['x'] }, 'images'],
  ['/api/embed', { input: 5 }, 'input'],
  ['/api/embed', { input: ['a', 5] }, 'input'],
])('%s with %j is refused, naming %s', async (path, fields, param) => {
  const { post, backend } = await startGateway((request) => say('a', request))
  const response = await post(path, { ...chat, ...generate, ...fields })
  expect(response.status).toBe(400)
  expect(await response.json()).toEqual({ error: expect.stringContaining(param) })
  expect(backend.requests).toHaveLength(0)
})
