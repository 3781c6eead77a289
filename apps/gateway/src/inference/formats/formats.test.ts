import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FormatName } from './chat-format.ts'
import { toolFormat } from './index.ts'
import type { AnswerParser, Piece } from './pieces.ts'
import { ReasoningParser } from './reasoning.ts'

const tools = new Set(['get_weather', 'add', 'python'])

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

const examples: Readonly<Record<FormatName, readonly Example[]>> = {
  hermes: hermesExamples,
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
    expect(read(parserOf(name), [text])).toEqual({
      ...nothing,
      calls: name === 'harmony' ? [oslo] : [oslo, sum],
    })
  })
})

test('arguments are passed on as they come', () => {
  const parser = parserOf('hermes')
  expect(parser.push('<tool_call>{"name": "add", "arg')).toEqual([{ type: 'call', name: 'add' }])
  expect(parser.push('uments": {"a": ')).toEqual([{ type: 'arguments', text: '{"a": ' }])
  expect(parser.push('17')).toEqual([{ type: 'arguments', text: '17' }])
  expect(parser.push('}}')).toEqual([{ type: 'arguments', text: '}' }, { type: 'call-end' }])
})

test.each(Object.keys(examples).filter((name) => name !== 'harmony') as FormatName[])(
  '%s without tools takes everything as content',
  (name) => {
    for (const [, text] of examples[name]) {
      expect(read(toolFormat(name).parser({ tools: new Set() }), [text])).toEqual({
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
