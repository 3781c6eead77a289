import OpenAI from 'openai'
import { expect, test } from 'vitest'
import { byteFormat } from '../testing/byte-model.ts'
import { say } from '../testing/scripted-backend.ts'
import { startGateway } from '../testing/start-gateway.ts'

const client = (url: string, apiKey = 'unused') => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 })
const messages = [{ role: 'user' as const, content: 'Hi' }]
const thinks = byteFormat('hermes', { reasoning: { open: '<think>', close: '</think>' } })

test('usage tells cached and reasoning tokens, whole and streamed', async () => {
  const { url, gateway } = await startGateway((request) => say('<think>Hm.</think>Hi', request, 5), {
    model: { format: thinks },
  })
  const details = {
    prompt_tokens_details: { cached_tokens: 5 },
    completion_tokens_details: { reasoning_tokens: 'Hm.</think>'.length },
  }
  const completion = await client(url).chat.completions.create({ model: 'bytes', messages })
  expect(completion.usage).toMatchObject(details)
  expect(completion.choices[0]!.message).toMatchObject({ content: 'Hi', reasoning_content: 'Hm.' })
  const stream = await client(url).chat.completions.create({
    model: 'bytes',
    messages,
    stream: true,
    stream_options: { include_usage: true },
  })
  let thoughts = ''
  for await (const { choices, usage } of stream) {
    thoughts += (choices[0]?.delta as { reasoning_content?: string } | undefined)?.reasoning_content ?? ''
    if (usage) expect(usage).toMatchObject(details)
  }
  expect(thoughts).toBe('Hm.')
  const metrics = await gateway.metrics.text()
  expect(metrics).toMatch(/cached_prompt_tokens_total\{model="bytes"\} 10\b/)
  expect(metrics).toMatch(/reasoning_tokens_total\{model="bytes"\} 22\b/)
})

test('metrics count calls and requests held to a form', async () => {
  const call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
  const { url, gateway } = await startGateway((request) => say(`${call}\n${call}`, request))
  await client(url).chat.completions.create({
    model: 'bytes',
    messages,
    tools: [{ type: 'function', function: { name: 'f' } }],
    tool_choice: 'required',
  })
  const metrics = await gateway.metrics.text()
  expect(metrics).toMatch(/tool_calls_total\{model="bytes"\} 2\b/)
  expect(metrics).toMatch(/constrained_requests_total\{model="bytes"\} 1\b/)
})

test('of answers to one prompt, only what none had to compute is cached', async () => {
  const { url } = await startGateway((request) => say('a', request, request.id.endsWith('.0') ? 0 : 6))
  const completion = await client(url).chat.completions.create({ model: 'bytes', messages, n: 3 })
  expect(completion.usage!.prompt_tokens_details!.cached_tokens).toBe(0)
})

test('how much to think reaches the template', async () => {
  const { post, backend } = await startGateway((request) => say('a', request), {
    model: { renderChat: ({ variables }) => JSON.stringify(variables) },
  })
  const variables = async (fields: object) => {
    const response = await post('/v1/chat/completions', { model: 'bytes', messages, ...fields })
    expect(response.status).toBe(200)
    return JSON.parse(Buffer.from(backend.requests.at(-1)!.tokens).toString())
  }
  expect(await variables({})).toEqual({})
  expect(await variables({ reasoning_effort: 'high' })).toEqual({
    reasoning_effort: 'high',
    enable_thinking: true,
    thinking: true,
  })
  expect(await variables({ reasoning_effort: 'none' })).toEqual({ enable_thinking: false, thinking: false })
  expect(await variables({ chat_template_kwargs: { enable_thinking: false, mood: 'good' } })).toEqual({
    enable_thinking: false,
    mood: 'good',
  })
})

test('keys are tenants, never told themselves', async () => {
  const { url, backend, post } = await startGateway((request) => say('a', request))
  for (const key of ['secret-one', 'secret-two', 'secret-one']) {
    await client(url, key).chat.completions.create({ model: 'bytes', messages })
  }
  await post('/v1/completions', { model: 'bytes', prompt: 'Hi' })
  const tenants = backend.requests.map(({ tenant }) => tenant)
  expect(tenants[0]).toBe(tenants[2])
  expect(tenants[0]).not.toBe(tenants[1])
  expect(tenants[3]).toBe('anonymous')
  expect(tenants.join()).not.toContain('secret')
})

test.each([
  [{}, 0],
  [{ priority: -5 }, -5],
  [{ service_tier: 'priority' }, 10],
  [{ service_tier: 'flex' }, -10],
  [{ service_tier: 'auto' }, 0],
])('priority of %j is %i', async (fields, priority) => {
  const { post, backend } = await startGateway((request) => say('a', request))
  await post('/v1/chat/completions', { model: 'bytes', messages, ...fields })
  await post('/v1/completions', { model: 'bytes', prompt: 'Hi', ...fields })
  expect(backend.requests.map((request) => request.priority)).toEqual([priority, priority])
})

test('a priority out of range is refused', async () => {
  const { post } = await startGateway((request) => say('a', request))
  const response = await post('/v1/chat/completions', { model: 'bytes', messages, priority: 101 })
  expect(await response.json()).toMatchObject({ error: { param: 'priority' } })
})

test('adapters are models with a parent', async () => {
  const { url, backend } = await startGateway((request) => say('a', request), {
    options: { adapters: ['poet', 'lawyer'] },
  })
  const { data } = await client(url).models.list()
  expect(data.map(({ id, ...rest }) => [id, (rest as { parent?: string | null }).parent])).toEqual([
    ['bytes', null],
    ['poet', 'bytes'],
    ['lawyer', 'bytes'],
  ])
  for (const model of ['bytes', 'poet']) {
    const completion = await client(url).chat.completions.create({ model, messages })
    expect(completion.model).toBe(model)
  }
  expect(backend.requests.map(({ needs }) => needs.adapter)).toEqual([null, 'poet'])
  const health = (await (await fetch(`${url}/health`)).json()) as { models: unknown[] }
  expect(health.models).toHaveLength(1)
})
