import { ChatTemplate } from '@deos/engine/tokenizer'
import { describe, expect, test } from 'vitest'
import { plainChat } from '../chat/chat-request.ts'
import { conversationFor } from '../chat/conversation.ts'
import type { FormatName } from './chat-format.ts'
import { detectFormat, toolFormat } from './index.ts'

/** The lines of a template that decide, with what every one has around them. */
function templateOf(text: string) {
  const template = new ChatTemplate({
    template: text,
    toolTemplate: null,
    bosToken: '<s>',
    eosToken: '</s>',
    now: () => new Date(0),
  })
  return { text, render: template.render.bind(template) }
}

const tool = {
  name: 'get_weather',
  description: 'Tells the weather.',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
  strict: false,
  param: 'tools[0].function.parameters',
}
const toolCalls = [
  { id: 'call_1', name: 'get_weather', arguments: '{"city": "Oslo"}' },
  { id: 'call_2', name: 'get_weather', arguments: '{"city": "Rome"}' },
]
const messages = [
  { role: 'system' as const, content: 'Be kind.' },
  { role: 'user' as const, content: 'Weather?' },
  { role: 'assistant' as const, content: '', reasoning: 'Hm.', toolCalls },
  { role: 'tool' as const, content: 'rain', toolCallId: 'call_1' },
  { role: 'tool' as const, content: 'sun', toolCallId: 'call_2' },
]

function rendered(text: string, name: FormatName | null = null): string {
  const template = templateOf(text)
  return template.render(conversationFor({ ...plainChat, messages }, [tool], detectFormat(template, name)))
}

const qwen = `
{%- if tools %}{{ '<|im_start|>system\\n' + messages[0].content + '\\n<tools>' }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{{ '</tools> as <tool_call></tool_call><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}{{ '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{% endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}{{ '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}{{ '<|im_start|>assistant\\n<think>\\n' + message.reasoning_content|default('') + '\\n</think>\\n' }}
{%- for call in message.tool_calls %}{{ '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson + '}\\n</tool_call>\\n' }}{% endfor %}{{ '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}{{ '<|im_start|>user\\n<tool_response>' + message.content + '</tool_response><|im_end|>\\n' }}{% endif %}
{%- endfor %}`

/** Arguments one by one, which only objects have. */
const qwenCoder = `
{%- if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}
{%- for tool in tools or [] %}{{ '<function>\\n<name>' + tool.function.name }}{% endfor %}{{ '<tool_call>\\n<function=example>\\n<parameter=example>\\n' }}
{%- for message in messages %}
{%- for call in message.tool_calls or [] %}{{ '\\n<tool_call>\\n<function=' + call.function.name + '>\\n' }}
{%- for name, value in call.function.arguments|items %}{{ '<parameter=' + name + '>\\n' + (value | tojson if value is mapping else value | string) + '\\n</parameter>\\n' }}{% endfor %}{{ '</function>\\n</tool_call>' }}{% endfor %}
{%- if message.role == 'tool' %}{{ '<tool_response>\\n' + message.content + '\\n</tool_response>' }}{% endif %}
{%- endfor %}`

const glm = `
{%- for tool in tools or [] %}{{ tool | tojson }}{% endfor %}
{%- for message in messages %}
{%- if message.role != 'assistant' %}{{ '<|' + message.role + '|>' + message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}{{ '<tool_call>' + call.function.name + '\\n' }}
{%- for name, value in call.function.arguments.items() %}{{ '<arg_key>' + name + '</arg_key>\\n<arg_value>' + (value if value is string else value | tojson) + '</arg_value>\\n' }}{% endfor %}{{ '</tool_call>' }}{% endfor %}
{%- endfor %}`

/** Calls are known by the lack of content, arguments are text, and nothing is said of tools. */
const r1 = `
{%- for message in messages %}
{%- if message['role'] == 'system' or message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{% endif %}
{%- if message['role'] == 'assistant' and message['content'] is none %}{% for tool in message['tool_calls'] %}{{ '<｜tool▁calls▁begin｜>' + tool['type'] + tool['function']['name'] + '\\n\`\`\`json\\n' + tool['function']['arguments'] + '\\n\`\`\`' }}{% endfor %}{% endif %}
{%- if message['role'] == 'tool' %}{{ '<｜tool▁output▁begin｜>' + message['content'] }}{% endif %}
{%- endfor %}{{ '<｜Assistant｜><think>\\n' }}`

/** Neither system nor tools nor anybody but two who take turns. */
const gemma = `
{%- for message in messages %}
{%- if message['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}
{{- '<start_of_turn>' + message['role'] + '\\n' + message['content'] + '<end_of_turn>\\n' }}
{%- endfor %}`

/** One call a message, thoughts or content beside it. */
const harmony = `<|channel|><|message|>
{%- for tool in tools %}{{ 'type ' + tool.function.name }}{% endfor %}
{%- for message in messages %}
{%- if message.tool_calls %}{%- if message.content and message.thinking %}{{ raise_exception('not both') }}{% endif %}{{ '[' + (message.thinking or '') + '|' + message.tool_calls[0].function.name + message.tool_calls[0].function.arguments|tojson + ']' }}
{%- else %}{{ '(' + message.role + ':' + message.content + ')' }}{% endif %}
{%- endfor %}`

const mistral = `
{%- for tool in tools %}{{ tool | tojson }}{% endfor %}
{%- for message in messages %}
{%- if message.tool_calls %}{{ '[TOOL_CALLS][' }}{% for call in message.tool_calls %}{%- if call.id|length != 9 %}{{ raise_exception('ids have length 9') }}{% endif %}{{ call.function | tojson + call.id }}{% endfor %}{{ ']' }}
{%- elif message.role == 'tool' %}{{ '<' + message.tool_call_id + message.content + '>' }}
{%- else %}{{ message.content }}{% endif %}
{%- endfor %}`

const phi = `{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|system|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|><|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}`

const llama = `<|start_header_id|>
{%- for tool in tools %}{{ tool | tojson }}{% endfor %}
{%- for message in messages %}
{%- if message.tool_calls %}{% if message.tool_calls|length != 1 %}{{ raise_exception('single tool-calls only') }}{% endif %}{{ message.tool_calls[0].function | tojson }}
{%- elif message.role == 'tool' %}{{ 'ipython:' + message.content }}{% else %}{{ message.role + ':' + message.content }}{% endif %}
{%- endfor %}`

describe('a template tells its format', () => {
  test.each([
    [qwen, 'hermes', '<think>'],
    [qwenCoder, 'qwen-coder', null],
    [glm, 'glm', null],
    [r1, 'deepseek', '<think>'],
    [r1.replaceAll('```json', ''), 'deepseek-plain', '<think>'],
    [gemma, 'gemma', null],
    [harmony, 'harmony', null],
    [mistral, 'mistral', null],
    [`${mistral}[ARGS][THINK]`, 'mistral-named', '[THINK]'],
    [phi, 'phi', null],
    [llama, 'llama', null],
    ['{{ messages[0].content }}', 'generic', null],
    ['', 'generic', null],
  ] as const)('%#: %s', (text, name, reasoning) => {
    const format = detectFormat(templateOf(text), null)
    expect([format.tools.name, format.reasoning?.open ?? null]).toEqual([name, reasoning])
  })

  test('unless a person knows better', () => {
    expect(detectFormat(templateOf(qwen), 'llama').tools.name).toBe('llama')
  })
})

describe('what a template leaves out is made up for', () => {
  test('nothing, where it leaves out nothing', () => {
    const text = rendered(qwen)
    expect(text).toContain('<tools>{"type": "function"')
    expect(text).not.toContain('You can call these functions')
    expect(text).toContain('<think>\nHm.\n</think>')
    expect(text).toContain(
      '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
    )
    expect(text).toContain('<tool_response>rain</tool_response>')
  })

  test.each([
    [qwenCoder, '<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n</function>'],
    [glm, '<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n</tool_call>'],
  ])('nothing, where arguments stand one by one (%#)', (text, call) => {
    const written = rendered(text)
    expect(written).toContain(call)
    expect(written).toContain('rain')
    expect(written).not.toContain('You can call these functions')
  })

  test.each([
    [qwenCoder, '<parameter=arguments>\n{"city": "Os\n</parameter>'],
    [glm, '<arg_key>arguments</arg_key>\n<arg_value>{"city": "Os</arg_value>'],
  ])('arguments that are no object (%#)', (text, argument) => {
    const template = templateOf(text)
    const cut = [
      { ...toolCalls[0]!, arguments: '{"city": "Os' },
      { ...toolCalls[1]!, arguments: '' },
    ]
    const said = [{ role: 'assistant' as const, content: '', toolCalls: cut }]
    const conversation = conversationFor({ ...plainChat, messages: said }, [], detectFormat(template, null))
    expect(template.render(conversation)).toContain(argument)
    expect(template.render(conversation).split('get_weather')).toHaveLength(3)
  })

  test.each([
    [qwenCoder, 'qwen-coder'],
    [glm, 'glm'],
  ] as const)('earlier arguments are read as they were (%#)', (text, name) => {
    const template = templateOf(text)
    const written = { city: 'a\n"b"', c: null, d: true, e: { f: [1, 'x'] }, g: -1.5, h: '' }
    const said = [
      {
        role: 'assistant' as const,
        content: '',
        toolCalls: [{ ...toolCalls[0]!, arguments: JSON.stringify(written) }],
      },
    ]
    const prompt = template.render(
      conversationFor({ ...plainChat, messages: said }, [], detectFormat(template, null)),
    )
    const parser = toolFormat(name).parser({ tools: new Map([['get_weather', true]]) })
    const pieces = [...parser.push(prompt.slice(prompt.lastIndexOf('<tool_call>'))), ...parser.finish()]
    const given = pieces.map((piece) => (piece.type === 'arguments' ? piece.text : ''))
    expect(JSON.parse(given.join(''))).toEqual(written)
  })

  test('arguments as text, and calls without content', () => {
    const text = rendered(r1)
    expect(text).toContain('functionget_weather\n```json\n{"city": "Oslo"}\n```')
    expect(text).toContain('<｜tool▁output▁begin｜>rain')
    expect(text).toContain('You can call these functions')
  })

  test('content beside calls becomes a message of its own where calls have none', () => {
    const template = templateOf(r1)
    const said = [{ role: 'assistant' as const, content: 'I look.', toolCalls }]
    const conversation = conversationFor({ ...plainChat, messages: said }, [], detectFormat(template, null))
    expect(conversation.messages.map(({ content, tool_calls }) => [content, tool_calls?.length])).toEqual([
      ['I look.', undefined],
      [null, 2],
    ])
  })

  test('system, tools, calls and results in two voices that take turns', () => {
    const text = rendered(gemma)
    expect(text).toMatch(/^<start_of_turn>user\nBe kind\.\n\nYou can call these functions/)
    expect(text).toContain('```tool_code\n{"name": "get_weather", "parameters": {"city": "Oslo"}}\n```')
    expect(text).toContain(
      '<tool_response>\nrain\n</tool_response>\n\n<tool_response>\nsun\n</tool_response>',
    )
  })

  test.each([
    [
      'harmony',
      harmony,
      '[Hm.|get_weather{"city": "Oslo"}](tool:rain)[|get_weather{"city": "Rome"}](tool:sun)',
    ],
    [
      'llama',
      llama,
      '{"name": "get_weather", "arguments": {"city": "Oslo"}}ipython:rain{"name": "get_weather"',
    ],
  ])('one call a message (%s)', (_name, text, expected) => {
    expect(rendered(text)).toContain(expected)
  })

  test('ids of nine letters and digits', () => {
    const text = rendered(mistral)
    const ids = [...text.matchAll(/\}\}?([0-9a-f]{9})/g)].map(([, id]) => id)
    expect(ids).toHaveLength(2)
    expect(text).toContain(`<${ids[0]}rain><${ids[1]}sun>`)
  })

  test('tools in the system message', () => {
    const text = rendered(phi)
    expect(text).toContain('<|system|>Be kind.<|tool|>[{"name":"get_weather"')
    expect(text).toContain('<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo"}}')
    expect(text).not.toContain('You can call these functions')
  })
})
