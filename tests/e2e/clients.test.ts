import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import Anthropic from '@anthropic-ai/sdk'
import { HumanMessage } from '@langchain/core/messages'
import { tool as langchainTool } from '@langchain/core/tools'
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'
import { embedMany, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'
import { Ajv } from 'ajv'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { DeosProcess } from './deos-process.ts'

/**
 * Clients that others wrote, unchanged, against a running product. The embedded model knows no manners, so what is
 * looked at is the shape of answers; where a schema holds, it must hold whatever the model would rather say.
 */

const key = 'test-key'
const home = mkdtempSync(join(tmpdir(), 'deos-clients-'))
let up: DeosProcess
let url: string
let model: string

beforeAll(async () => {
  up = new DeosProcess(home, ['--port', '0', '--workers', '2', '--even', '--api-key', key])
  ;({ url, model } = await up.ready())
})

afterAll(async () => {
  up.signal('SIGTERM')
  await up.exit
  rmSync(home, { recursive: true, force: true })
})

const weather = {
  type: 'object',
  properties: {
    city: { type: 'string', maxLength: 20 },
    unit: { enum: ['celsius', 'fahrenheit'] },
    days: { type: 'integer', minimum: 1, maximum: 7 },
  },
  required: ['city', 'unit', 'days'],
  additionalProperties: false,
} as const

const fits = new Ajv().compile(weather)
const expectWeather = (value: unknown) => expect(fits(value), JSON.stringify(value)).toBe(true)

describe('openai', () => {
  const client = () => new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 0 })
  const messages = [{ role: 'user', content: 'Weather in Paris?' }] as const
  const chat = () => ({ model, messages: [...messages], max_tokens: 200, seed: 1 })
  const tools = [
    { type: 'function', function: { name: 'get_weather', description: 'Weather', parameters: weather } },
  ] as const

  test('streams a chat with usage, and counts the cached prompt of the second one', async () => {
    const long = [{ role: 'user' as const, content: 'Ownership in Rust. '.repeat(20) }]
    const ask = async () => {
      const stream = client().chat.completions.stream({
        ...{ model, messages: long, max_tokens: 8, temperature: 0 },
        stream_options: { include_usage: true },
      })
      const whole = await stream.finalChatCompletion()
      return { text: whole.choices[0]!.message.content, usage: await stream.totalUsage() }
    }
    const first = await ask()
    const second = await ask()
    expect(first.text!.length).toBeGreaterThan(0)
    expect(second.text).toBe(first.text)
    expect(first.usage.completion_tokens).toBe(8)
    const whole = await client().chat.completions.create({ model, messages: long, max_tokens: 1 })
    const cached = whole.usage!.prompt_tokens_details!.cached_tokens!
    expect(cached).toBeGreaterThan(whole.usage!.prompt_tokens * 0.5)
    expect(cached).toBeLessThan(whole.usage!.prompt_tokens)
  })

  test('a required tool is called with arguments that fit, whole and streamed', async () => {
    const body = { ...chat(), tools: [...tools], tool_choice: 'required' as const }
    const whole = await client().chat.completions.create(body)
    expect(whole.choices[0]!.finish_reason).toBe('tool_calls')
    const call = whole.choices[0]!.message.tool_calls![0]!
    if (call.type !== 'function') throw new Error(call.type)
    expect(call.function.name).toBe('get_weather')
    expectWeather(JSON.parse(call.function.arguments))
    const streamed = await client().chat.completions.stream(body).finalChatCompletion()
    expect(streamed.choices[0]!.message.tool_calls![0]).toMatchObject({
      type: 'function',
      function: { name: 'get_weather', arguments: call.function.arguments },
    })
    const answered = await client().chat.completions.create({
      ...chat(),
      tools: [...tools],
      messages: [
        ...messages,
        whole.choices[0]!.message,
        { role: 'tool', tool_call_id: call.id, content: 'Sunny' },
      ],
    })
    expect(answered.choices[0]!.message.role).toBe('assistant')
  })

  test('a JSON schema holds', async () => {
    const answer = await client().chat.completions.parse({
      ...chat(),
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'weather', strict: true, schema: weather },
      },
    })
    expectWeather(answer.choices[0]!.message.parsed)
    const json = await client().chat.completions.create({
      ...chat(),
      response_format: { type: 'json_object' },
    })
    expect(typeof JSON.parse(json.choices[0]!.message.content!)).toBe('object')
  })

  test('responses: text, a tool, and the same as a stream', async () => {
    const text = await client().responses.create({
      model,
      input: 'Hello',
      max_output_tokens: 16,
      temperature: 0,
    })
    expect(text.output_text.length).toBeGreaterThan(0)
    const tooled = {
      ...{ model, input: 'Weather?', max_output_tokens: 200, temperature: 0 },
      tools: [{ type: 'function' as const, name: 'get_weather', parameters: weather, strict: true }],
      tool_choice: 'required' as const,
    }
    const called = await client().responses.create(tooled)
    const call = called.output.find(({ type }) => type === 'function_call')
    if (call?.type !== 'function_call') throw new Error('no call')
    expectWeather(JSON.parse(call.arguments))
    const streamed = await client().responses.stream(tooled).finalResponse()
    expect(streamed.output.find(({ type }) => type === 'function_call')).toMatchObject({
      arguments: call.arguments,
    })
  })

  test('embeddings are unit vectors, near for texts that are alike', async () => {
    const { data, usage } = await client().embeddings.create({
      model,
      input: ['fn main() {}', 'fn main() { }', 'The ownership of values'],
      encoding_format: 'float',
    })
    const [a, b, c] = data.map(({ embedding }) => embedding)
    const dot = (x: readonly number[], y: readonly number[]) =>
      x.reduce((sum, value, index) => sum + value * y[index]!, 0)
    expect(dot(a!, a!)).toBeCloseTo(1, 4)
    expect(dot(a!, b!)).toBeGreaterThan(dot(a!, c!))
    expect(usage.prompt_tokens).toBeGreaterThan(3)
    const packed = await client().embeddings.create({ model, input: 'fn main() {}' })
    expect(packed.data[0]!.embedding[0]).toBeCloseTo(a![0]!, 5)
  })

  test('errors name what is wrong, and an abort frees the ring', async () => {
    await expect(client().chat.completions.create({ ...chat(), model: 'nope' })).rejects.toMatchObject({
      status: 404,
    })
    const stranger = new OpenAI({ apiKey: 'wrong', baseURL: `${url}/v1`, maxRetries: 0 })
    await expect(stranger.models.list()).rejects.toMatchObject({ status: 401 })
    const impossible = {
      ...chat(),
      response_format: {
        type: 'json_schema' as const,
        json_schema: { name: 'odd', schema: { type: 'object', if: {}, not: {} } },
      },
    }
    await expect(client().chat.completions.create(impossible)).rejects.toMatchObject({ status: 400 })
    const short = client().chat.completions.create({
      ...{ ...chat(), max_tokens: 3 },
      response_format: { type: 'json_schema', json_schema: { name: 'weather', schema: weather } },
    })
    await expect(short).rejects.toMatchObject({ status: 400, message: expect.stringContaining('3 may be') })
    const stop = new AbortController()
    const stream = await client().chat.completions.create(
      { ...chat(), stream: true, max_tokens: 400 },
      { signal: stop.signal },
    )
    for await (const _ of stream) stop.abort()
    const after = await client().chat.completions.create({ ...chat(), max_tokens: 2 })
    expect(after.usage!.completion_tokens).toBeGreaterThan(0)
  })
})

describe('ai', () => {
  const provider = () =>
    createOpenAICompatible({
      ...{ name: 'deos', baseURL: `${url}/v1`, apiKey: key },
      supportsStructuredOutputs: true,
    })

  test('text, streams, objects, tools and embeddings', async () => {
    const whole = await generateText({
      model: provider()(model),
      prompt: 'Hello',
      maxOutputTokens: 12,
      temperature: 0,
    })
    expect(whole.text.length).toBeGreaterThan(0)
    const streamed = streamText({
      model: provider()(model),
      prompt: 'Hello',
      maxOutputTokens: 12,
      temperature: 0,
    })
    let pieces = 0
    for await (const _ of streamed.textStream) pieces += 1
    expect(pieces).toBeGreaterThan(1)
    const { object } = await generateObject({
      ...{ model: provider()(model), prompt: 'Weather', maxOutputTokens: 200 },
      schema: jsonSchema(weather),
    })
    expectWeather(object)
    const given: unknown[] = []
    const get_weather = tool({
      inputSchema: jsonSchema<{ city: string }>(weather),
      execute: async (input) => {
        given.push(input)
        return 'Sunny'
      },
    })
    await generateText({
      ...{ model: provider()(model), prompt: 'Weather?', maxOutputTokens: 200 },
      ...{ tools: { get_weather }, toolChoice: 'required', stopWhen: stepCountIs(1) },
    })
    expect(given.length).toBeGreaterThan(0)
    for (const input of given) expectWeather(input)
    const { embeddings } = await embedMany({
      model: provider().textEmbeddingModel(model),
      values: ['one', 'two'],
    })
    expect(embeddings).toHaveLength(2)
  })
})

describe('@anthropic-ai/sdk', () => {
  const client = () => new Anthropic({ apiKey: key, baseURL: url, maxRetries: 0 })
  // The client's types know no temperature any more, its API does.
  const ask = () => ({
    ...{ model, max_tokens: 200, temperature: 0 },
    messages: [{ role: 'user' as const, content: 'Weather in Paris?' }],
  })

  test('messages, streams, tools, counting and errors', async () => {
    const whole = await client().messages.create({
      ...ask(),
      max_tokens: 12,
      system: 'Be brief.',
    })
    expect(whole.content[0]).toMatchObject({ type: 'text' })
    expect(whole.usage.output_tokens).toBeGreaterThan(0)
    const streamed = await client()
      .messages.stream({ ...ask(), max_tokens: 12 })
      .finalMessage()
    expect(streamed.content[0]).toMatchObject({ type: 'text' })
    const tools = [{ name: 'get_weather', input_schema: { ...weather, required: [...weather.required] } }]
    const tooled = { ...ask(), tools, tool_choice: { type: 'any' as const } }
    const called = await client().messages.create(tooled)
    const use = called.content.find(({ type }) => type === 'tool_use')
    if (use?.type !== 'tool_use') throw new Error('no tool was used')
    expect(called.stop_reason).toBe('tool_use')
    expectWeather(use.input)
    const streamedUse = (await client().messages.stream(tooled).finalMessage()).content.find(
      ({ type }) => type === 'tool_use',
    )
    expect(streamedUse).toMatchObject({ name: 'get_weather', input: use.input })
    const answered = await client().messages.create({
      ...{ model, max_tokens: 8, tools },
      messages: [
        ...ask().messages,
        { role: 'assistant', content: called.content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: 'Sunny' }] },
      ],
    })
    expect(answered.role).toBe('assistant')
    const counted = await client().messages.countTokens({ model, messages: ask().messages })
    expect(counted.input_tokens).toBeGreaterThan(0)
    await expect(client().messages.create({ ...ask(), model: 'nope' })).rejects.toMatchObject({
      status: 404,
      error: { type: 'error', error: { type: 'not_found_error' } },
    })
  })
})

describe('ollama', () => {
  const client = () => new Ollama({ host: url, headers: { authorization: `Bearer ${key}` } })
  const messages = [{ role: 'user', content: 'Weather in Paris?' }]

  test('lists, chats, streams, keeps to a schema, embeds and reports errors', async () => {
    const { models } = await client().list()
    expect(models.map(({ name }) => name)).toContain(model)
    const options = { num_predict: 12, temperature: 0 }
    const whole = await client().chat({ model, messages, options })
    expect(whole).toMatchObject({ done: true, eval_count: 12, done_reason: 'length' })
    let pieces = 0
    for await (const part of await client().chat({
      model: `${model}:latest`,
      messages,
      options,
      stream: true,
    })) {
      if (part.message.content !== '') pieces += 1
    }
    expect(pieces).toBeGreaterThan(1)
    const formed = await client().chat({ model, messages, format: weather, options: { num_predict: 200 } })
    expectWeather(JSON.parse(formed.message.content))
    const raw = await client().generate({ model, prompt: 'fn main() {', raw: true, options })
    expect(raw.response).toMatch(/./s)
    const { embeddings } = await client().embed({ model, input: ['one', 'two'] })
    expect(embeddings).toHaveLength(2)
    await expect(client().chat({ model: 'nope', messages })).rejects.toMatchObject({ status_code: 404 })
  })
})

describe('@langchain/openai', () => {
  const configuration = () => ({ baseURL: `${url}/v1` })
  const chat = (maxTokens: number) =>
    new ChatOpenAI({
      model,
      apiKey: key,
      maxTokens,
      temperature: 0,
      maxRetries: 0,
      configuration: configuration(),
    })

  test('messages, streams, tools, structured output and embeddings', async () => {
    const whole = await chat(12).invoke([new HumanMessage('Hello')])
    expect(String(whole.content).length).toBeGreaterThan(0)
    let pieces = 0
    for await (const _ of await chat(12).stream('Hello')) pieces += 1
    expect(pieces).toBeGreaterThan(1)
    const get_weather = langchainTool(async () => 'Sunny', {
      name: 'get_weather',
      description: 'Weather',
      schema: z.object({ city: z.string().max(20), days: z.number().int().min(1).max(7) }),
    })
    const called = await chat(200).bindTools([get_weather], { tool_choice: 'required' }).invoke('Weather?')
    expect(called.tool_calls?.[0]).toMatchObject({ name: 'get_weather' })
    const structured = await chat(200)
      .withStructuredOutput(weather as unknown as Record<string, unknown>, {
        method: 'jsonSchema',
        strict: true,
      })
      .invoke('Weather?')
    expectWeather(structured)
    const vectors = await new OpenAIEmbeddings({
      ...{ model, apiKey: key, maxRetries: 0, configuration: configuration() },
    }).embedDocuments(['one', 'two'])
    expect(vectors).toHaveLength(2)
  })
})

test('a ring of one worker, which runs a step ahead, keeps to schemas and stops where it should', async () => {
  const own = mkdtempSync(join(tmpdir(), 'deos-alone-'))
  const alone = new DeosProcess(own, ['--port', '0', '--workers', '1', '--even'])
  try {
    const ready = await alone.ready()
    const client = new OpenAI({ apiKey: 'none', baseURL: `${ready.url}/v1`, maxRetries: 0 })
    const ask = (seed: number) =>
      client.chat.completions.create({
        ...{ model: ready.model, messages: [{ role: 'user', content: 'Weather?' }], max_tokens: 120, seed },
        response_format: { type: 'json_schema', json_schema: { name: 'weather', schema: weather } },
      })
    for (const answer of await Promise.all([1, 2, 3, 4, 5, 6].map(ask))) {
      expectWeather(JSON.parse(answer.choices[0]!.message.content!))
    }
    const text = await client.completions.create({
      ...{ model: ready.model, prompt: 'Ownership', max_tokens: 40, temperature: 0, stop: [' the'] },
    })
    expect(text.choices[0]!.text).not.toContain(' the')
  } finally {
    alone.signal('SIGTERM')
    await alone.exit
    rmSync(own, { recursive: true, force: true })
  }
})
