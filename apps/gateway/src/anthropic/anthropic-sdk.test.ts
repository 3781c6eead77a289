import Anthropic from '@anthropic-ai/sdk'
import { expect, test } from 'vitest'
import { QueueFullError } from '../inference/errors.ts'
import { textOf } from '../testing/byte-model.ts'
import { calling, citySchema, thinkingFormat } from '../testing/said.ts'
import { say, sayAndHang } from '../testing/scripted-backend.ts'
import { startGateway, until } from '../testing/start-gateway.ts'

const client = (url: string) => new Anthropic({ baseURL: url, apiKey: 'unused', maxRetries: 0 })
const asked = {
  model: 'bytes',
  max_tokens: 500,
  messages: [{ role: 'user' as const, content: 'Weather?' }],
}
const tools = [{ name: 'weather', description: 'Tells the weather.', input_schema: citySchema }]
const oslo = calling('weather', '{"city": "Oslo"}')
const long = { contextLength: 8192 }

test('creates a message', async () => {
  const { url, backend } = await startGateway((request) => say('Rain.', request, 5))
  const message = await client(url).messages.create({
    ...asked,
    system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
    // Older clients still send them.
    ...{ temperature: 0.5, top_k: 3 },
    metadata: { user_id: 'someone' },
  })
  expect(message).toMatchObject({
    type: 'message',
    role: 'assistant',
    content: [{ type: 'text', text: 'Rain.' }],
    stop_reason: 'end_turn',
    usage: {
      input_tokens: 'system:Be brief.\nuser:Weather?\n'.length - 5,
      cache_read_input_tokens: 5,
      output_tokens: 6,
    },
  })
  expect(message._request_id).toMatch(/^req-/)
  expect(textOf([...backend.requests[0]!.tokens])).toBe('system:Be brief.\nuser:Weather?\n')
  expect(backend.requests[0]).toMatchObject({ maxTokens: 500, sampling: { temperature: 0.5, topK: 3 } })
})

test('streams text, thoughts and calls as its helper puts them together', async () => {
  const { url } = await startGateway(
    (request) => say(`<think>Hm.</think>I look.\n${oslo}\n${oslo}`, request, 7),
    {
      model: { ...long, format: thinkingFormat },
    },
  )
  const stream = client(url).messages.stream({ ...asked, tools })
  const seen = { text: '', thoughts: '', inputs: [] as unknown[] }
  stream.on('text', (text) => {
    seen.text += text
  })
  stream.on('thinking', (text) => {
    seen.thoughts += text
  })
  stream.on('contentBlock', (block) => {
    if (block.type === 'tool_use') seen.inputs.push(block.input)
  })
  const message = await stream.finalMessage()
  expect(seen).toEqual({
    text: 'I look.',
    thoughts: 'Hm.',
    inputs: [{ city: 'Oslo' }, { city: 'Oslo' }],
  })
  expect(message.content.map(({ type }) => type)).toEqual(['thinking', 'text', 'tool_use', 'tool_use'])
  expect(message.stop_reason).toBe('tool_use')
  expect(message.usage).toMatchObject({
    cache_read_input_tokens: 7,
    output_tokens_details: { thinking_tokens: 'Hm.</think>'.length },
  })
  const whole = await client(url).messages.create({ ...asked, tools })
  const unnamed = (content: typeof whole.content) =>
    content.map((block) => ({ ...block, ...('id' in block && { id: '' }) }))
  expect(unnamed(message.content)).toEqual(unnamed(whole.content))
})

test('hands calls, results and thoughts back to the model', async () => {
  const { url, backend } = await startGateway((request) => say('It rains.', request), {
    model: {
      ...long,
      format: {
        ...thinkingFormat,
        abilities: { ...thinkingFormat.abilities, calls: true, results: true, tools: true },
      },
      renderChat: (conversation) => JSON.stringify(conversation),
    },
  })
  await client(url).messages.create({
    ...asked,
    tools,
    messages: [
      { role: 'user', content: 'Hello.' },
      { role: 'user', content: [{ type: 'text', text: 'Weather?' }] },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'Hm.', signature: 'x' },
          { type: 'redacted_thinking', data: 'x' },
          { type: 'tool_use', id: 'a', name: 'weather', input: { city: 'Oslo' } },
          { type: 'tool_use', id: 'b', name: 'weather', input: { city: 'Rome' } },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'rain' }] },
          { type: 'tool_result', tool_use_id: 'b', content: 'no such city', is_error: true },
          {
            type: 'document',
            title: 'Notes',
            source: { type: 'text', media_type: 'text/plain', data: 'Sun tomorrow.' },
          },
          { type: 'text', text: 'And?' },
        ],
      },
    ],
  })
  const call = (id: string, city: string) => ({
    id,
    type: 'function',
    function: { name: 'weather', arguments: JSON.stringify({ city }) },
  })
  expect(JSON.parse(textOf([...backend.requests[0]!.tokens]))).toMatchObject({
    messages: [
      { role: 'user', content: 'Hello.\n\nWeather?' },
      {
        role: 'assistant',
        content: '',
        reasoning_content: 'Hm.',
        tool_calls: [call('a', 'Oslo'), call('b', 'Rome')],
      },
      { role: 'tool', content: 'rain', tool_call_id: 'a', name: 'weather' },
      { role: 'tool', content: 'Error: no such city', tool_call_id: 'b', name: 'weather' },
      { role: 'user', content: 'Notes\nSun tomorrow.\nAnd?' },
    ],
    tools: [{ type: 'function', function: { name: 'weather', parameters: citySchema } }],
  })
})

test('runs its tools', async () => {
  const { url, backend } = await startGateway(
    (request) => say(backend.requests.length === 1 ? oslo : 'It rains.', request),
    { model: long },
  )
  const message = await client(url).beta.messages.toolRunner({
    ...asked,
    tools: [
      {
        ...tools[0]!,
        run: async (given) => `rain in ${(given as { city: string }).city}`,
        parse: (given) => given,
      },
    ],
  })
  expect(message.content).toMatchObject([{ type: 'text', text: 'It rains.' }])
  expect(textOf([...backend.requests[1]!.tokens])).toContain('rain in Oslo')
})

test('choices of tools and forms are held to grammars', async () => {
  const { url, backend } = await startGateway((request) => say(oslo, request), { model: long })
  const grammar = () => JSON.parse(backend.requests.at(-1)!.needs.grammar ?? 'null')
  const { messages } = client(url)
  await messages.create({ ...asked, tools, tool_choice: { type: 'any' } })
  expect(grammar().format).toMatchObject({ type: 'tags_with_separator', at_least_one: true })
  await messages.create({ ...asked, tools, tool_choice: { type: 'tool', name: 'weather' } })
  expect(grammar().format).toMatchObject({ type: 'tag', content: { json_schema: citySchema } })
  await messages.create({ ...asked, tools, tool_choice: { type: 'none' } })
  expect(grammar()).toBeNull()
  expect(textOf([...backend.requests.at(-1)!.tokens])).toBe('user:Weather?\n')
})

test('one call at most, if so asked', async () => {
  const { url, backend } = await startGateway(
    (request, signal) => sayAndHang(`${oslo}\n${oslo}`, request, signal),
    { model: long },
  )
  const message = await client(url).messages.create({
    ...asked,
    tools,
    tool_choice: { type: 'auto', disable_parallel_tool_use: true },
  })
  expect(message.content).toHaveLength(1)
  await until(() => backend.running === 0)
})

test('parses an answer of a form', async () => {
  const { url, backend } = await startGateway((request) => say('{"city": "Oslo"}', request))
  const message = await client(url).messages.create({
    ...asked,
    output_config: { format: { type: 'json_schema', schema: citySchema } },
  })
  expect(message.content).toMatchObject([{ text: '{"city": "Oslo"}' }])
  expect(JSON.parse(backend.requests[0]!.needs.grammar!)).toEqual({
    type: 'json_schema',
    schema: citySchema,
    strict: true,
  })
})

test('counts tokens', async () => {
  const { url, backend } = await startGateway((request) => say('a', request))
  const { input_tokens } = await client(url).messages.countTokens({
    model: 'bytes',
    messages: asked.messages,
    system: 'Be brief.',
  })
  expect(input_tokens).toBe('system:Be brief.\nuser:Weather?\n'.length)
  expect(backend.requests).toHaveLength(0)
})

test.each([
  [{}, { enable_thinking: false, thinking: false }],
  [{ thinking: { type: 'disabled' } }, { enable_thinking: false, thinking: false }],
  [{ thinking: { type: 'enabled', budget_tokens: 2000 } }, { enable_thinking: true, thinking: true }],
  [
    { thinking: { type: 'adaptive' }, output_config: { effort: 'max' } },
    { enable_thinking: true, thinking: true, reasoning_effort: 'high' },
  ],
])('how much to think: %j', async (fields, variables) => {
  const { post, backend } = await startGateway((request) => say('a', request), {
    model: { renderChat: (conversation) => JSON.stringify(conversation.variables) },
  })
  expect((await post('/v1/messages', { ...asked, ...fields })).status).toBe(200)
  expect(JSON.parse(textOf([...backend.requests[0]!.tokens]))).toEqual(variables)
})

test('errors arrive as their own kinds', async () => {
  const full = await startGateway(async function* () {
    yield* []
    throw new QueueFullError('64 requests wait already.', 1500)
  })
  const limited = await client(full.url)
    .messages.create(asked)
    .catch((error: unknown) => error)
  expect(limited).toBeInstanceOf(Anthropic.RateLimitError)
  expect((limited as InstanceType<typeof Anthropic.APIError>).headers!.get('retry-after')).toBe('2')
  const unknown = await client(full.url)
    .messages.create({ ...asked, model: 'claude' })
    .catch((error: unknown) => error)
  expect(unknown).toBeInstanceOf(Anthropic.NotFoundError)
  expect(unknown).toMatchObject({
    requestID: expect.stringMatching(/^req-/),
    error: {
      type: 'error',
      error: { type: 'not_found_error', message: expect.stringContaining("'claude'") },
      request_id: null,
    },
  })
  const locked = await startGateway((request) => say('a', request), { options: { apiKey: 'right' } })
  const denied = await client(locked.url)
    .messages.create(asked)
    .catch((error: unknown) => error)
  expect(denied).toBeInstanceOf(Anthropic.AuthenticationError)
  expect(denied).toMatchObject({ error: { error: { type: 'authentication_error' } } })
  const allowed = new Anthropic({ baseURL: locked.url, apiKey: 'right', maxRetries: 0 })
  expect((await allowed.messages.create(asked)).content).toHaveLength(1)
})

test('an abort cancels the session', async () => {
  const { url, backend } = await startGateway((request, signal) => sayAndHang('abc', request, signal))
  const stream = client(url).messages.stream(asked)
  stream.on('text', (_, all) => {
    if (all === 'abc') stream.abort()
  })
  await expect(stream.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIUserAbortError)
  await until(() => backend.running === 0)
})

test.each([
  [{ max_tokens: undefined }, 'max_tokens'],
  [{ max_tokens: 0 }, 'max_tokens'],
  [{ messages: [] }, 'messages'],
  [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role'],
  [{ messages: [{ role: 'user', content: 5 }] }, 'messages[0].content'],
  [{ messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages[0].content[0].text'],
  [{ messages: [{ role: 'user', content: [{ type: 'image', source: {} }] }] }, 'messages[0].content[0].type'],
  [
    { messages: [{ role: 'user', content: [{ type: 'document', source: { type: 'url', url: 'x' } }] }] },
    'messages[0].content[0].source.type',
  ],
  [
    { messages: [{ role: 'user', content: [{ type: 'tool_result', content: 'x' }] }] },
    'messages[0].content[0].tool_use_id',
  ],
  [
    { messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: [5] }] }] },
    'messages[0].content[0].content[0]',
  ],
  [
    {
      messages: [
        { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'b', input: 'c' }] },
        { role: 'user', content: 'x' },
      ],
    },
    'messages[0].content[0].input',
  ],
  [{ messages: [...asked.messages, { role: 'assistant', content: 'It' }] }, 'messages[1]'],
  [{ system: [{ type: 'image' }] }, 'system[0].type'],
  [{ tools: [{ name: 'a' }] }, 'tools[0].input_schema'],
  [{ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 'tools[0].type'],
  [{ tools: [...tools, ...tools] }, 'tools[1]'],
  [{ tools, tool_choice: { type: 'tool' } }, 'tool_choice.name'],
  [{ tools, tool_choice: { type: 'tool', name: 'other' } }, 'tool_choice'],
  [{ thinking: { type: 'sometimes' } }, 'thinking.type'],
  [{ output_config: { effort: 'huge' } }, 'output_config.effort'],
  [
    { output_config: { format: { type: 'json_schema', schema: { type: 'colour' } } } },
    'output_config.format.schema',
  ],
  [{ mcp_servers: [{ url: 'x' }] }, 'mcp_servers'],
])('%j is refused, naming %s', async (fields, param) => {
  const { post, backend } = await startGateway((request) => say('a', request))
  const response = await post('/v1/messages', { ...asked, ...fields })
  expect(response.status).toBe(400)
  const body = (await response.json()) as { error: { type: string; message: string } }
  expect(body).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } })
  expect(backend.requests).toHaveLength(0)
  expect(body.error.message).toContain(param)
})
