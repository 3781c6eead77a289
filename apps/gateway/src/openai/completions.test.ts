import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { BEGIN, bytesOf } from '../testing/byte-model.ts'
import { say } from '../testing/scripted-backend.ts'
import { startGateway } from '../testing/start-gateway.ts'

const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 })

describe('the openai client', () => {
  test('completes', async () => {
    const { url, backend } = await startGateway((request) => say(' world', request))
    const completion = await client(url).completions.create({ model: 'bytes', prompt: 'Hello' })
    expect(completion).toMatchObject({
      id: expect.stringMatching(/^cmpl-/),
      object: 'text_completion',
      model: 'bytes',
      choices: [{ index: 0, text: ' world', logprobs: null, finish_reason: 'stop' }],
      usage: { prompt_tokens: 6, completion_tokens: 7, total_tokens: 13 },
    })
    expect([...backend.requests[0]!.tokens]).toEqual([BEGIN, ...bytesOf('Hello')])
    expect(backend.requests[0]!.maxTokens).toBe(16)
  })

  test('streams', async () => {
    const { url } = await startGateway((request) => say('ab', request))
    const stream = await client(url).completions.create({
      model: 'bytes',
      prompt: 'Hello',
      echo: true,
      stream: true,
      stream_options: { include_usage: true },
    })
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    expect(chunks.map(({ choices }) => [choices[0]?.text, choices[0]?.finish_reason])).toEqual([
      ['Hello', null],
      ['a', null],
      ['b', null],
      ['', 'stop'],
      [undefined, undefined],
    ])
    expect(chunks.at(-1)!.usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 3 })
  })

  test('answers every prompt n times, in order', async () => {
    const { url, backend } = await startGateway((request) =>
      say(`${Buffer.from(request.tokens).toString().slice(1)}${request.sampling.seed}`, request),
    )
    const completion = await client(url).completions.create({
      model: 'bytes',
      prompt: ['A', 'B'],
      n: 2,
      seed: 5,
      echo: true,
    })
    expect(completion.choices.map(({ index, text }) => [index, text])).toEqual([
      [0, 'AA5'],
      [1, 'AA6'],
      [2, 'BB5'],
      [3, 'BB6'],
    ])
    expect(new Set(backend.requests.map(({ id }) => id)).size).toBe(4)
    expect(completion.usage!.prompt_tokens).toBe(4)
  })

  test('takes tokens and lists of tokens as they are', async () => {
    const { url, backend } = await startGateway((request) => say('x', request))
    const api = client(url).completions
    await api.create({ model: 'bytes', prompt: [72, 105] })
    const echoed = await api.create({ model: 'bytes', prompt: [[72], [105, 33]], echo: true })
    expect(backend.requests.map(({ tokens }) => [...tokens])).toEqual([[72, 105], [72], [105, 33]])
    expect(echoed.choices.map(({ text }) => text)).toEqual(['Hx', 'i!x'])
  })

  test('echoes without generating for max_tokens 0', async () => {
    const { url, backend } = await startGateway((request) => say('x', request))
    const completion = await client(url).completions.create({
      model: 'bytes',
      prompt: 'Hello',
      echo: true,
      max_tokens: 0,
    })
    expect(completion.choices[0]).toMatchObject({ text: 'Hello', finish_reason: 'length' })
    expect(completion.usage).toMatchObject({ completion_tokens: 0 })
    expect(backend.requests).toHaveLength(0)
  })

  test('reports log-probabilities with offsets', async () => {
    const { url } = await startGateway((request) => say('ab', request))
    const completion = await client(url).completions.create({ model: 'bytes', prompt: 'x', logprobs: 2 })
    const half = Math.log(0.5)
    expect(completion.choices[0]!.logprobs).toEqual({
      tokens: ['a', 'b'],
      token_logprobs: [half, half],
      top_logprobs: [
        { a: half, b: 2 * half },
        { b: half, c: 2 * half },
      ],
      text_offset: [0, 1],
    })
  })

  test('always reports the chosen token, whatever number is asked for', async () => {
    const { url } = await startGateway((request) => say('a', request))
    const completion = await client(url).completions.create({ model: 'bytes', prompt: 'x', logprobs: 0 })
    expect(completion.choices[0]!.logprobs!.top_logprobs).toEqual([{ a: Math.log(0.5) }])
  })
})

test.each([
  [{ suffix: 'end' }, 'suffix', 'unsupported_parameter'],
  [{ best_of: 2 }, 'best_of', 'unsupported_parameter'],
  [{ echo: true, logprobs: 1 }, 'logprobs', 'unsupported_parameter'],
  [{ logprobs: 6 }, 'logprobs', 'invalid_value'],
  [{ logprobs: true }, 'logprobs', 'invalid_type'],
  [{ prompt: undefined }, 'prompt', 'missing_required_parameter'],
  [{ prompt: [] }, 'prompt', 'invalid_type'],
  [{ prompt: [[]] }, 'prompt[0]', 'invalid_value'],
  [{ prompt: [1, 'a'] }, 'prompt', 'invalid_type'],
  [{ prompt: [258] }, 'prompt', 'invalid_value'],
  [{ prompt: [-1] }, 'prompt[0]', 'invalid_value'],
  [{ prompt: Array(20).fill('a'), n: 16 }, 'prompt', 'invalid_value'],
  [{ max_tokens: -1 }, 'max_tokens', 'invalid_value'],
])('%j is refused by name', async (fields, param, code) => {
  const { post, backend } = await startGateway((request) => say('a', request))
  const response = await post('/v1/completions', { model: 'bytes', prompt: 'x', ...fields })
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error', param, code } })
  expect(backend.requests).toHaveLength(0)
})

test('a prompt of nothing is refused when the model has no token to begin with', async () => {
  const { post } = await startGateway((request) => say('a', request), {
    model: { encode: async () => new Int32Array() },
  })
  const response = await post('/v1/completions', { model: 'bytes', prompt: '' })
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({ error: { param: 'prompt' } })
})
