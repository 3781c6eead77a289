import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TokenStream } from './token-stream.ts'

const chunk = (text: string, rest = '"finish_reason":null') =>
  `data: {"id":"cmpl-1","choices":[{"index":0,"text":${JSON.stringify(text)},"logprobs":null,${rest}}],"usage":null}\n\n`
const end =
  'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":8}}}\n\ndata: [DONE]\n\n'
const answer = `: ping\n\n${chunk(' a')}${chunk('"quoted"')}${chunk('é')}${chunk('', '"finish_reason":"length"')}${end}`

test('tokens are counted by their text, at the time of their last byte', () => {
  const stream = new TokenStream()
  const first = Buffer.from(chunk(' a'))
  stream.push(first.subarray(0, -1), 10)
  expect(stream.tokensMs).toEqual([])
  stream.push(first.subarray(-1), 12)
  stream.push(Buffer.from(chunk('b') + chunk('c')), 15)
  expect(stream.tokensMs).toEqual([12, 15, 15])
  expect(stream.done).toBe(false)
  expect(stream.completionTokens).toBeNull()
  stream.push(Buffer.from(end), 20)
  expect(stream).toMatchObject({ tokensMs: [12, 15, 15], done: true, completionTokens: 3, cachedTokens: 8 })
})

test('where the bytes are cut makes no difference', () => {
  const bytes = Buffer.from(answer)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length })), (cuts) => {
      const stream = new TokenStream()
      let from = 0
      for (const to of [...cuts.sort((a, b) => a - b), bytes.length]) {
        stream.push(bytes.subarray(from, to), 1)
        from = to
      }
      expect(stream).toMatchObject({ tokensMs: [1, 1, 1], done: true, completionTokens: 3, cachedTokens: 8 })
    }),
  )
})

test('text that looks like usage is text', () => {
  const stream = new TokenStream()
  stream.push(Buffer.from(chunk('"completion_tokens":7')), 1)
  expect(stream.tokensMs).toHaveLength(1)
  expect(stream.completionTokens).toBeNull()
})

test.each([
  'data: {"error":{"message":"interrupted","code":503}}\n\n',
  'error: {"message":"interrupted","code":503}\n\n',
])('a stream that ends with an error says so: %s', (event) => {
  const stream = new TokenStream()
  expect(() => stream.push(Buffer.from(event), 1)).toThrow('interrupted')
})
