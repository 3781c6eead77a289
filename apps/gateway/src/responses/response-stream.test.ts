import { expect, test } from 'vitest'
import { InterruptedError, QueueFullError } from '../inference/errors.ts'
import { type ReadEvent, readEvents } from '../testing/read-stream.ts'
import { calling, citySchema, thinkingFormat } from '../testing/said.ts'
import { say } from '../testing/scripted-backend.ts'
import { startGateway } from '../testing/start-gateway.ts'

const body = { model: 'bytes', input: 'Hi' }
const tools = [{ type: 'function', name: 'weather', parameters: citySchema }]
const thoughtful = { format: thinkingFormat, contextLength: 8192 }

/** What is true of any stream: names, numbers and places. */
function expectOrdered(events: readonly ReadEvent[]): void {
  let index = -1
  for (const [number, { event, data }] of events.entries()) {
    expect(data).toMatchObject({ type: event, sequence_number: number })
    if (event === 'response.output_item.added') index += 1
    if ('output_index' in data) expect(data.output_index).toBe(index)
  }
}

test('a stream is exactly the documented events', async () => {
  const { post } = await startGateway((request) => say('Hé', request, 2))
  const events = await readEvents(await post('/v1/responses', { ...body, stream: true }))
  expectOrdered(events)
  const response = {
    id: expect.stringMatching(/^resp-/),
    object: 'response',
    created_at: expect.any(Number),
    completed_at: null,
    status: 'in_progress',
    background: false,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    max_tool_calls: null,
    metadata: {},
    model: 'bytes',
    output: [],
    parallel_tool_calls: true,
    previous_response_id: null,
    prompt_cache_key: null,
    reasoning: { effort: null, summary: null },
    safety_identifier: null,
    service_tier: 'default',
    store: false,
    temperature: 1,
    text: { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: 'auto',
    tools: [],
    top_logprobs: 0,
    top_p: 1,
    truncation: 'disabled',
    usage: null,
    user: null,
  }
  const { id } = (events[0]!.data as { response: { id: string } }).response
  const item_id = `msg_${id.slice('resp-'.length)}_0`
  const item = { id: item_id, type: 'message', role: 'assistant' }
  const place = { item_id, output_index: 0 }
  const part = (text: string) => ({ type: 'output_text', text, annotations: [], logprobs: [] })
  const done = { ...item, status: 'completed', content: [part('Hé')] }
  const content_index = 0
  const expected: readonly [string, object][] = [
    ['response.created', { response }],
    ['response.in_progress', { response }],
    [
      'response.output_item.added',
      { output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
    ],
    ['response.content_part.added', { ...place, content_index, part: part('') }],
    ['response.output_text.delta', { ...place, content_index, delta: 'H', logprobs: [] }],
    ['response.output_text.delta', { ...place, content_index, delta: 'é', logprobs: [] }],
    ['response.output_text.done', { ...place, content_index, text: 'Hé', logprobs: [] }],
    ['response.content_part.done', { ...place, content_index, part: part('Hé') }],
    ['response.output_item.done', { output_index: 0, item: done }],
    [
      'response.completed',
      {
        response: {
          ...response,
          status: 'completed',
          completed_at: expect.any(Number),
          output: [done],
          usage: {
            input_tokens: 8,
            input_tokens_details: { cached_tokens: 2 },
            output_tokens: 4,
            output_tokens_details: { reasoning_tokens: 0 },
            total_tokens: 12,
          },
        },
      },
    ],
  ]
  expect(events).toEqual(
    expected.map(([event, data], sequence_number) => ({
      event,
      data: { type: event, sequence_number, ...data },
    })),
  )
})

test('thoughts, words and calls are items in the order they were said, streamed and whole', async () => {
  const said = `<think>Hm.</think>A${calling('weather', '{"city": "Oslo"}')}B${calling('weather', '{}')}`
  const { post } = await startGateway((request) => say(said, request), { model: thoughtful })
  const events = await readEvents(await post('/v1/responses', { ...body, tools, stream: true }))
  expectOrdered(events)
  const kinds = events
    .map(({ event, data }) => `${data.output_index ?? ''} ${event.replace('response.', '')}`)
    .filter((kind, index, all) => kind !== all[index - 1])
  const text = (index: number, name: string) => [
    `${index} output_item.added`,
    `${index} content_part.added`,
    `${index} ${name}.delta`,
    `${index} ${name}.done`,
    `${index} content_part.done`,
    `${index} output_item.done`,
  ]
  const call = (index: number) => [
    `${index} output_item.added`,
    `${index} function_call_arguments.delta`,
    `${index} function_call_arguments.done`,
    `${index} output_item.done`,
  ]
  expect(kinds).toEqual([
    ' created',
    ' in_progress',
    ...text(0, 'reasoning_text'),
    ...text(1, 'output_text'),
    ...call(2),
    ...text(3, 'output_text'),
    ...call(4),
    ' completed',
  ])
  const last = events.at(-1)!.data.response as { output: { type: string }[]; usage: object }
  expect(last.output).toMatchObject([
    { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'Hm.' }] },
    { type: 'message', content: [{ text: 'A' }] },
    { type: 'function_call', name: 'weather', arguments: '{"city": "Oslo"}' },
    { type: 'message', content: [{ text: 'B' }] },
    { type: 'function_call', name: 'weather', arguments: '{}' },
  ])
  expect(last.usage).toMatchObject({ output_tokens_details: { reasoning_tokens: 'Hm.</think>'.length } })
  const whole = (await (await post('/v1/responses', { ...body, tools })).json()) as typeof last
  const unnamed = (output: object[]) => output.map((item) => ({ ...item, id: '', call_id: '' }))
  expect(unnamed(whole.output)).toEqual(unnamed(last.output))
})

test('what is cut is incomplete, and so is its last item', async () => {
  const { post } = await startGateway(
    (request) => say(`A${calling('weather', '{"city": "Oslo"}')}`, request),
    {
      model: thoughtful,
    },
  )
  const asked = { ...body, tools, max_output_tokens: 60 }
  const events = await readEvents(await post('/v1/responses', { ...asked, stream: true }))
  expectOrdered(events)
  expect(events.at(-1)).toMatchObject({
    event: 'response.incomplete',
    data: {
      response: {
        status: 'incomplete',
        incomplete_details: { reason: 'max_output_tokens' },
        output: [{ status: 'completed' }, { status: 'incomplete', type: 'function_call' }],
        max_output_tokens: 60,
        usage: { output_tokens: 60 },
      },
    },
  })
})

test('an answer of nothing is an empty message', async () => {
  const { post } = await startGateway((request) => say('', request))
  const events = await readEvents(await post('/v1/responses', { ...body, stream: true }))
  expectOrdered(events)
  expect(events.at(-1)!.data.response).toMatchObject({
    status: 'completed',
    output: [{ type: 'message', content: [{ type: 'output_text', text: '' }] }],
  })
})

test.each([
  [new InterruptedError('a worker went away.'), 'interrupted', 'server_error'],
  [new QueueFullError('64 requests wait already.', 1000), 'rate_limit_exceeded', 'rate_limit_exceeded'],
])('a failure on the way: %s', async (failure, code, responseCode) => {
  const { post } = await startGateway(async function* (request) {
    for await (const event of say('a!', request)) {
      if (event.finish) throw failure
      yield event
    }
  })
  const events = await readEvents(await post('/v1/responses', { ...body, stream: true }))
  expectOrdered(events)
  const message = expect.stringContaining(failure.message)
  expect(events.slice(-2)).toMatchObject([
    { event: 'error', data: { code, message, param: null } },
    {
      event: 'response.failed',
      data: { response: { status: 'failed', error: { code: responseCode, message }, usage: null } },
    },
  ])
})
