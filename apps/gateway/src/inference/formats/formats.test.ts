import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonSchema } from '../chat/chat-request.ts'
import type { FormatName } from './chat-format.ts'
import { toolFormat } from './index.ts'
import type { AnswerParser, Piece } from './pieces.ts'
import { ReasoningParser } from './reasoning.ts'

const tools = new Map<string, JsonSchema>([
  [
    'get_weather',
    {
      type: 'object',
      properties: {
        city: { type: 'string' },
        days: { type: 'integer' },
        unit: { anyOf: [{ type: 'string' }, { type: 'null' }] },
        fresh: { type: 'boolean' },
        places: { type: 'array' },
      },
    },
  ],
  ['add', true],
  ['python', true],
])

interface Said {
  readonly content: string
  readonly reasoning: string
  readonly calls: readonly { readonly name: string; readonly arguments: string }[]
}

const nothing: Said = { content: '', reasoning: '', calls: [] }
const oslo = { name: 'get_weather', arguments: '{"city": "Oslo"}' }
const sum = { name: 'add', arguments: '{"a": [1, {"b": "}\\"]"}], "c": null}' }

/** Pieces put together; also that calls do not nest and that arguments stand inside one. */
function gather(pieces: readonly Piece[]): Said {
  const said = { content: '', reasoning: '', calls: [] as { name: string; arguments: string }[] }
  let inCall = false
  for (const piece of pieces) {
    switch (piece.type) {
      case 'call':
        expect(inCall).toBe(false)
        inCall = true
        said.calls.push({ name: piece.name, arguments: '' })
        break
      case 'arguments':
        expect(inCall).toBe(true)
        said.calls.at(-1)!.arguments += piece.text
        break
      case 'call-end':
        expect(inCall).toBe(true)
        inCall = false
        break
      case 'content':
      case 'reasoning':
        expect(inCall).toBe(false)
        said[piece.type] += piece.text
    }
  }
  expect(inCall).toBe(false)
  return said
}

function read(parser: AnswerParser, pieces: readonly string[]): Said {
  return gather([...pieces.flatMap((text) => parser.push(text)), ...parser.finish()])
}

const parserOf = (name: FormatName): AnswerParser => toolFormat(name).parser({ tools })

type Example = readonly [what: string, text: string, said: Partial<Said>]

const call = (text: string) => `<tool_call>\n${text}\n</tool_call>`
const osloJson = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'
const osloParameters = '{"name": "get_weather", "parameters": {"city": "Oslo"}}'
const sumJson = `{"name": "add", "arguments": ${sum.arguments}}`

const hermesExamples: readonly Example[] = [
  ['text', 'Hello  \n', { content: 'Hello  \n' }],
  ['one call', call(osloJson), { calls: [oslo] }],
  ['calls in a row', `${call(osloJson)}\n${call(sumJson)}\n`, { calls: [oslo, sum] }],
  [
    'text before and behind',
    `Let me see.\n\n${call(osloJson)}\nDone`,
    { content: 'Let me see.\nDone', calls: [oslo] },
  ],
  [
    'arguments before the name',
    call('{"arguments": {"city": "Oslo"}, "name": "get_weather"}'),
    { calls: [oslo] },
  ],
  [
    'arguments in a string',
    call('{"name": "get_weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}'),
    { calls: [oslo] },
  ],
  ['no arguments', call('{"name": "add"}'), { calls: [{ name: 'add', arguments: '{}' }] }],
  [
    'arguments that are null',
    call('{"name": "add", "arguments": null}'),
    { calls: [{ name: 'add', arguments: '{}' }] },
  ],
  [
    'a call cut off',
    '<tool_call>\n{"name": "add", "arguments": {"a": "x',
    { calls: [{ name: 'add', arguments: '{"a": "x' }] },
  ],
  ['a call without its end', `<tool_call>${osloJson}`, { calls: [oslo] }],
  ['a bracket too many', call(`${osloJson}}`), { content: '}', calls: [oslo] }],
  ['no JSON', call('get_weather(Oslo)'), { content: call('get_weather(Oslo)') }],
  ['JSON that is no call', call('{"city": "Oslo"}'), { content: call('{"city": "Oslo"}') }],
  ['a name that is no text', call('{"name": 5}'), { content: call('{"name": 5}') }],
  ['half a mark', 'a <tool_cal', { content: 'a <tool_cal' }],
  ['a mark and nothing else', '<tool_call>', { content: '<tool_call>' }],
]

const qwen = (text: string) => `<tool_call>\n<function=get_weather>\n${text}</function>\n</tool_call>`
const given = (name: string, value: string) => `<parameter=${name}>\n${value}\n</parameter>\n`
const qwenOslo = qwen(given('city', 'Oslo'))
const weather = (written: string) => ({ name: 'get_weather', arguments: written })

const qwenExamples: readonly Example[] = [
  ['text', 'Hello  \n', { content: 'Hello  \n' }],
  ['one call', qwenOslo, { calls: [oslo] }],
  ['calls in a row', `${qwenOslo}\n${qwenOslo}\n`, { calls: [oslo, oslo] }],
  ['text around', `Let me see.\n\n${qwenOslo}\nDone`, { content: 'Let me see.\nDone', calls: [oslo] }],
  [
    'values by their types',
    qwen(
      given('city', '5') +
        given('days', ' 3 ') +
        given('unit', 'null') +
        given('fresh', 'True') +
        given('places', '["a",\n {"b": 1.0}]'),
    ),
    {
      calls: [
        weather('{"city": "5", "days": 3, "unit": null, "fresh": true, "places": ["a",\n {"b": 1.0}]}'),
      ],
    },
  ],
  [
    'values that do not fit their types',
    qwen(given('days', 'three') + given('unit', '5') + given('places', "['a']")),
    { calls: [weather(`{"days": "three", "unit": "5", "places": "['a']"}`)] },
  ],
  [
    'parameters that no schema knows',
    qwen(given('a', '{"b": 1}') + given('c', 'd"') + given('e', '"f"')),
    { calls: [weather(String.raw`{"a": {"b": 1}, "c": "d\"", "e": "\"f\""}`)] },
  ],
  [
    'text of many lines',
    qwen(given('city', '\n  if (a < b) {\n\t"😀" </p>\n\n')),
    { calls: [weather(String.raw`{"city": "\n  if (a < b) {\n\t\"😀\" </p>\n\n"}`)] },
  ],
  [
    'empty texts',
    qwen(given('city', '') + given('unit', '')),
    { calls: [weather('{"city": "", "unit": ""}')] },
  ],
  [
    'everything on one line',
    '<tool_call><function=get_weather><parameter=city>Oslo</parameter></function></tool_call>',
    { calls: [oslo] },
  ],
  ['no arguments', qwen(''), { calls: [weather('{}')] }],
  ['JSON in place of parameters', qwen('{"city": "Oslo"}\n'), { calls: [oslo] }],
  [
    'without the outer marks',
    `I look.\n<function=get_weather>\n${given('city', 'Oslo')}</function>`,
    { content: 'I look.', calls: [oslo] },
  ],
  ['without the first mark', qwenOslo.slice('<tool_call>\n'.length), { calls: [oslo] }],
  ['without the inner end', qwenOslo.replace('</function>\n', ''), { calls: [oslo] }],
  [
    'two functions in one call',
    qwenOslo.replace('</tool_call>', '<function=add>\n</function>\n</tool_call>'),
    { calls: [oslo, { name: 'add', arguments: '{}' }] },
  ],
  [
    'an unknown tool',
    qwenOslo.replace('get_weather', 'fly'),
    { calls: [{ name: 'fly', arguments: oslo.arguments }] },
  ],
  [
    'an unknown tool without the outer marks',
    '<function=fly>\n</function>',
    { content: '<function=fly>\n</function>' },
  ],
  ['text between parameters', qwen(`${given('city', 'Oslo')}what?\n`), { content: '\nwhat?', calls: [oslo] }],
  [
    'cut off in a text',
    '<tool_call>\n<function=get_weather>\n<parameter=city>\nOs\n</para',
    {
      calls: [weather(String.raw`{"city": "Os\n</para`)],
    },
  ],
  [
    'cut off in a value',
    '<tool_call>\n<function=get_weather>\n<parameter=places>\n["a',
    {
      calls: [weather('{"places": ["a')],
    },
  ],
  [
    'cut off in a value that may be text',
    '<tool_call>\n<function=add>\n<parameter=a>\n"x',
    {
      calls: [{ name: 'add', arguments: String.raw`{"a": "\"x` }],
    },
  ],
  [
    'cut off behind a parameter',
    '<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<par',
    {
      calls: [weather('{"city": "Oslo"')],
    },
  ],
  [
    'cut off in JSON',
    qwen('{"city": "Os').slice(0, -'</function>\n</tool_call>'.length),
    { calls: [weather('{"city": "Os')] },
  ],
  ['cut off behind a call', qwenOslo.slice(0, -3), { content: '\n</tool_ca', calls: [oslo] }],
  ['no function', call('get_weather(Oslo)'), { content: call('get_weather(Oslo)') }],
  ['a function without a name', call('<function=>'), { content: call('<function=>') }],
  ['something else in a function', qwen('Oslo\n'), { content: qwen('Oslo\n') }],
  ['half a mark', 'a <func', { content: 'a <func' }],
  ['marks and nothing else', '<tool_call>\n<function=add>\n', { content: '<tool_call>\n<function=add>\n' }],
]

const glm = (text: string) => `<tool_call>get_weather\n${text}</tool_call>`
const argument = (name: string, value: string) =>
  `<arg_key>${name}</arg_key>\n<arg_value>${value}</arg_value>\n`
const glmOslo = glm(argument('city', 'Oslo'))

const glmExamples: readonly Example[] = [
  ['text', 'Hello\n', { content: 'Hello\n' }],
  ['one call', `Sure.\n${glmOslo}`, { content: 'Sure.', calls: [oslo] }],
  ['calls in a row', `${glmOslo}\n${glmOslo.replaceAll('\n', '')}`, { calls: [oslo, oslo] }],
  [
    'values by their types',
    glm(
      argument('city', '\n5 ') + argument('days', '3') + argument('unit', 'null') + argument('fresh', 'no'),
    ),
    { calls: [weather(String.raw`{"city": "\n5 ", "days": 3, "unit": null, "fresh": "no"}`)] },
  ],
  ['no arguments', '<tool_call>add</tool_call>', { calls: [{ name: 'add', arguments: '{}' }] }],
  ['JSON in place of arguments', glm('{"city": "Oslo"}\n'), { calls: [oslo] }],
  [
    'cut off in a text',
    '<tool_call>get_weather<arg_key>city</arg_key><arg_value>Os</arg',
    {
      calls: [weather('{"city": "Os</arg')],
    },
  ],
  [
    'cut off in a key',
    `${glmOslo.slice(0, -'</tool_call>'.length)}<arg_key>da`,
    {
      calls: [weather('{"city": "Oslo"')],
    },
  ],
  [
    'a key without a value',
    glm('<arg_key>city</arg_key>\n'),
    {
      content: '<arg_key>city</arg_key>',
      calls: [weather('{}')],
    },
  ],
  ['no call', call('get weather'), { content: call('get weather') }],
  ['a mark and nothing else', '<tool_call>get', { content: '<tool_call>get' }],
]

const examples: Readonly<Record<FormatName, readonly Example[]>> = {
  hermes: hermesExamples,
  'qwen-coder': qwenExamples,
  glm: glmExamples,
  generic: [
    ...hermesExamples.filter(([what]) => !/no JSON|mark and|no call|no text/.test(what)),
    ['bare JSON', osloJson, { calls: [oslo] }],
    ['a bare list', ` [${osloParameters}, ${sumJson}]`, { calls: [oslo, sum] }],
    [
      'bare JSON of an unknown tool',
      '{"name": "fly", "arguments": {}}',
      { content: '{"name": "fly", "arguments": {}}' },
    ],
    ['an answer in JSON', '{"city": "Oslo"}', { content: '{"city": "Oslo"}' }],
    ['an answer in a list', '[1, 2]', { content: '[1, 2]' }],
    ['an empty list', '[]', { content: '[]' }],
    ['a fence', `\`\`\`json\n${osloJson}\n\`\`\``, { calls: [oslo] }],
    ['another fence', '```json\n{"a": 1}\n```', { content: '```json\n{"a": 1}\n```' }],
    ['no call in marks', '<tool_call>what</tool_call>', { content: '<tool_call>what</tool_call>' }],
  ],
  llama: [
    ['text', 'Hello {"name": "add"}', { content: 'Hello {"name": "add"}' }],
    ['one call', osloParameters, { calls: [oslo] }],
    ['two calls', `${osloParameters}; ${sumJson}`, { calls: [oslo, sum] }],
    ['calls on lines', `${osloParameters}\n${sumJson}\n`, { calls: [oslo, sum] }],
    [
      'a type',
      `{"type": "function", "name": "get_weather", "parameters": {"city": "Oslo"}}`,
      { calls: [oslo] },
    ],
    ['behind the control token', `<|python_tag|>${osloParameters}`, { calls: [oslo] }],
    [
      'a built-in tool',
      '<|python_tag|>brave_search.call(query="Oslo weather", days=[1, 2], fresh=True)',
      {
        calls: [{ name: 'brave_search', arguments: '{"query":"Oslo weather","days":[1,2],"fresh":true}' }],
      },
    ],
    [
      'code',
      '<|python_tag|>x = 1\nx + 1',
      { calls: [{ name: 'python', arguments: '{"code":"x = 1\\nx + 1"}' }] },
    ],
    [
      'an unknown tool',
      '{"name": "fly", "parameters": {}}',
      { content: '{"name": "fly", "parameters": {}}' },
    ],
    ['an answer in JSON', ' {"a": 1}', { content: ' {"a": 1}' }],
    ['text behind a call', `${osloParameters} there`, { content: ' there', calls: [oslo] }],
    ['whitespace alone', ' \n', { content: ' \n' }],
  ],
  mistral: [
    ['text', 'Hello', { content: 'Hello' }],
    ['a list', `[TOOL_CALLS][${osloJson}]`, { calls: [oslo] }],
    ['a list of two', `[TOOL_CALLS] [${osloJson}, ${sumJson}]`, { calls: [oslo, sum] }],
    [
      'ids',
      '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "abcdefghi"}]',
      { calls: [oslo] },
    ],
    ['text before', `Sure.[TOOL_CALLS][${osloJson}]`, { content: 'Sure.', calls: [oslo] }],
    ['no list', '[TOOL_CALLS] what?', { content: '[TOOL_CALLS] what?' }],
    ['a list of something else', '[TOOL_CALLS][1, 2]', { content: '[TOOL_CALLS][1, 2]' }],
    ['a list cut off', `[TOOL_CALLS][${osloJson}, {"name": "ad`, { content: '{"name": "ad', calls: [oslo] }],
  ],
  'mistral-named': [
    ['one call', '[TOOL_CALLS]get_weather[ARGS]{"city": "Oslo"}', { calls: [oslo] }],
    [
      'two calls',
      `[TOOL_CALLS]get_weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]add[ARGS]${sum.arguments}`,
      { calls: [oslo, sum] },
    ],
    ['an id', '[TOOL_CALLS]get_weather[CALL_ID]123456789[ARGS]{"city": "Oslo"}', { calls: [oslo] }],
    ['without the second mark', '[TOOL_CALLS]get_weather{"city": "Oslo"}', { calls: [oslo] }],
    ['an older list', `[TOOL_CALLS][${osloJson}]`, { calls: [oslo] }],
    ['arguments cut off', '[TOOL_CALLS]add[ARGS]{"a', { calls: [{ name: 'add', arguments: '{"a' }] }],
    ['no arguments', '[TOOL_CALLS]add[ARGS]', { calls: [{ name: 'add', arguments: '{}' }] }],
    ['a name and nothing else', '[TOOL_CALLS]add', { content: '[TOOL_CALLS]add' }],
    ['a name and text', '[TOOL_CALLS]add it', { content: '[TOOL_CALLS]add it' }],
  ],
  deepseek: [
    ['text', 'Hello', { content: 'Hello' }],
    [
      'one call',
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Oslo"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
      { calls: [oslo] },
    ],
    [
      'two calls behind text',
      `I look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n{"city": "Oslo"}\n\`\`\`<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n\`\`\`json\n${sum.arguments}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
      { content: 'I look.', calls: [oslo, sum] },
    ],
    [
      'no call inside',
      '<｜tool▁call▁begin｜>function<｜tool▁call▁end｜>',
      { content: '<｜tool▁call▁begin｜>function<｜tool▁call▁end｜>' },
    ],
    [
      'cut off in its name',
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get',
      { content: '<｜tool▁call▁begin｜>function<｜tool▁sep｜>get' },
    ],
    [
      'cut off in its arguments',
      '<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{"a"',
      { calls: [{ name: 'add', arguments: '{"a"' }] },
    ],
  ],
  'deepseek-plain': [
    [
      'two calls',
      `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Oslo"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>${sum.arguments}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
      { calls: [oslo, sum] },
    ],
  ],
  harmony: [
    ['an answer', '<|channel|>final<|message|>Hello <b>\n<|return|>', { content: 'Hello <b>\n' }],
    [
      'thoughts and an answer',
      '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello',
      { reasoning: 'Hm.', content: 'Hello' },
    ],
    [
      'a call',
      '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Oslo"}<|call|>',
      { reasoning: 'Hm.', calls: [oslo] },
    ],
    [
      'the recipient first',
      ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Oslo"}',
      { calls: [oslo] },
    ],
    [
      'a word before the call',
      '<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.add code<|message|>{}<|call|>ignored',
      { content: 'I look.', calls: [{ name: 'add', arguments: '{}' }] },
    ],
    [
      'a call without arguments',
      '<|channel|>commentary to=python<|message|>',
      { calls: [{ name: 'python', arguments: '{}' }] },
    ],
    ['bare text', 'Hello', { content: 'Hello' }],
    ['a header cut off', '<|channel|>analysis<|message|>Hm.<|end|><|start|>assis', { reasoning: 'Hm.' }],
    [
      'a message that is not closed',
      '<|channel|>analysis<|message|>Hm.<|channel|>final<|message|>Yes',
      { reasoning: 'Hm.', content: 'Yes' },
    ],
  ],
  phi: [
    ['text', 'Hello', { content: 'Hello' }],
    ['one call', `<|tool_call|>[${osloJson}]<|/tool_call|>`, { calls: [oslo] }],
    ['two calls', `<|tool_call|>[${osloJson}, ${sumJson}]<|/tool_call|>`, { calls: [oslo, sum] }],
    ['in words', `functools[${osloJson}]`, { calls: [oslo] }],
    ['no call', '<|tool_call|>no<|/tool_call|>', { content: '<|tool_call|>no' }],
    ['no call in words', 'functools[partial]', { content: 'functools[partial]' }],
  ],
  gemma: [
    ['text', 'Hello\n', { content: 'Hello\n' }],
    ['JSON in a fence', `\`\`\`tool_code\n${osloParameters}\n\`\`\``, { calls: [oslo] }],
    [
      'Python in a fence',
      "Sure:\n```tool_code\nprint(get_weather(city='Oslo'))\n```",
      { content: 'Sure:', calls: [{ name: 'get_weather', arguments: '{"city":"Oslo"}' }] },
    ],
    ['bare JSON', osloParameters, { calls: [oslo] }],
    ['other code', '```tool_code\nimport os\n```\n', { content: '```tool_code\nimport os\n```\n' }],
    ['a fence cut off', '```tool_code\nget_weather(', { content: '```tool_code\nget_weather(' }],
  ],
}

describe.each(Object.entries(examples) as [FormatName, readonly Example[]][])('%s', (name, list) => {
  test.each(list)('%s', (_what, text, said) => {
    expect(read(parserOf(name), [text])).toEqual({ ...nothing, ...said })
  })

  test('however the text is cut, the same is said', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...list),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        ([, text, said], lengths) => {
          expect(read(parserOf(name), cut(text, lengths))).toEqual({ ...nothing, ...said })
        },
      ),
      { numRuns: 60 },
    )
  })

  test('no text is lost, whatever comes', () => {
    const words = list.flatMap(([, text]) => text.split(/(?<=[>\]}\s:,])/))
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words, 'word', '{', '"', ']')), (parts) => {
        const text = parts.join('')
        const whole = read(parserOf(name), [text])
        expect(read(parserOf(name), [...text])).toEqual(whole)
        if (name === 'harmony' || whole.calls.length > 0) return
        const marks = toolFormat(name).visibleTokens
        const bare = marks.reduce((rest, mark) => rest.replaceAll(mark, ''), text)
        const shown = marks.reduce((rest, mark) => rest.replaceAll(mark, ''), whole.content)
        expect(shown.replace(/\s/g, '')).toBe(bare.replace(/\s/g, ''))
      }),
      { numRuns: 100 },
    )
  })

  test('what it writes it reads', () => {
    const text = toolFormat(name).writeCalls(name === 'harmony' ? [oslo] : [oslo, sum])
    const { calls, ...others } = read(parserOf(name), [text])
    const values = (list: Said['calls']) => list.map((one) => [one.name, JSON.parse(one.arguments)])
    expect(values(calls)).toEqual(values(name === 'harmony' ? [oslo] : [oslo, sum]))
    expect(others).toEqual({ content: '', reasoning: '' })
  })
})

test('arguments are passed on as they come', () => {
  const parser = parserOf('hermes')
  expect(parser.push('<tool_call>{"name": "add", "arg')).toEqual([{ type: 'call', name: 'add' }])
  expect(parser.push('uments": {"a": ')).toEqual([{ type: 'arguments', text: '{"a": ' }])
  expect(parser.push('17')).toEqual([{ type: 'arguments', text: '17' }])
  expect(parser.push('}}')).toEqual([{ type: 'arguments', text: '}' }, { type: 'call-end' }])
})

test('texts among arguments are passed on as they come', () => {
  const parser = parserOf('qwen-coder')
  expect(parser.push('<tool_call>\n<function=get_weather>\n<para')).toEqual([])
  expect(parser.push('meter=city>\nOs')).toEqual([
    { type: 'call', name: 'get_weather' },
    { type: 'arguments', text: '{"city": "' },
    { type: 'arguments', text: 'Os' },
  ])
  expect(parser.push('lo "now"\n')).toEqual([{ type: 'arguments', text: 'lo \\"now\\"' }])
  expect(parser.push('</parameter>\n</function>\n')).toEqual([
    { type: 'arguments', text: '"' },
    { type: 'arguments', text: '}' },
    { type: 'call-end' },
  ])
})

test.each(['qwen-coder', 'glm'] as const)('%s writes arguments that are no object as they are', (name) => {
  const broken = { name: 'add', arguments: '{"a": 1' }
  const text = toolFormat(name).writeCalls([broken])
  expect(read(parserOf(name), [text]).calls[0]).toMatchObject({ name: 'add' })
  expect(text).toContain('\n{"a": 1\n')
  const none = toolFormat(name).writeCalls([{ name: 'add', arguments: '' }])
  expect(read(parserOf(name), [none]).calls).toEqual([{ name: 'add', arguments: '{}' }])
})

test.each(Object.keys(examples).filter((name) => name !== 'harmony') as FormatName[])(
  '%s without tools takes everything as content',
  (name) => {
    for (const [, text] of examples[name]) {
      expect(read(toolFormat(name).parser({ tools: new Map() }), [text])).toEqual({
        ...nothing,
        content: text,
      })
    }
  },
)

describe('thoughts', () => {
  const markers = { open: '<think>', close: '</think>' }
  const thinking = (opened: boolean) => new ReasoningParser(markers, opened, parserOf('hermes'))

  const cases: readonly (readonly [text: string, opened: boolean, said: Partial<Said>])[] = [
    ['<think>\nHm.\n</think>\n\nHello', false, { reasoning: 'Hm.', content: 'Hello' }],
    ['Hm.\n\nWell.\n</think>\n\nHello', true, { reasoning: 'Hm.\n\nWell.', content: 'Hello' }],
    ['<think>\nHm.</think>Hello', true, { reasoning: 'Hm.', content: 'Hello' }],
    ['Hello <think>', false, { content: 'Hello <think>' }],
    [' \n', false, { content: ' \n' }],
    ['<think>Hm. </thi', false, { reasoning: 'Hm. </thi' }],
    [`<think>Hm.</think>\n${call(osloJson)}`, false, { reasoning: 'Hm.', calls: [oslo] }],
    ['<think>\n\n</think>\n\nHello', false, { content: 'Hello' }],
  ]

  test.each(cases)('%j (opened by the prompt: %s)', (text, opened, said) => {
    expect(read(thinking(opened), [text])).toEqual({ ...nothing, ...said })
    expect(read(thinking(opened), [...text])).toEqual({ ...nothing, ...said })
  })

  test('tells while it lasts', () => {
    const parser = thinking(false)
    const states = ['<think>', 'Hm', '</think>', 'Hi'].map((text) => {
      parser.push(text)
      return parser.reasoning
    })
    expect(states).toEqual([true, true, false, false])
    expect(thinking(true).reasoning).toBe(true)
  })
})

function cut(text: string, lengths: readonly number[]): readonly string[] {
  const pieces: string[] = []
  for (let at = 0, turn = 0; at < text.length; turn += 1) {
    const length = lengths[turn % lengths.length]!
    pieces.push(text.slice(at, at + length))
    at += length
  }
  return pieces
}
