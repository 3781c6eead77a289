import { seededRandom } from '@deos/domain'
import { GrammarEngine } from '@deos/engine/grammar'
import { describe, expect, test } from 'vitest'
import { formatNames } from './chat-format.ts'
import { withControlTokens } from './control-tokens.ts'
import { toolFormat } from './index.ts'
import type { TagFormat } from './structural-tag.ts'

const tools = [
  {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: { city: { enum: ['Oslo', 'Rome'] }, days: { type: 'integer', minimum: 1, maximum: 9 } },
      required: ['city'],
      additionalProperties: false,
    },
  },
  { name: 'add', parameters: { type: 'object', properties: {}, additionalProperties: false } },
]
const calls = [
  { name: 'get_weather', arguments: '{"city": "Oslo", "days": 3}' },
  { name: 'add', arguments: '{}' },
]

const END = 256

/** A vocabulary of bytes, an end, and control tokens. */
function engineWith(controls: readonly string[]): GrammarEngine {
  const texts = [
    ...Array.from({ length: 256 }, (_, byte) => Buffer.of(byte)),
    ...['', ...controls].map((text) => Buffer.from(text)),
  ]
  const offsets = new Uint32Array(texts.length + 1)
  for (const [id, text] of texts.entries()) offsets[id + 1] = offsets[id]! + text.length
  const special = new Uint8Array(texts.length)
  for (let id = END; id < texts.length; id += 1) special[id] = 1
  return new GrammarEngine({
    size: texts.length,
    bytes: new Uint8Array(Buffer.concat(texts)),
    offsets,
    special,
    stopTokens: [END],
  })
}

function tokensOf(text: string, controls: readonly string[]): readonly number[] {
  const tokens: number[] = []
  let rest = text
  while (rest !== '') {
    const index = controls.findIndex((control) => rest.startsWith(control))
    if (index >= 0) {
      tokens.push(END + 1 + index)
      rest = rest.slice(controls[index]!.length)
    } else {
      const character = String.fromCodePoint(rest.codePointAt(0)!)
      tokens.push(...Buffer.from(character))
      rest = rest.slice(character.length)
    }
  }
  return tokens
}

/** Where a text leaves what the format allows; `null` if it is allowed up to its end. */
function stray(format: TagFormat, text: string, controls: readonly string[]): string | null {
  const engine = engineWith(controls)
  const spec = JSON.stringify({ type: 'structural_tag', format: withControlTokens(format, controls) })
  engine.open(1, spec, new Int32Array(), 100_000)
  const tokens = tokensOf(text, controls)
  for (const [index, token] of [...tokens, END].entries()) {
    const mask = engine.mask(1)
    if (((mask[token >> 5]! >>> (token & 31)) & 1) === 0)
      return `${index} of ${tokens.length}: ${text.slice(Math.max(0, index - 20), index + 10)}`
    if (token !== END) engine.accept(1, token)
  }
  return null
}

/** A text that the format allows, chosen token by token. Spaces inside JSON are left out, to be told from its end. */
function wander(format: TagFormat, controls: readonly string[], seed: number): string {
  const engine = engineWith(controls)
  const random = seededRandom(seed)
  const spec = JSON.stringify({ type: 'structural_tag', format: withControlTokens(format, controls) })
  engine.open(1, spec, new Int32Array(), 400)
  const pieces: Buffer[] = []
  for (;;) {
    const mask = engine.mask(1)
    const allowed = Array.from({ length: END + 1 + controls.length }, (_, token) => token).filter(
      (token) => ((mask[token >> 5]! >>> (token & 31)) & 1) === 1,
    )
    const bare = allowed.filter((token) => token !== 10 && token !== 9)
    const choices = bare.length > 0 ? bare : allowed
    const token = choices[Math.floor(random.next() * choices.length)]!
    if (token === END) return Buffer.concat(pieces).toString()
    engine.accept(1, token)
    pieces.push(token < END ? Buffer.of(token) : Buffer.from(controls[token - END - 1]!))
  }
}

describe.each(formatNames)('%s', (name) => {
  const format = toolFormat(name)
  const many = name === 'harmony' ? calls.slice(0, 1) : calls
  // What ends a call of gpt-oss is a stop token, of which a grammar does not speak.
  const write = (list: typeof calls) => format.writeCalls(list).replace(/<\|call\|>$/, '')
  const variants: readonly (readonly string[])[] = [[], format.visibleTokens]

  test.each(variants.map((controls) => [controls.length, controls] as const))(
    'with %i control tokens',
    (_count, controls) => {
      const one = write(calls.slice(0, 1))
      const all = write(many)
      expect(stray(format.calls(tools, true), all, controls)).toBeNull()
      expect(stray(format.calls(tools, false), one, controls)).toBeNull()
      expect(stray(format.calls(tools, true), 'Hello', controls)).not.toBeNull()
      const wrong = write([{ name: 'get_weather', arguments: '{"city": "Mars"}' }])
      expect(stray(format.calls(tools, true), wrong, controls)).not.toBeNull()
      expect(stray(format.textWithCalls(tools, true), all, controls)).toBeNull()
      expect(stray(format.textWithCalls(tools, true), wrong, controls)).not.toBeNull()
      if (many.length > 1) expect(stray(format.calls(tools, false), all, controls)).not.toBeNull()
      const said =
        name === 'harmony'
          ? '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello {'
          : 'Hello { <b>'
      expect(stray(format.textWithCalls(tools, true), said, controls)).toBeNull()
    },
  )

  test.each(variants.map((controls) => [controls.length, controls] as const))(
    'whatever is allowed is read as calls, with %i control tokens',
    (_count, controls) => {
      for (let seed = 1; seed <= 10; seed += 1) {
        const text = wander(format.calls(tools, true), controls, seed)
        const parser = format.parser({ tools: new Map(tools.map((tool) => [tool.name, tool.parameters])) })
        const pieces = [...parser.push(text), ...parser.finish()]
        const names = pieces.flatMap((piece) => (piece.type === 'call' ? [piece.name] : []))
        expect(names.length, text).toBeGreaterThan(0)
        const said = pieces.flatMap((piece) => (piece.type === 'content' ? [piece.text] : []))
        expect(said.join(''), text).toBe('')
        const given = pieces.map((piece) =>
          piece.type === 'arguments' ? piece.text : piece.type === 'call-end' ? '\n' : '',
        )
        for (const [index, one] of given.join('').trim().split('\n').entries()) {
          const value = JSON.parse(one)
          if (names[index] === 'add') expect(value).toEqual({})
          else expect(['Oslo', 'Rome']).toContain(value.city)
        }
      }
    },
  )
})
