import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, streamText } from 'ai'
import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import type { FormatName } from '../inference/formats/chat-format.ts'
import { toolFormat } from '../inference/formats/index.ts'
import { byteFormat } from '../testing/byte-model.ts'
import { say, sayAndHang } from '../testing/scripted-backend.ts'
import { startGateway, until } from '../testing/start-gateway.ts'

const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 })
const messages = [{ role: 'user' as const, content: 'Weather?' }]
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
}
const tools = [
  {
    type: 'function' as const,
    function: { name: 'get_weather', description: 'Tells the weather.', parameters },
  },
  { type: 'function' as const, function: { name: 'add', parameters: { type: 'object', properties: {} } } },
]
const call = (name: string, given: string) =>
  `<tool_call>\n{"name": "${name}", "arguments": ${given}}\n</tool_call>`
const oslo = call('get_weather', '{"city": "Oslo"}')
const rome = call('get_weather', '{"city": "Rome"}')

const saying = (text: string, name: FormatName = 'hermes', format = {}) =>
  startGateway((request) => say(text, request), {
    model: { format: byteFormat(name, format), contextLength: 8192 },
  })

const grammarOf = (request: { readonly needs: { readonly grammar: string | null } }) =>
  JSON.parse(request.needs.grammar!)

describe('the openai client', () => {
  test('gets calls, whole', async () => {
    const { url, backend } = await saying(`I look.\n${oslo}\n${rome}`)
    const completion = await client(url).chat.completions.create({ model: 'bytes', messages, tools })
    const [choice] = completion.choices
    expect(choice).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        role: 'assistant',
        content: 'I look.',
        refusal: null,
        tool_calls: [
          { type: 'function', function: { name: 'get_weather', arguments: '{"city": "Oslo"}' } },
          { type: 'function', function: { name: 'get_weather', arguments: '{"city": "Rome"}' } },
        ],
      },
    })
    const ids = choice!.message.tool_calls!.map(({ id }) => id)
    expect(new Set(ids).size).toBe(2)
    expect(ids.every((id) => /^call_[0-9a-f]{24}$/.test(id))).toBe(true)
    expect(backend.requests[0]!.needs).toEqual({ adapter: null, grammar: null })
  })

  test('a turn of calls alone has no content', async () => {
    const { url } = await saying(oslo)
    const completion = await client(url).chat.completions.create({ model: 'bytes', messages, tools })
    expect(completion.choices[0]!.message.content).toBeNull()
  })

  test('streams calls as its helpers put them together', async () => {
    const { url } = await saying(`I look.\n${oslo}\n${rome}`)
    const stream = client(url).chat.completions.stream({ model: 'bytes', messages, tools })
    const deltas: string[] = []
    stream.on('tool_calls.function.arguments.delta', ({ index, arguments_delta }) => {
      deltas[index] = (deltas[index] ?? '') + arguments_delta
    })
    const completion = await stream.finalChatCompletion()
    expect(completion.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        content: 'I look.',
        tool_calls: [
          { function: { name: 'get_weather', arguments: '{"city": "Oslo"}' } },
          { function: { name: 'get_weather', arguments: '{"city": "Rome"}' } },
        ],
      },
    })
    expect(deltas).toEqual(['{"city": "Oslo"}', '{"city": "Rome"}'])
  })

  test('gets chunks as OpenAI sends them', async () => {
    const { url } = await saying(oslo)
    const stream = await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      tools,
      stream: true,
    })
    const choices = []
    for await (const { choices: list } of stream) choices.push(...list)
    expect(choices[0]!.delta).toEqual({ role: 'assistant', content: '', refusal: null })
    expect(choices[1]!.delta).toEqual({
      tool_calls: [
        {
          index: 0,
          id: expect.stringMatching(/^call_/),
          type: 'function',
          function: { name: 'get_weather', arguments: '' },
        },
      ],
    })
    expect(choices[2]!.delta).toEqual({ tool_calls: [{ index: 0, function: { arguments: '{' } }] })
    expect(choices.at(-1)).toMatchObject({ delta: {}, finish_reason: 'tool_calls' })
  })

  test('runs its tools, and the model sees calls and results', async () => {
    const { url, backend } = await startGateway((request) =>
      say(backend.requests.length === 1 ? oslo : 'It rains.', request),
    )
    const runner = client(url).chat.completions.runTools({
      model: 'bytes',
      messages,
      tools: [
        {
          type: 'function',
          function: {
            name: 'get_weather',
            description: 'Tells the weather.',
            parameters,
            parse: JSON.parse,
            function: ({ city }: { city: string }) => `rain in ${city}`,
          },
        },
      ],
    })
    expect(await runner.finalContent()).toBe('It rains.')
    const prompt = Buffer.from(backend.requests[1]!.tokens).toString()
    expect(prompt).toContain(`assistant:${oslo}\n`)
    expect(prompt).toContain('user:<tool_response>\nrain in Oslo\n</tool_response>\n')
  })

  test('a cut call keeps its reason', async () => {
    const { url } = await saying(oslo)
    const completion = await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      tools,
      max_completion_tokens: oslo.length - 20,
    })
    expect(completion.choices[0]!.finish_reason).toBe('length')
    expect(completion.choices[0]!.message.tool_calls).toHaveLength(1)
  })

  test('one call at most ends the turn behind the first', async () => {
    const { url, backend } = await startGateway((request, signal) =>
      sayAndHang(`${oslo}\n${rome}`, request, signal),
    )
    const completion = await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      tools,
      parallel_tool_calls: false,
    })
    expect(completion.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { tool_calls: [{ function: { arguments: '{"city": "Oslo"}' } }] },
    })
    expect(completion.choices[0]!.message.tool_calls).toHaveLength(1)
    await until(() => backend.running === 0)
  })

  test('n answers have calls of their own', async () => {
    const { url } = await saying(oslo)
    const completion = await client(url).chat.completions.create({ model: 'bytes', messages, tools, n: 2 })
    const ids = completion.choices.flatMap(({ message }) => message.tool_calls!.map(({ id }) => id))
    expect(new Set(ids).size).toBe(2)
  })
})

describe('the ai package', () => {
  const provider = (url: string) => createOpenAICompatible({ name: 'deos', baseURL: `${url}/v1` })('bytes')
  const weather = {
    description: 'Tells the weather.',
    inputSchema: jsonSchema<{ city: string }>(parameters as object),
  }

  test('generateText() gets calls', async () => {
    const { url } = await saying(`${oslo}\n${rome}`)
    const result = await generateText({
      model: provider(url),
      prompt: 'Weather?',
      tools: { get_weather: weather },
    })
    expect(result.toolCalls.map(({ input }) => input)).toEqual([{ city: 'Oslo' }, { city: 'Rome' }])
    expect(result.finishReason).toBe('tool-calls')
  })

  test('streamText() gets calls and thoughts', async () => {
    const { url } = await saying(`<think>Hm.</think>${oslo}`, 'hermes', {
      reasoning: { open: '<think>', close: '</think>' },
    })
    const result = streamText({ model: provider(url), prompt: 'Weather?', tools: { get_weather: weather } })
    expect((await result.toolCalls).map(({ input }) => input)).toEqual([{ city: 'Oslo' }])
    expect(await result.reasoningText).toBe('Hm.')
  })
})

describe('what the model is told', () => {
  const turns = [
    { role: 'system' as const, content: 'Be kind.' },
    { role: 'user' as const, content: 'Weather?' },
    {
      role: 'assistant' as const,
      content: null,
      tool_calls: [
        {
          id: 'call_abc',
          type: 'function' as const,
          function: { name: 'get_weather', arguments: '{"city": "Oslo"}' },
        },
      ],
    },
    { role: 'tool' as const, tool_call_id: 'call_abc', content: 'rain' },
  ]

  test('templates that know tools get them as OpenAI writes them', async () => {
    const abilities = { ...byteFormat('hermes').abilities, tools: true, calls: true, results: true }
    const { url, backend } = await startGateway((request) => say('ok', request), {
      model: {
        format: byteFormat('hermes', { abilities }),
        contextLength: 8192,
        renderChat: (conversation) => JSON.stringify(conversation),
      },
    })
    await client(url).chat.completions.create({ model: 'bytes', messages: turns, tools })
    expect(JSON.parse(Buffer.from(backend.requests[0]!.tokens).toString())).toMatchObject({
      messages: [turns[0], turns[1], { ...turns[2], content: '' }, { ...turns[3], name: 'get_weather' }],
      tools: [
        {
          type: 'function',
          function: { name: 'get_weather', description: 'Tells the weather.', parameters },
        },
        { type: 'function', function: { name: 'add' } },
      ],
      argumentsAs: 'values',
    })
  })

  test('others get them in a message', async () => {
    const { url, backend } = await saying('ok')
    await client(url).chat.completions.create({ model: 'bytes', messages: turns, tools })
    const prompt = Buffer.from(backend.requests[0]!.tokens).toString()
    expect(prompt).toMatch(/^system:Be kind\.\n\nYou can call these functions/)
    expect(prompt).toContain('"name":"get_weather","description":"Tells the weather."')
    expect(prompt).toContain('<tool_call>\n{"name": "<name of the function>"')
  })

  test('tool_choice none offers none and finds none', async () => {
    const { url, backend } = await saying(oslo)
    const completion = await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      tools,
      tool_choice: 'none',
    })
    expect(Buffer.from(backend.requests[0]!.tokens).toString()).toBe('user:Weather?\n')
    expect(completion.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: oslo } })
  })

  test('allowed tools are the only ones offered', async () => {
    const { post, backend } = await saying(oslo)
    const response = await post('/v1/chat/completions', {
      model: 'bytes',
      messages,
      tools,
      tool_choice: {
        type: 'allowed_tools',
        allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'add' } }] },
      },
    })
    expect(response.status).toBe(200)
    const prompt = Buffer.from(backend.requests[0]!.tokens).toString()
    expect(prompt).toContain('"add"')
    expect(prompt).not.toContain('"get_weather"')
  })
})

describe('calls that must come, or must be right, are held to a grammar', () => {
  test('required: any of the tools', async () => {
    const { url, backend } = await saying(oslo)
    await client(url).chat.completions.create({ model: 'bytes', messages, tools, tool_choice: 'required' })
    const spec = grammarOf(backend.requests[0]!)
    expect(spec.type).toBe('structural_tag')
    expect(spec.format).toMatchObject({
      type: 'tags_with_separator',
      at_least_one: true,
      tags: [
        {
          begin: '<tool_call>\n{"name": "get_weather", "arguments": ',
          content: { type: 'json_schema', json_schema: parameters },
          end: '}\n</tool_call>',
        },
        { begin: '<tool_call>\n{"name": "add", "arguments": ' },
      ],
    })
  })

  test('named: that tool, once', async () => {
    const { url, backend } = await saying(oslo)
    await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      tools,
      tool_choice: { type: 'function', function: { name: 'add' } },
    })
    expect(grammarOf(backend.requests[0]!).format).toMatchObject({
      type: 'tag',
      begin: '<tool_call>\n{"name": "add", "arguments": ',
    })
  })

  test('strict tools: free text, but calls as promised', async () => {
    const { url, backend } = await saying(oslo)
    const strict = [{ ...tools[0]!, function: { ...tools[0]!.function, strict: true } }]
    await client(url).chat.completions.create({ model: 'bytes', messages, tools: strict })
    expect(grammarOf(backend.requests[0]!).format).toMatchObject({
      type: 'triggered_tags',
      triggers: ['<tool_call>'],
    })
  })

  test('thoughts come first, whether begun by the prompt or not', async () => {
    const reasoning = { open: '<think>', close: '</think>' }
    const { url, backend } = await saying(oslo, 'hermes', { reasoning })
    await client(url).chat.completions.create({ model: 'bytes', messages, tools, tool_choice: 'required' })
    const format = grammarOf(backend.requests[0]!).format
    expect(format.type).toBe('or')
    expect(format.elements[0].elements[0]).toEqual({
      type: 'tag',
      begin: '<think>',
      content: { type: 'any_text' },
      end: '</think>',
    })
    const opened = await startGateway((request) => say(`Hm.</think>${oslo}`, request), {
      model: { format: byteFormat('hermes', { reasoning }), renderChat: () => 'Go<think>\n' },
    })
    const completion = await client(opened.url).chat.completions.create({
      model: 'bytes',
      messages,
      tools,
      tool_choice: 'required',
    })
    expect(grammarOf(opened.backend.requests[0]!).format).toMatchObject({
      type: 'sequence',
      elements: [{ type: 'tag', begin: '' }, {}, {}],
    })
    expect(completion.choices[0]!.message).toMatchObject({ reasoning_content: 'Hm.', content: null })
    expect(completion.usage!.completion_tokens_details!.reasoning_tokens).toBe('Hm.</think>'.length)
  })

  test('control tokens are named as tokens', async () => {
    const { url, backend } = await startGateway((request) => say('[TOOL_CALLS]add[ARGS]{}', request), {
      model: {
        format: byteFormat('mistral-named'),
        contextLength: 8192,
        isControlToken: (text) => toolFormat('mistral').visibleTokens.includes(text),
      },
    })
    const completion = await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      tools,
      tool_choice: { type: 'function', function: { name: 'add' } },
    })
    expect(completion.choices[0]!.message.tool_calls).toMatchObject([
      { function: { name: 'add', arguments: '{}' } },
    ])
    expect(grammarOf(backend.requests[0]!).format).toMatchObject({
      type: 'sequence',
      elements: [
        { type: 'token', token: '[TOOL_CALLS]' },
        { type: 'const_string', value: 'add' },
        { type: 'token', token: '[ARGS]' },
        { type: 'tag', content: { type: 'json_schema' } },
      ],
    })
  })
})

describe('what cannot be is refused by name', () => {
  const named = (name: string) => ({ type: 'function', function: { name } })
  test.each([
    [{ tool_choice: 'required' }, 'tool_choice', 'no tools'],
    [{ tools, tool_choice: named('fly') }, 'tool_choice', "'fly'"],
    [{ tools, tool_choice: 'maybe' }, 'tool_choice', "'required'"],
    [{ tools: [tools[0], tools[0]] }, 'tools[1].function.name', 'twice'],
    [{ tools: [{ type: 'function' }] }, 'tools[0].function', 'Missing'],
    [{ tools: [named('a b')] }, 'tools[0].function.name', 'letters'],
    [
      { tools: [{ type: 'function', function: { name: 'f', parameters: 5 } }] },
      'tools[0].function.parameters',
      'got 5',
    ],
    [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].tool_call_id', 'Missing'],
    [
      { tools, tool_choice: 'required', response_format: { type: 'json_object' } },
      'response_format',
      'tool_choice',
    ],
    [
      {
        tools,
        tool_choice: {
          type: 'allowed_tools',
          allowed_tools: { mode: 'auto', tools: [named('fly')] },
        },
      },
      'tool_choice.allowed_tools.tools[0].function.name',
      "'fly'",
    ],
    [
      {
        tools: [
          {
            type: 'function',
            function: {
              name: 'f',
              strict: true,
              parameters: {
                type: 'object',
                properties: { a: { type: 'string', format: 'color-of-magic', not: {} } },
              },
            },
          },
        ],
      },
      'tools[0].function.parameters.properties.a',
      '',
    ],
  ])('%j', async (fields, param, message) => {
    const { post, backend } = await saying('ok')
    const response = await post('/v1/chat/completions', { model: 'bytes', messages, ...fields })
    const { error } = (await response.json()) as { error: { message: string; param: string } }
    expect([response.status, error.param.slice(0, param.length)]).toEqual([400, param])
    expect(error.message).toContain(message)
    expect(backend.requests).toHaveLength(0)
  })
})
