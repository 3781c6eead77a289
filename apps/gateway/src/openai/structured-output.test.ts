import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { byteFormat } from '../testing/byte-model.ts'
import { say } from '../testing/scripted-backend.ts'
import { startGateway } from '../testing/start-gateway.ts'

const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 })
const messages = [{ role: 'user' as const, content: 'Who?' }]
const schema = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
}
const ada = '{"name": "Ada", "age": 36}'

const grammars = (backend: { readonly requests: readonly { needs: { grammar: string | null } }[] }) =>
  backend.requests.map(({ needs }) => (needs.grammar === null ? null : JSON.parse(needs.grammar)))

describe('the openai client', () => {
  const response_format = {
    type: 'json_schema' as const,
    json_schema: { name: 'person', strict: true, schema },
  }

  test('parses what a schema shaped', async () => {
    const { url, backend } = await startGateway((request) => say(ada, request))
    const completion = await client(url).chat.completions.parse({ model: 'bytes', messages, response_format })
    expect(completion.choices[0]!.message.parsed).toEqual({ name: 'Ada', age: 36 })
    expect(grammars(backend)).toEqual([{ type: 'json_schema', schema, strict: true }])
  })

  test('streams it', async () => {
    const { url } = await startGateway((request) => say(ada, request))
    const stream = client(url).chat.completions.stream({ model: 'bytes', messages, response_format })
    expect(JSON.parse((await stream.finalContent())!)).toEqual({ name: 'Ada', age: 36 })
  })

  test('gets any JSON object', async () => {
    const { url, backend } = await startGateway((request) => say('{}', request))
    await client(url).chat.completions.create({
      model: 'bytes',
      messages,
      response_format: { type: 'json_object' },
    })
    expect(grammars(backend)).toEqual([{ type: 'json' }])
  })
})

describe('what vLLM’s clients send', () => {
  test.each([
    [{ guided_json: schema }, { type: 'json_schema', schema, strict: false }],
    [{ guided_json: JSON.stringify(schema) }, { type: 'json_schema', schema, strict: false }],
    [{ guided_regex: '[a-z]+' }, { type: 'regex', pattern: '[a-z]+' }],
    [{ guided_grammar: 'root ::= "a" | "b"' }, { type: 'ebnf', grammar: 'root ::= "a" | "b"' }],
    [
      { guided_choice: ['yes', 'no'] },
      {
        type: 'structural_tag',
        format: {
          type: 'or',
          elements: [
            { type: 'const_string', value: 'yes' },
            { type: 'const_string', value: 'no' },
          ],
        },
      },
    ],
    [{ structured_outputs: { regex: 'a|b' } }, { type: 'regex', pattern: 'a|b' }],
    [{ structured_outputs: { json: schema } }, { type: 'json_schema', schema, strict: false }],
    [{ structured_outputs: { json_object: true } }, { type: 'json' }],
  ])('%j', async (fields, spec) => {
    const { post, backend } = await startGateway((request) => say('a', request))
    expect((await post('/v1/chat/completions', { model: 'bytes', messages, ...fields })).status).toBe(200)
    expect((await post('/v1/completions', { model: 'bytes', prompt: 'Who?', ...fields })).status).toBe(200)
    expect(grammars(backend)).toEqual([spec, spec])
  })
})

test('a model that thinks does so before it answers in a form', async () => {
  const reasoning = { open: '<think>', close: '</think>' }
  const { url, backend } = await startGateway((request) => say(`<think>Ada?</think>\n${ada}`, request), {
    model: { format: byteFormat('hermes', { reasoning }) },
  })
  const completion = await client(url).chat.completions.create({
    model: 'bytes',
    messages,
    response_format: { type: 'json_schema', json_schema: { name: 'person', schema } },
  })
  expect(completion.choices[0]!.message).toMatchObject({ content: ada, reasoning_content: 'Ada?' })
  const [spec] = grammars(backend)
  expect(spec.format.elements[0].elements[2]).toEqual({ type: 'json_schema', json_schema: schema })
  expect(spec.format.elements[1]).toEqual({ type: 'json_schema', json_schema: schema })
})

test('gpt-oss answers in a form inside its channel', async () => {
  const { url, backend } = await startGateway(
    (request) =>
      say(
        `<|channel|>analysis<|message|>Ada?<|end|><|start|>assistant<|channel|>final<|message|>${ada}`,
        request,
      ),
    { model: { format: byteFormat('harmony') } },
  )
  const completion = await client(url).chat.completions.create({
    model: 'bytes',
    messages,
    response_format: { type: 'json_object' },
  })
  expect(completion.choices[0]!.message).toMatchObject({ content: ada, reasoning_content: 'Ada?' })
  expect(JSON.stringify(grammars(backend)[0])).toContain('<|channel|>final<|message|>')
})

test('with tools on offer the model may call one or answer in the form', async () => {
  const { url, backend } = await startGateway((request) => say(ada, request))
  await client(url).chat.completions.create({
    model: 'bytes',
    messages,
    tools: [{ type: 'function', function: { name: 'find', parameters: { type: 'object', properties: {} } } }],
    response_format: { type: 'json_object' },
  })
  expect(grammars(backend)[0].format).toMatchObject({
    type: 'or',
    elements: [{ type: 'tags_with_separator' }, { type: 'json_schema', json_schema: { type: 'object' } }],
  })
})

describe('what cannot be is refused by name', () => {
  const form = (schema: unknown) => ({
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
  })
  test.each([
    [
      form({ type: 'object', properties: { a: { type: 'colour' } } }),
      'response_format.json_schema.schema.properties.a',
    ],
    [form(5), 'response_format.json_schema.schema'],
    [{ response_format: { type: 'json_schema' } }, 'response_format.json_schema'],
    [{ guided_json: '{' }, 'guided_json'],
    [{ guided_json: '5' }, 'guided_json'],
    [{ guided_regex: '(' }, 'guided_regex'],
    [{ guided_grammar: 'root ::= (' }, 'guided_grammar'],
    [{ guided_choice: [] }, 'guided_choice'],
    [{ guided_regex: 'a', guided_choice: ['a'] }, 'guided_choice'],
    [
      { response_format: { type: 'json_object' }, structured_outputs: { regex: 'a' } },
      'structured_outputs.regex',
    ],
    [{ guided_regex: 'a', ignore_eos: true }, 'ignore_eos'],
  ])('%j', async (fields, param) => {
    const { post, backend } = await startGateway((request) => say('a', request))
    const response = await post('/v1/chat/completions', { model: 'bytes', messages, ...fields })
    const { error } = (await response.json()) as { error: { message: string; param: string } }
    expect([response.status, error.param.slice(0, param.length)]).toEqual([400, param])
    expect(backend.requests).toHaveLength(0)
  })
})
