import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { DeadlineError, InterruptedError, NotReadyError, QueueFullError } from '../inference/errors.ts'
import { END } from '../testing/byte-model.ts'
import { say, sayAndHang } from '../testing/scripted-backend.ts'
import { startGateway, until } from '../testing/start-gateway.ts'

const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 })
const messages = [{ role: 'user' as const, content: 'Hi' }]

describe('the openai client', () => {
  test('chats', async () => {
    const { url, backend } = await startGateway((request) => say('Grüße', request))
    const completion = await client(url).chat.completions.create({
      model: 'bytes',
      messages: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
      ],
      seed: 7,
    })
    expect(completion).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/),
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'bytes',
      system_fingerprint: 'fp_0123456789ab',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Grüße', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 'system:Be brief.\nuser:Hi\n'.length,
        completion_tokens: 8,
        total_tokens: 33,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    })
    expect(Buffer.from(backend.requests[0]!.tokens).toString()).toBe('system:Be brief.\nuser:Hi\n')
    expect(backend.requests[0]).toMatchObject({
      stopTokens: [END],
      sampling: { seed: '7', temperature: 1, topP: 1, logprobs: null },
    })
  })

  test('streams with role, whole characters, finish and usage', async () => {
    const { url } = await startGateway((request) => say('Hé 👋', request))
    const stream = await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    })
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    expect(chunks[0]!.choices[0]!.delta).toEqual({ role: 'assistant', content: '', refusal: null })
    expect(chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? ''))).toEqual([
      '',
      'H',
      'é',
      ' ',
      '👋',
      '',
    ])
    expect(chunks.at(-2)!.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' })
    expect(chunks.at(-2)!.usage).toBeNull()
    expect(chunks.at(-1)).toMatchObject({
      object: 'chat.completion.chunk',
      choices: [],
      usage: { prompt_tokens: 8, completion_tokens: 9, total_tokens: 17 },
    })
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1)
  })

  test('leaves usage out of a stream unless asked', async () => {
    const { url } = await startGateway((request) => say('a', request))
    const stream = await client(url).chat.completions.create({ model: 'bytes', messages, stream: true })
    for await (const chunk of stream) {
      expect(chunk).not.toHaveProperty('usage')
      expect(chunk.choices).toHaveLength(1)
    }
  })

  test('reports log-probabilities', async () => {
    const { url } = await startGateway((request) => say('é', request))
    const completion = await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      logprobs: true,
      top_logprobs: 2,
    })
    const half = Math.log(0.5)
    expect(completion.choices[0]!.logprobs!.content).toEqual([
      {
        token: 'bytes:\\xc3',
        logprob: half,
        bytes: [0xc3],
        top_logprobs: [
          { token: 'bytes:\\xc3', logprob: half, bytes: [0xc3] },
          { token: 'bytes:\\xc4', logprob: 2 * half, bytes: [0xc4] },
        ],
      },
      {
        token: 'bytes:\\xa9',
        logprob: half,
        bytes: [0xa9],
        top_logprobs: [
          { token: 'bytes:\\xa9', logprob: half, bytes: [0xa9] },
          { token: 'bytes:\\xaa', logprob: 2 * half, bytes: [0xaa] },
        ],
      },
    ])
  })

  test('streams each log-probability once, none of the cut text', async () => {
    const { url } = await startGateway((request) => say('abSTOPc', request))
    const stream = await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      logprobs: true,
      stop: ['STOP'],
      stream: true,
    })
    const tokens: string[] = []
    let text = ''
    for await (const { choices } of stream) {
      text += choices[0]!.delta.content ?? ''
      tokens.push(...(choices[0]!.logprobs?.content ?? []).map(({ token }) => token))
    }
    expect(text).toBe('ab')
    expect(tokens).toEqual(['a', 'b'])
  })

  test('cuts at a stop string and cancels the rest', async () => {
    const { url, backend } = await startGateway((request, signal) =>
      sayAndHang('one\ntwo###three', request, signal),
    )
    const completion = await client(url).chat.completions.create({ model: 'bytes', messages, stop: '###' })
    expect(completion.choices[0]).toMatchObject({ message: { content: 'one\ntwo' }, finish_reason: 'stop' })
    expect(completion.usage!.completion_tokens).toBe('one\ntwo###'.length)
    await until(() => backend.running === 0)
  })

  test('ends at max_completion_tokens with "length"', async () => {
    const { url, backend } = await startGateway((request) => say('abcdef', request))
    const completion = await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      max_completion_tokens: 3,
    })
    expect(completion.choices[0]).toMatchObject({ message: { content: 'abc' }, finish_reason: 'length' })
    expect(backend.requests[0]!.maxTokens).toBe(3)
  })

  test('takes what the context leaves when asked for more', async () => {
    const { url, backend } = await startGateway((request) => say('a', request), {
      model: { contextLength: 20 },
    })
    await client(url).chat.completions.create({ model: 'bytes', messages, max_tokens: 5000 })
    await client(url).chat.completions.create({ model: 'bytes', messages })
    expect(backend.requests.map(({ maxTokens }) => maxTokens)).toEqual([12, 12])
  })

  test('writes n answers with seeds one apart', async () => {
    const { url, backend } = await startGateway((request) => say(request.sampling.seed, request))
    const completion = await client(url).chat.completions.create({ model: 'bytes', messages, n: 3, seed: -1 })
    expect(completion.choices.map(({ index, message }) => [index, message.content])).toEqual([
      [0, '18446744073709551615'],
      [1, '0'],
      [2, '1'],
    ])
    expect(new Set(backend.requests.map(({ id }) => id)).size).toBe(3)
  })

  test('draws a seed when none is given', async () => {
    const { url, backend } = await startGateway((request) => say('a', request))
    for (let call = 0; call < 2; call++)
      await client(url).chat.completions.create({ model: 'bytes', messages })
    expect(new Set(backend.requests.map(({ sampling }) => sampling.seed)).size).toBe(2)
  })

  test('one failing answer cancels the others and answers with the error', async () => {
    const { url, backend } = await startGateway(async function* (request, signal) {
      if (request.id.endsWith('.1')) throw new InterruptedError('a worker went away.')
      yield* sayAndHang('a', request, signal)
    })
    await expect(
      client(url).chat.completions.create({ model: 'bytes', messages, n: 3 }),
    ).rejects.toMatchObject({ status: 503, code: 'interrupted' })
    await until(() => backend.running === 0)
    expect(backend.ended).toHaveLength(3)
  })

  test('passes sampling on, with the model’s own taste as default', async () => {
    const { url, backend } = await startGateway((request) => say('a', request), {
      model: { defaults: { temperature: 0.6, topP: 0.9 } },
    })
    await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      temperature: 0,
      presence_penalty: 1,
      frequency_penalty: -1,
      logit_bias: { '65': 100, '66': -100 },
      ...{ top_k: 5, min_p: 0.1, repetition_penalty: 1.1, ignore_eos: true },
    })
    expect(backend.requests[0]).toMatchObject({
      stopTokens: [],
      sampling: {
        temperature: 0,
        topP: 0.9,
        topK: 5,
        minP: 0.1,
        repetitionPenalty: 1.1,
        presencePenalty: 1,
        frequencyPenalty: -1,
        logitBias: [
          [65, 100],
          [66, -100],
        ],
      },
    })
  })

  test('an abort cancels the session', async () => {
    const { url, backend } = await startGateway((request, signal) => sayAndHang('abc', request, signal))
    const stream = await client(url).chat.completions.create({ model: 'bytes', messages, stream: true })
    for await (const { choices } of stream) {
      if (choices[0]!.delta.content === 'c') stream.controller.abort()
    }
    await until(() => backend.running === 0)
  })

  test('an abort before the answer cancels the session too', async () => {
    const { url, backend } = await startGateway((request, signal) => sayAndHang('abc', request, signal))
    const controller = new AbortController()
    const pending = client(url).chat.completions.create(
      { model: 'bytes', messages },
      { signal: controller.signal },
    )
    await until(() => backend.running === 1)
    controller.abort()
    await expect(pending).rejects.toBeInstanceOf(OpenAI.APIUserAbortError)
    await until(() => backend.running === 0)
  })
})

describe('errors reach the openai client typed', () => {
  test('unknown model', async () => {
    const { url } = await startGateway((request) => say('a', request))
    const error = await failure(client(url).chat.completions.create({ model: 'gpt-4o', messages }))
    expect(error).toBeInstanceOf(OpenAI.NotFoundError)
    expect(error).toMatchObject({ code: 'model_not_found', type: 'invalid_request_error', param: 'model' })
    expect(error.message).toContain("'gpt-4o'")
  })

  test('full queue, with the time to wait', async () => {
    const { url } = await startGateway(async function* () {
      yield* []
      throw new QueueFullError('64 requests wait already.', 1500)
    })
    const error = await failure(
      client(url).chat.completions.create({ model: 'bytes', messages, stream: true }),
    )
    expect(error).toBeInstanceOf(OpenAI.RateLimitError)
    expect(error.headers!.get('retry-after')).toBe('2')
    expect(error.code).toBe('rate_limit_exceeded')
  })

  test('a ring that is not ready', async () => {
    const { url } = await startGateway(async function* () {
      yield* []
      throw new NotReadyError('2 of 4 workers are loading.', 1000)
    })
    const error = await failure(client(url).chat.completions.create({ model: 'bytes', messages }))
    expect(error).toBeInstanceOf(OpenAI.InternalServerError)
    expect(error).toMatchObject({ status: 503, code: 'not_ready' })
    expect(error.headers!.get('retry-after')).toBe('1')
  })

  test('a deadline of the backend', async () => {
    const { url } = await startGateway(async function* () {
      yield* []
      throw new DeadlineError(1000)
    })
    const error = await failure(client(url).chat.completions.create({ model: 'bytes', messages }))
    expect(error).toMatchObject({ status: 504, code: 'deadline_exceeded' })
  })

  test('a deadline of the gateway', async () => {
    const { url, backend } = await startGateway((request, signal) => sayAndHang('a', request, signal), {
      options: { requestTimeoutMs: 5 },
    })
    const error = await failure(client(url).chat.completions.create({ model: 'bytes', messages }))
    expect(error).toMatchObject({ status: 504, code: 'deadline_exceeded' })
    expect(backend.requests[0]!.deadlineMs).toBe(5)
    await until(() => backend.running === 0)
  })

  test('a prompt that is too long', async () => {
    const { url, backend } = await startGateway((request) => say('a', request), {
      model: { contextLength: 8 },
    })
    const error = await failure(client(url).chat.completions.create({ model: 'bytes', messages }))
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(error.code).toBe('context_length_exceeded')
    expect(error.message).toMatch(/8 tokens.*8 tokens/)
    expect(backend.requests).toHaveLength(0)
  })

  test('a bug keeps its details to itself', async () => {
    const { url } = await startGateway(async function* () {
      yield* []
      throw new TypeError('inner detail')
    })
    const error = await failure(client(url).chat.completions.create({ model: 'bytes', messages }))
    expect(error).toMatchObject({ status: 500, type: 'server_error', code: 'internal_error' })
    expect(error.message).not.toContain('inner detail')
  })

  test('an error inside a started stream', async () => {
    const { url } = await startGateway(async function* (request) {
      for await (const event of say('ab', request)) {
        if (event.finish) throw new InterruptedError('a worker went away.')
        yield event
      }
    })
    const stream = await client(url).chat.completions.create({ model: 'bytes', messages, stream: true })
    let text = ''
    const error = await failure(
      (async () => {
        for await (const { choices } of stream) text += choices[0]!.delta.content ?? ''
      })(),
    )
    expect(text).toBe('ab')
    expect(error).toMatchObject({ code: 'interrupted', type: 'service_unavailable_error' })
  })
})

describe('what is not offered is refused by name', () => {
  test.each([
    [{ tools: [{ type: 'custom', custom: { name: 'f' } }] }, 'tools[0].type'],
    [{ functions: [{ name: 'f' }] }, 'functions'],
    [{ function_call: { name: 'f' } }, 'function_call'],
    [{ response_format: { type: 'grammar' } }, 'response_format'],
    [{ modalities: ['text', 'audio'] }, 'modalities'],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages[0].content[0].type'],
  ])('%j', async (fields, param) => {
    const { post } = await startGateway((request) => say('a', request))
    const response = await post('/v1/chat/completions', { model: 'bytes', messages, ...fields })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({
      error: { type: 'invalid_request_error', code: 'unsupported_parameter', param },
    })
  })
})

describe('fields that do not fit are refused by name, value and remedy', () => {
  test.each([
    [{ messages: undefined }, 'messages', 'missing_required_parameter', 'Missing'],
    [{ model: undefined }, 'model', 'missing_required_parameter', 'Missing'],
    [{ messages: [] }, 'messages', 'invalid_value', '>=1'],
    [{ messages: 'Hi' }, 'messages', 'invalid_type', '"Hi"'],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content', 'missing_required_parameter', 'Missing'],
    [{ messages: [{ role: 'king', content: '' }] }, 'messages[0].role', 'invalid_value', '"king"'],
    [{ messages: [{ role: 'user', content: 5 }] }, 'messages[0].content', 'invalid_type', 'got 5'],
    [
      { messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      'messages[0].content[0].text',
      'invalid_type',
      '',
    ],
    [{ temperature: 2.1 }, 'temperature', 'invalid_value', '2.1'],
    [{ temperature: 'hot' }, 'temperature', 'invalid_type', '"hot"'],
    [{ top_p: -0.1 }, 'top_p', 'invalid_value', '-0.1'],
    [{ n: 17 }, 'n', 'invalid_value', '17'],
    [{ n: 1.5 }, 'n', 'invalid_type', '1.5'],
    [{ max_tokens: 0 }, 'max_tokens', 'invalid_value', '0'],
    [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop', 'invalid_type', 'at most 4'],
    [{ stop: '' }, 'stop', 'invalid_value', '>=1'],
    [{ stop: [''] }, 'stop[0]', 'invalid_value', '>=1'],
    [{ seed: 0.5 }, 'seed', 'invalid_value', '64-bit'],
    [{ seed: 1e30 }, 'seed', 'invalid_value', '64-bit'],
    [{ logit_bias: { '300': 1 } }, 'logit_bias', 'invalid_value', '"300"'],
    [{ logit_bias: { cat: 1 } }, 'logit_bias', 'invalid_value', '"cat"'],
    [{ logit_bias: { '3': 101 } }, 'logit_bias.3', 'invalid_value', '101'],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs', 'invalid_value', '21'],
    [{ top_logprobs: 2 }, 'top_logprobs', 'invalid_value', "needs 'logprobs'"],
    [{ stream: 'yes' }, 'stream', 'invalid_type', '"yes"'],
  ])('%j', async (fields, param, code, message) => {
    const { post, backend } = await startGateway((request) => say('a', request))
    const response = await post('/v1/chat/completions', { model: 'bytes', messages, ...fields })
    expect(response.status).toBe(400)
    const { error } = (await response.json()) as { error: { message: string } }
    expect(error).toMatchObject({ type: 'invalid_request_error', code, param })
    expect(error.message).toContain(message)
    expect(backend.requests).toHaveLength(0)
  })
})

test('unknown and null fields do no harm', async () => {
  const { post } = await startGateway((request) => say('a', request))
  const response = await post('/v1/chat/completions', {
    model: 'bytes',
    messages,
    store: true,
    metadata: { a: 'b' },
    reasoning_effort: 'low',
    temperature: null,
    stop: null,
    n: null,
    tools: [],
    tool_choice: 'auto',
    response_format: { type: 'text' },
    stream_options: null,
  })
  expect(response.status).toBe(200)
})

async function failure(pending: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await pending
  } catch (error) {
    if (error instanceof OpenAI.APIError) return error
    throw error
  }
  throw new Error('Nothing failed.')
}
