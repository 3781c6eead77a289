import { describe, expect, test } from 'vitest'
import {
  ChatTemplate,
  type ChatTemplateOptions,
  type Conversation,
  MAX_TEMPLATE_LENGTH,
} from './chat-template.ts'
import { ChatTemplateError } from './errors.ts'

function render(
  template: string | null,
  conversation: Conversation,
  options: Partial<ChatTemplateOptions> = {},
) {
  return new ChatTemplate({
    template,
    toolTemplate: null,
    bosToken: '<s>',
    eosToken: '</s>',
    now: () => new Date('2024-07-26T15:04:05Z'),
    ...options,
  }).render(conversation)
}

const hello: Conversation = { messages: [{ role: 'user', content: 'Hello' }] }

/** The shape most instruction models use (ChatML). */
const chatml =
  "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{%- endfor %}" +
  "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"

describe('rendering', () => {
  test('gives messages and the start of the answer', () => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
    ]
    expect(render(chatml, { messages })).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
    )
    expect(render(chatml, { messages: messages.slice(1), addGenerationPrompt: false })).toBe(
      '<|im_start|>user\nHi<|im_end|>\n',
    )
  })

  test('knows BOS, EOS, the date in UTC and further variables, which replace nothing', () => {
    const template =
      "{{ bos_token }}{{ strftime_now('%d %b %Y, %-d.%-m. %j %H:%M %p %q') }}{{ mood }}{{ eos_token }}"
    expect(render(template, { ...hello, variables: { mood: ' good', bos_token: 'no' } })).toBe(
      '<s>26 Jul 2024, 26.7. 208 15:04 PM %q good</s>',
    )
  })

  test('flattens content parts and reads arguments of tool calls', () => {
    const template =
      '{% for m in messages %}{{ m.content }}{% for call in m.tool_calls or [] %}{{ call.function.arguments.city }}{% endfor %};{% endfor %}'
    const call = (given: string) => ({
      id: '1',
      type: 'function',
      function: { name: 'weather', arguments: given },
    })
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      { role: 'assistant', content: '', tool_calls: [call('{"city":"Oslo"}')] },
    ]
    expect(render(template, { messages })).toBe('ab;Oslo;')
    const text = '{{ messages[2].tool_calls[0].function.arguments }}'
    const asText = render(text, { messages: [...messages.slice(0, 1), ...messages], argumentsAs: 'text' })
    expect(asText).toBe('{"city":"Oslo"}')
    const raw = '{{ messages[0].tool_calls[0].function.arguments }}'
    expect(render(raw, { messages: [{ role: 'assistant', tool_calls: [call('not json')] }] })).toBe(
      'not json',
    )
  })

  test('offers tools, by a template of their own if there is one', () => {
    const template = '{% if tools %}{{ tools[0].function.name }}{% else %}none{% endif %}'
    const tools = [{ type: 'function', function: { name: 'weather' } }]
    expect(render(template, { ...hello, tools })).toBe('weather')
    expect(render(template, { ...hello, tools: [] })).toBe('none')
    expect(render(template, { ...hello, tools }, { toolTemplate: 'T' })).toBe('T')
    expect(render(template, hello, { toolTemplate: 'T' })).toBe('none')
  })

  test('without a template gives the contents with an empty line between', () => {
    expect(render(null, { messages: [...hello.messages, { role: 'assistant', content: 'Hi' }] })).toBe(
      'Hello\n\nHi',
    )
  })

  test('one rendering leaves nothing behind for the next', () => {
    const template = new ChatTemplate({
      template: '{{ seen }}{% set seen = 1 %}',
      toolTemplate: null,
      bosToken: null,
      eosToken: null,
      now: () => new Date(0),
    })
    expect(template.render(hello)).toBe('')
    expect(template.render(hello)).toBe('')
  })
})

describe('refusals', () => {
  test('what the template says against the messages is passed on', () => {
    const template = "{{ raise_exception('Conversation roles must alternate') }}"
    expect(() => render(template, hello)).toThrow(ChatTemplateError)
    expect(() => render(template, hello)).toThrow('refused the messages: Conversation roles must alternate')
  })

  test('parts that are not text are named', () => {
    const messages = [{ role: 'user', content: [{ type: 'image_url' }] }]
    expect(() => render(chatml, { messages })).toThrow('messages[0] holds a part of type "image_url"')
  })

  test.each([
    ['{% if %}', 'cannot be read'],
    ['{{ 1 + }}', 'cannot be read'],
    ['{% for x in messages %}', 'cannot be read'],
    ['{{ messages[0].content + none }}', 'failed on the messages'],
    ['{{ missing.field.deeper() }}', 'failed on the messages'],
    ['{% break %}', 'failed on the messages'],
  ])('the broken template %s is an error that says so', (template, words) => {
    expect(() => render(template, hello)).toThrow(ChatTemplateError)
    expect(() => render(template, hello)).toThrow(words)
  })

  test.each([
    ['a huge range', '{% for i in range(1000000000) %}x{% endfor %}'],
    ['a range without end', '{% for i in range(0, 10, 0) %}x{% endfor %}'],
    ['nested loops', '{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}'],
    ['doubling text', `{% set x = 'ab' %}${'{% set x = x ~ x %}'.repeat(40)}`],
    ['doubling lists', `{% set x = [1, 2] %}${'{% set x = x + x %}'.repeat(40)}`],
    ['endless recursion', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}'],
  ])('%s ends in an error', (_, template) => {
    expect(() => render(template, hello)).toThrow(ChatTemplateError)
  })

  test('a template beyond the size limit is not even read', () => {
    expect(() => render('x'.repeat(MAX_TEMPLATE_LENGTH + 1), hello)).toThrow(
      `${MAX_TEMPLATE_LENGTH + 1} characters`,
    )
  })
})
