import { expect, test } from 'vitest'
import { InterruptedError } from '../inference/errors.ts'
import { readEvents } from '../testing/read-stream.ts'
import { calling, citySchema, thinkingFormat } from '../testing/said.ts'
import { say } from '../testing/scripted-backend.ts'
import { startGateway } from '../testing/start-gateway.ts'

const body = {
  model: 'bytes',
  max_tokens: 500,
  messages: [{ role: 'user', content: 'Hi' }],
  tools: [{ name: 'weather', input_schema: citySchema }],
}
const promptOf = (tokens: Int32Array) => tokens.length
const thoughtful = { format: thinkingFormat, contextLength: 8192 }

test('a stream is exactly the documented events', async () => {
  const { post, backend } = await startGateway((request) => say('Hé', request, 3))
  const events = await readEvents(await post('/v1/messages', { ...body, tools: [], stream: true }))
  const id = expect.stringMatching(/^msg-/)
  const usage = {
    input_tokens: promptOf(backend.requests[0]!.tokens) - 3,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 3,
    output_tokens_details: { thinking_tokens: 0 },
    server_tool_use: null,
  }
  const unended = { stop_reason: null, stop_sequence: null, stop_details: null, container: null }
  expect(events).toEqual([
    {
      event: 'message_start',
      data: {
        type: 'message_start',
        message: {
          id,
          type: 'message',
          role: 'assistant',
          model: 'bytes',
          content: [],
          ...unended,
          diagnostics: null,
          usage: {
            ...usage,
            output_tokens: 0,
            cache_creation: null,
            inference_geo: null,
            service_tier: 'standard',
            speed: null,
          },
        },
      },
    },
    { event: 'ping', data: { type: 'ping' } },
    {
      event: 'content_block_start',
      data: {
        type: 'content_block_start',
        index: 0,
        content_block: { type: 'text', text: '', citations: null },
      },
    },
    ...['H', 'é'].map((text) => ({
      event: 'content_block_delta',
      data: { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
    })),
    { event: 'content_block_stop', data: { type: 'content_block_stop', index: 0 } },
    {
      event: 'message_delta',
      data: {
        type: 'message_delta',
        delta: { ...unended, stop_reason: 'end_turn' },
        usage: { ...usage, output_tokens: 4 },
      },
    },
    { event: 'message_stop', data: { type: 'message_stop' } },
  ])
})

/** Events of blocks, in short. */
const blocks = (events: Awaited<ReturnType<typeof readEvents>>) =>
  events.flatMap(({ event, data }) => {
    const { index, content_block: block, delta } = data as Record<string, { type?: string }>
    if (event === 'content_block_start') return [`${index} start ${block!.type}`]
    if (event === 'content_block_stop') return [`${index} stop`]
    return event === 'content_block_delta' ? [`${index} ${delta!.type}`] : []
  })

test('thoughts, words and calls are blocks one after another, in the order they were said', async () => {
  const said = `<think>Hm.</think>A${calling('weather', '{"city": "Oslo"}')}B${calling('weather', '{}')}`
  const { post } = await startGateway((request) => say(said, request), { model: thoughtful })
  const events = await readEvents(await post('/v1/messages', { ...body, stream: true }))
  const distinct = blocks(events).filter((text, index, all) => text !== all[index - 1])
  expect(distinct).toEqual([
    '0 start thinking',
    '0 thinking_delta',
    '0 signature_delta',
    '0 stop',
    '1 start text',
    '1 text_delta',
    '1 stop',
    '2 start tool_use',
    '2 input_json_delta',
    '2 stop',
    '3 start text',
    '3 text_delta',
    '3 stop',
    '4 start tool_use',
    '4 input_json_delta',
    '4 stop',
  ])
  const whole = (await (await post('/v1/messages', body)).json()) as { content: object[] }
  expect(whole.content).toEqual([
    { type: 'thinking', thinking: 'Hm.', signature: expect.stringMatching(/^[\w+/]{43}=$/) },
    { type: 'text', text: 'A', citations: null },
    {
      type: 'tool_use',
      id: expect.any(String),
      name: 'weather',
      input: { city: 'Oslo' },
      caller: { type: 'direct' },
    },
    { type: 'text', text: 'B', citations: null },
    { type: 'tool_use', id: expect.any(String), name: 'weather', input: {}, caller: { type: 'direct' } },
  ])
})

test('thoughts can be left out, their place cannot', async () => {
  const { post } = await startGateway((request) => say('<think>Hm.</think>A', request), { model: thoughtful })
  const asked = { ...body, thinking: { type: 'enabled', budget_tokens: 1024, display: 'omitted' } }
  const events = await readEvents(await post('/v1/messages', { ...asked, stream: true }))
  expect(blocks(events).slice(0, 4)).toEqual([
    '0 start thinking',
    '0 signature_delta',
    '0 stop',
    '1 start text',
  ])
  const whole = (await (await post('/v1/messages', asked)).json()) as { content: object[] }
  expect(whole.content[0]).toEqual({ type: 'thinking', thinking: '', signature: expect.stringMatching(/./) })
})

test('a failure on the way is an event, and the last one', async () => {
  const { post } = await startGateway(async function* (request) {
    for await (const event of say('a!', request)) {
      if (event.finish) throw new InterruptedError('a worker went away.')
      yield event
    }
  })
  const events = await readEvents(await post('/v1/messages', { ...body, stream: true }))
  expect(events.at(-1)).toEqual({
    event: 'error',
    data: {
      type: 'error',
      error: {
        type: 'overloaded_error',
        message: 'The generation was interrupted: a worker went away. Send the request again.',
      },
      request_id: null,
    },
  })
  expect(events.map(({ event }) => event)).not.toContain('message_stop')
})

test.each([
  ['ab', { stop_sequences: ['b'] }, {}, 'stop_sequence', 'b'],
  ['ab', { max_tokens: 1 }, {}, 'max_tokens', null],
  ['abcdef', { max_tokens: 100 }, { contextLength: 12 }, 'model_context_window_exceeded', null],
  ['ab', {}, {}, 'end_turn', null],
  [calling('weather', '{}'), {}, { contextLength: 8192 }, 'tool_use', null],
])('%j with %j on %j stops with %s', async (said, fields, model, reason, sequence) => {
  const { post } = await startGateway((request) => say(said, request), { model })
  const tools = said.startsWith('<') ? body.tools : []
  const response = await post('/v1/messages', { ...body, tools, ...fields })
  expect(await response.json()).toMatchObject({ stop_reason: reason, stop_sequence: sequence })
})
