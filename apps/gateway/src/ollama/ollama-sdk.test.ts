import { Ollama } from 'ollama'
import { expect, test } from 'vitest'
import { InterruptedError, QueueFullError } from '../inference/errors.ts'
import { textOf } from '../testing/byte-model.ts'
import { calling, citySchema, thinkingFormat } from '../testing/said.ts'
import { say, sayAndHang } from '../testing/scripted-backend.ts'
import { startGateway, until } from '../testing/start-gateway.ts'

const client = (url: string) => new Ollama({ host: url })
const asked = { model: 'bytes', messages: [{ role: 'user', content: 'Weather?' }] }
const tools = [
  {
    type: 'function',
    function: { name: 'weather', description: 'Tells the weather.', parameters: citySchema },
  },
]
const oslo = calling('weather', '{"city": "Oslo"}')
const rome = calling('weather', '{"city": "Rome"}')
const long = { contextLength: 8192 }

test('chats', async () => {
  const { url, backend } = await startGateway((request) => say('Rain.', request))
  const answer = await client(url).chat({
    ...asked,
    model: 'bytes:latest',
    keep_alive: '5m',
    options: { num_ctx: 4096, temperature: 0.5, seed: 7, num_predict: 50, stop: ['.'], top_k: -1 },
  })
  expect(answer).toMatchObject({
    model: 'bytes:latest',
    message: { role: 'assistant', content: 'Rain' },
    done: true,
    done_reason: 'stop',
    prompt_eval_count: 14,
    eval_count: 5,
  })
  expect(backend.requests[0]).toMatchObject({
    maxTokens: 50,
    sampling: { temperature: 0.5, seed: '7', topK: 0 },
  })
})

test('streams text, thoughts and calls', async () => {
  const said = `<think>Hm.</think>I look.\n${oslo}\n${rome}`
  const { url } = await startGateway((request) => say(said, request), {
    model: { ...long, format: thinkingFormat },
  })
  const stream = await client(url).chat({ ...asked, tools, think: true, stream: true })
  const seen = { text: '', thoughts: '', calls: [] as unknown[] }
  for await (const { message } of stream) {
    expect(message.role).toBe('assistant')
    seen.text += message.content
    seen.thoughts += message.thinking ?? ''
    seen.calls.push(...(message.tool_calls ?? []).map((call) => call.function.arguments))
  }
  expect(seen).toEqual({ text: 'I look.', thoughts: 'Hm.', calls: [{ city: 'Oslo' }, { city: 'Rome' }] })
  const { message } = await client(url).chat({ ...asked, tools })
  expect(message).toMatchObject({
    content: 'I look.',
    thinking: 'Hm.',
    tool_calls: [
      { function: { name: 'weather', arguments: { city: 'Oslo' } } },
      { function: { name: 'weather', arguments: { city: 'Rome' } } },
    ],
  })
})

test('hands calls, results and thoughts back to the model, whatever their order', async () => {
  const { url, backend } = await startGateway((request) => say('ok', request), {
    model: {
      ...long,
      format: {
        ...thinkingFormat,
        abilities: { ...thinkingFormat.abilities, calls: true, results: true, tools: true },
      },
      renderChat: (conversation) => JSON.stringify(conversation),
    },
  })
  await client(url).chat({
    ...asked,
    tools,
    messages: [
      ...asked.messages,
      {
        role: 'assistant',
        content: '',
        thinking: 'Hm.',
        tool_calls: [
          { function: { name: 'weather', arguments: { city: 'Oslo' } } },
          { function: { name: 'news', arguments: {} } },
          { function: { name: 'weather', arguments: { city: 'Rome' } } },
        ],
      },
      { role: 'tool', content: 'peace', tool_name: 'news' },
      { role: 'tool', content: 'rain', tool_name: 'weather' },
      { role: 'tool', content: 'sun' },
    ],
  })
  expect(JSON.parse(textOf([...backend.requests[0]!.tokens]))).toMatchObject({
    messages: [
      { role: 'user' },
      {
        role: 'assistant',
        reasoning_content: 'Hm.',
        tool_calls: [{ id: 'call_1_0' }, { id: 'call_1_1' }, { id: 'call_1_2' }],
      },
      { role: 'tool', content: 'peace', tool_call_id: 'call_1_1', name: 'news' },
      { role: 'tool', content: 'rain', tool_call_id: 'call_1_0', name: 'weather' },
      { role: 'tool', content: 'sun', tool_call_id: 'call_1_2', name: 'weather' },
    ],
  })
})

test('answers in a form', async () => {
  const { url, backend } = await startGateway((request) => say('{}', request))
  await client(url).chat({ ...asked, format: citySchema })
  await client(url).chat({ ...asked, format: 'json' })
  await client(url).generate({ model: 'bytes', prompt: 'a', format: citySchema, raw: true })
  await client(url).chat({ ...asked, format: '' })
  const schema = { type: 'json_schema', schema: citySchema, strict: false }
  expect(backend.requests.map(({ needs }) => JSON.parse(needs.grammar ?? 'null'))).toEqual([
    schema,
    { type: 'json' },
    schema,
    null,
  ])
})

test('generates, with a template or raw', async () => {
  const { url, backend } = await startGateway((request) => say('<think>Hm.</think>Rain.', request), {
    model: { format: thinkingFormat },
  })
  const ask = { model: 'bytes', prompt: 'Weather?', system: 'Be brief.' }
  const templated = await client(url).generate(ask)
  expect(templated).toMatchObject({ response: 'Rain.', thinking: 'Hm.', done: true, done_reason: 'stop' })
  const raw = await client(url).generate({ ...ask, raw: true })
  expect(raw.response).toBe('<think>Hm.</think>Rain.')
  expect(backend.requests.map(({ tokens }) => textOf([...tokens]))).toEqual([
    'system:Be brief.\nuser:Weather?\n',
    'Weather?',
  ])
  let text = ''
  for await (const { response } of await client(url).generate({ ...ask, stream: true })) text += response
  expect(text).toBe('Rain.')
})

test('embeds', async () => {
  const { url, backend } = await startGateway((request) => say('a', request), {
    model: { contextLength: 6 },
  })
  backend.vector = ({ tokens }) => Float32Array.of(3, 4, 0).map((value) => value * tokens.length)
  const many = await client(url).embed({ model: 'bytes', input: ['ab', 'abcdefghij'] })
  const rounded = many.embeddings.map((vector) => vector.map((value) => Math.round(value * 1000) / 1000))
  expect(rounded).toEqual([
    [0.6, 0.8, 0],
    [0.6, 0.8, 0],
  ])
  // The longer text is cut to what the model takes beside one token more.
  expect(many).toMatchObject({ prompt_eval_count: 3 + 5, load_duration: 0 })
  expect(many.total_duration).toBeGreaterThan(0)
  await expect(
    client(url).embed({ model: 'bytes', input: 'abcdefghij', truncate: false }),
  ).rejects.toMatchObject({ status_code: 400, error: expect.stringContaining('context length is 6') })
  expect((await client(url).embed({ model: 'bytes', input: [] })).embeddings).toEqual([])
  expect((await client(url).embed({ model: 'bytes', input: '' })).embeddings).toEqual([])
  expect((await client(url).embeddings({ model: 'bytes', prompt: 'ab' })).embedding).toHaveLength(3)
  await expect(client(url).embed({ model: 'bytes', input: 'a', dimensions: 2 })).rejects.toMatchObject({
    status_code: 400,
  })
})

test('tells what there is', async () => {
  const { url } = await startGateway((request) => say('a', request), {
    model: { format: thinkingFormat },
    options: { adapters: ['poet'] },
  })
  const { models } = await client(url).list()
  expect(models.map(({ name, model, details }) => [name, model, details.parent_model])).toEqual([
    ['bytes', 'bytes', ''],
    ['poet', 'poet', 'bytes'],
  ])
  expect(models[0]).toMatchObject({ digest: '0123456789abcdef', modified_at: '2023-11-14T22:13:20.000Z' })
  const running = await client(url).ps()
  expect(new Date(running.models[0]!.expires_at).getUTCFullYear()).toBeGreaterThan(2300)
  const shown = await client(url).show({ model: 'bytes:latest' })
  expect(shown.capabilities).toEqual(['completion', 'tools', 'embedding', 'thinking'])
  const info = shown.model_info as unknown as Record<string, unknown>
  expect(info[`${info['general.architecture']}.context_length`]).toBe(4096)
  expect((await client(url).version()).version).toMatch(/^\d+\.\d+\.\d+$/)
})

test('errors arrive with their status and words', async () => {
  const full = await startGateway(async function* () {
    yield* []
    throw new QueueFullError('64 requests wait already.', 1500)
  })
  await expect(client(full.url).chat(asked)).rejects.toMatchObject({
    status_code: 429,
    error: expect.stringContaining('64 requests'),
  })
  await expect(client(full.url).chat({ ...asked, model: 'llama' })).rejects.toMatchObject({
    status_code: 404,
    error: expect.stringContaining("'llama'"),
  })
  const broken = await startGateway(async function* (request) {
    for await (const event of say('a!', request)) {
      if (event.finish) throw new InterruptedError('a worker went away.')
      yield event
    }
  })
  const read = async () => {
    for await (const _ of await client(broken.url).chat({ ...asked, stream: true }));
  }
  await expect(read()).rejects.toThrow('a worker went away')
})

test('an abort cancels the session', async () => {
  const { url, backend } = await startGateway((request, signal) => sayAndHang('abc', request, signal))
  const ollama = client(url)
  const read = async () => {
    for await (const { message } of await ollama.chat({ ...asked, stream: true })) {
      if (message.content === 'c') ollama.abort()
    }
  }
  await expect(read()).rejects.toMatchObject({ name: 'AbortError' })
  await until(() => backend.running === 0)
})
