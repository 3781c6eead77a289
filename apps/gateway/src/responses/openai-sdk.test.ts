import OpenAI from 'openai'
import { expect, test } from 'vitest'
import { QueueFullError } from '../inference/errors.ts'
import { textOf } from '../testing/byte-model.ts'
import { calling, citySchema, thinkingFormat } from '../testing/said.ts'
import { say, sayAndHang } from '../testing/scripted-backend.ts'
import { startGateway, until } from '../testing/start-gateway.ts'

const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 })
const asked = { model: 'bytes', input: 'Weather?' }
const tools = [{ type: 'function' as const, name: 'weather', parameters: citySchema, strict: false }]
const oslo = calling('weather', '{"city": "Oslo"}')
const long = { contextLength: 8192 }

test('creates a response', async () => {
  const { url, backend } = await startGateway((request) => say('Rain.', request, 4))
  const response = await client(url).responses.create({
    ...asked,
    instructions: 'Be brief.',
    temperature: 0.5,
    metadata: { a: 'b' },
    max_output_tokens: 50,
    service_tier: 'priority',
    store: false,
    include: ['reasoning.encrypted_content'],
  })
  expect(response.output_text).toBe('Rain.')
  expect(response).toMatchObject({
    status: 'completed',
    instructions: 'Be brief.',
    temperature: 0.5,
    metadata: { a: 'b' },
    usage: { input_tokens: 31, input_tokens_details: { cached_tokens: 4 }, output_tokens: 6 },
  })
  expect(textOf([...backend.requests[0]!.tokens])).toBe('system:Be brief.\nuser:Weather?\n')
  expect(backend.requests[0]).toMatchObject({ maxTokens: 50, priority: 10 })
})

test('streams text, thoughts and calls as its helper puts them together', async () => {
  const { url } = await startGateway(
    (request) => say(`<think>Hm.</think>I look.\n${oslo}\n${oslo}`, request),
    {
      model: { ...long, format: thinkingFormat },
    },
  )
  const stream = client(url).responses.stream({ ...asked, tools })
  const seen = { text: '', thoughts: '', calls: 0 }
  stream.on('response.output_text.delta', ({ delta }) => {
    seen.text += delta
  })
  stream.on('response.reasoning_text.delta', ({ delta }) => {
    seen.thoughts += delta
  })
  stream.on('response.function_call_arguments.done', () => {
    seen.calls += 1
  })
  const response = await stream.finalResponse()
  expect(seen).toEqual({ text: 'I look.', thoughts: 'Hm.', calls: 2 })
  expect(response.output_text).toBe('I look.')
  expect(response.output.map(({ type }) => type)).toEqual([
    'reasoning',
    'message',
    'function_call',
    'function_call',
  ])
})

test('hands calls, results and thoughts back to the model', async () => {
  const { url, backend } = await startGateway(
    (request) => say(backend.requests.length === 1 ? `<think>Hm.</think>${oslo}` : 'It rains.', request),
    {
      model: {
        ...long,
        format: {
          ...thinkingFormat,
          abilities: { ...thinkingFormat.abilities, calls: true, results: true, tools: true },
        },
        renderChat: (conversation) => JSON.stringify(conversation),
      },
    },
  )
  const { responses } = client(url)
  const input: OpenAI.Responses.ResponseInput = [
    { role: 'developer', content: 'Be brief.' },
    { role: 'user', content: [{ type: 'input_text', text: 'Weather?' }] },
  ]
  const first = await responses.create({ ...asked, input, tools })
  const [, call] = first.output as [unknown, OpenAI.Responses.ResponseFunctionToolCall]
  expect(call.arguments).toBe('{"city": "Oslo"}')
  const second = await responses.create({
    ...asked,
    input: [
      ...input,
      ...(first.output as OpenAI.Responses.ResponseInput),
      { type: 'function_call_output', call_id: call.call_id, output: [{ type: 'input_text', text: 'rain' }] },
      { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'x' },
    ],
    tools,
  })
  expect(second.output_text).toBe('It rains.')
  const { messages } = JSON.parse(textOf([...backend.requests[1]!.tokens])) as { messages: object[] }
  expect(messages).toMatchObject([
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Weather?' },
    {
      role: 'assistant',
      content: '',
      reasoning_content: 'Hm.',
      tool_calls: [{ id: call.call_id, function: { name: 'weather', arguments: '{"city": "Oslo"}' } }],
    },
    { role: 'tool', content: 'rain', tool_call_id: call.call_id, name: 'weather' },
  ])
  expect(messages).toHaveLength(4)
})

test('choices of tools and forms are held to grammars', async () => {
  const { url, backend } = await startGateway((request) => say(oslo, request), { model: long })
  const grammar = () => JSON.parse(backend.requests.at(-1)!.needs.grammar ?? 'null')
  const { responses } = client(url)
  const two = [...tools, { ...tools[0]!, name: 'news' }]
  await responses.create({ ...asked, tools, tool_choice: 'required' })
  expect(grammar().format).toMatchObject({ type: 'tags_with_separator', at_least_one: true })
  await responses.create({ ...asked, tools, tool_choice: { type: 'function', name: 'weather' } })
  expect(grammar().format).toMatchObject({ type: 'tag', content: { json_schema: citySchema } })
  const allowed = await responses.create({
    ...asked,
    tools: two,
    tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'news' }] },
  })
  expect(textOf([...backend.requests.at(-1)!.tokens])).not.toContain('"weather"')
  expect(allowed.tools).toHaveLength(2)
})

test('parses an answer of a form', async () => {
  const { url, backend } = await startGateway((request) => say('{"city": "Oslo"}', request))
  const response = await client(url).responses.parse({
    ...asked,
    text: { format: { type: 'json_schema', name: 'place', schema: citySchema, strict: true } },
  })
  expect(JSON.parse(response.output_text)).toEqual({ city: 'Oslo' })
  expect(response.text!.format).toMatchObject({ type: 'json_schema', name: 'place', schema: citySchema })
  await client(url).responses.create({ ...asked, text: { format: { type: 'json_object' } } })
  expect(backend.requests.map(({ needs }) => JSON.parse(needs.grammar!))).toEqual([
    { type: 'json_schema', schema: citySchema, strict: true },
    { type: 'json' },
  ])
})

test('errors arrive as their own kinds', async () => {
  const full = await startGateway(async function* () {
    yield* []
    throw new QueueFullError('64 requests wait already.', 1500)
  })
  const limited = await client(full.url)
    .responses.create(asked)
    .catch((error: unknown) => error)
  expect(limited).toBeInstanceOf(OpenAI.RateLimitError)
  expect((limited as InstanceType<typeof OpenAI.APIError>).headers!.get('retry-after')).toBe('2')
  await expect(client(full.url).responses.create({ ...asked, model: 'gpt-5' })).rejects.toMatchObject({
    status: 404,
    code: 'model_not_found',
    param: 'model',
  })
})

test('an abort cancels the session', async () => {
  const { url, backend } = await startGateway((request, signal) => sayAndHang('abc', request, signal))
  const stream = await client(url).responses.create({ ...asked, stream: true })
  for await (const event of stream) {
    if (event.type === 'response.output_text.delta' && event.delta === 'c') stream.controller.abort()
  }
  await until(() => backend.running === 0)
})

test.each([
  [{}, {}],
  [{ reasoning: { effort: 'none' } }, { enable_thinking: false, thinking: false }],
  [
    { reasoning: { effort: 'high', summary: 'auto' } },
    { enable_thinking: true, thinking: true, reasoning_effort: 'high' },
  ],
])('how much to think: %j', async (fields, variables) => {
  const { post, backend } = await startGateway((request) => say('a', request), {
    model: { renderChat: (conversation) => JSON.stringify(conversation.variables) },
  })
  expect((await post('/v1/responses', { ...asked, ...fields })).status).toBe(200)
  expect(JSON.parse(textOf([...backend.requests[0]!.tokens]))).toEqual(variables)
})

const user = { role: 'user', content: 'Hi' }

test.each([
  [{ input: undefined }, 'input'],
  [{ input: [] }, 'input'],
  [{ input: [5] }, 'input'],
  [{ input: [{ type: 'reasoning', summary: [] }] }, 'input'],
  [{ input: [{ role: 'tool', content: 'x' }] }, 'input[0].role'],
  [{ input: [user, { role: 'user' }] }, 'input[1].content'],
  [{ input: [{ role: 'user', content: [{ type: 'input_text' }] }] }, 'input[0].content[0].text'],
  [{ input: [{ role: 'user', content: [{ type: 'input_image' }] }] }, 'input[0].content[0].type'],
  [{ input: [user, { type: 'item_reference', id: 'x' }] }, 'input[1].type'],
  [{ input: [user, { type: 'computer_call' }] }, 'input[1].type'],
  [{ input: [user, { type: 'function_call', name: 'a', arguments: '{}' }] }, 'input[1].call_id'],
  [{ input: [user, { type: 'function_call_output', call_id: 'a' }] }, 'input[1].output'],
  [{ max_output_tokens: 0 }, 'max_output_tokens'],
  [{ tools: [{ type: 'web_search' }] }, 'tools[0].type'],
  [{ tools: [{ type: 'function' }] }, 'tools[0].name'],
  [{ tools: [{ type: 'function', name: 'a b' }] }, 'tools[0].name'],
  [{ tools: [...tools, ...tools] }, 'tools[1]'],
  [{ tools, tool_choice: { type: 'function', name: 'other' } }, 'tool_choice'],
  [{ tools, tool_choice: { type: 'web_search' } }, 'tool_choice'],
  [{ text: { format: { type: 'json_schema', name: 'a' } } }, 'text.format.schema'],
  [{ text: { format: { type: 'xml' } } }, 'text.format'],
  [
    { text: { format: { type: 'json_schema', name: 'a', schema: { type: 'colour' } } } },
    'text.format.schema',
  ],
  [{ reasoning: { effort: 'huge' } }, 'reasoning.effort'],
  [{ previous_response_id: 'resp_1' }, 'previous_response_id'],
  [{ conversation: 'conv_1' }, 'conversation'],
  [{ prompt: { id: 'pmpt_1' } }, 'prompt'],
  [{ background: true }, 'background'],
  [{ truncation: 'auto' }, 'truncation'],
  [{ top_logprobs: 3 }, 'top_logprobs'],
  [{ include: ['message.output_text.logprobs'] }, 'include'],
])('%j is refused, naming %s', async (fields, param) => {
  const { post, backend } = await startGateway((request) => say('a', request))
  const response = await post('/v1/responses', { ...asked, ...fields })
  const { error } = (await response.json()) as { error: { param: string } }
  expect([response.status, error.param.slice(0, param.length)]).toEqual([400, param])
  expect(backend.requests).toHaveLength(0)
})
