import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type SseMessage, SseOverflowError, SseParser } from './sse-parser.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

function read(text: string, cuts: readonly number[] = [], lastId: string | null = null): SseMessage[] {
  const all = bytes(text)
  const parser = new SseParser(lastId, 1000)
  const ends = [...cuts.map((cut) => cut % (all.length + 1)), all.length].sort((a, b) => a - b)
  let start = 0
  return ends.flatMap((end) => {
    const chunk = all.subarray(start, end)
    start = end
    return parser.push(chunk)
  })
}

const message = (data: string, id: string | null = null, event = 'message') => ({ event, data, id })

test.each([
  ['data: a\n\n', [message('a')]],
  ['data:a\n\n', [message('a')]],
  ['data:  a\n\n', [message(' a')]],
  ['data: a\ndata: b\n\n', [message('a\nb')]],
  ['data\n\n', [message('')]],
  ['\ufeffdata: a\n\n', [message('a')]],
  [': ping\n\ndata: a\n\n', [message('a')]],
  ['id: 1\nevent: end\ndata: {}\n\n', [message('{}', '1', 'end')]],
  ['id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n', [message('a', '1'), message('b', '1'), message('c', '')]],
  ['id: 1\u00002\ndata: a\n\n', [message('a')]],
  ['event: x\n\ndata: a\n\n', [message('a')]],
  ['other: x\ndata: a\n\n', [message('a')]],
  ['data: a\n', []],
  ['data: a', []],
  ['\n\n\n', []],
])('%j', (text, expected) => {
  expect(read(text)).toEqual(expected)
})

test('the last id of an earlier connection stands until there is another', () => {
  expect(read('data: a\n\nid: 8\ndata: b\n\n', [], '7').map(({ id }) => id)).toEqual(['7', '8'])
})

test.each(['\n', '\r', '\r\n'])('lines may end in %j and chunks anywhere, even within a character', (end) => {
  const text =
    ['id: 1', 'data: grüße 🜁', 'data: 東京', '', ': ping', '', 'event: end', 'data: {}', ''].join(end) + end
  const whole = [message('grüße 🜁\n東京', '1'), message('{}', '1', 'end')]
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 12 }), (cuts) => {
      expect(read(text, cuts)).toEqual(whole)
    }),
  )
})

test('arbitrary bytes are read without failing', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 5 }), (chunks) => {
      const parser = new SseParser(null, 1000)
      for (const chunk of chunks) for (const { data } of parser.push(chunk)) expect(data).toBeTypeOf('string')
    }),
  )
})

describe('limits', () => {
  test.each(['data: x', 'data: \n'])('an event that does not end is refused (%j)', (piece) => {
    const parser = new SseParser(null, 1000)
    expect(() => {
      for (let index = 0; index < 1001; index += 1) parser.push(bytes(piece))
    }).toThrow(SseOverflowError)
  })

  test('many small events are no large one', () => {
    const parser = new SseParser(null, 1000)
    const chunk = bytes(`data: ${'x'.repeat(500)}\n\n`)
    for (let index = 0; index < 20; index += 1) expect(parser.push(chunk)).toHaveLength(1)
  })
})

test.each([
  ['retry: 50\n', 50],
  ['retry: -1\n', null],
  ['retry: 1e3\n', null],
  ['retry:\n', null],
])('%j asks to wait %s', (text, retryMs) => {
  const parser = new SseParser(null, 1000)
  parser.push(bytes(text))
  expect(parser.retryMs).toBe(retryMs)
})
