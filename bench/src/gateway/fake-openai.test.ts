import { expect, test } from 'vitest'
import { fakeCompletion, fakeEvents } from './fake-openai.ts'

test('an answer has as many tokens as were asked for', () => {
  const body = JSON.parse(fakeCompletion({ model: 'm', max_tokens: 3 }))
  expect(body.usage.completion_tokens).toBe(3)
  expect(body.choices[0].message.content).toBe(' the the the')
})

test('a stream has an event for each token, one that begins, one that finishes, and the end', () => {
  const events = fakeEvents({ model: 'm', max_tokens: 2, stream: true })
  expect(events).toHaveLength(5)
  const content = events.slice(0, -1).map((event) => {
    const { choices } = JSON.parse(event.slice('data: '.length))
    return [choices[0].delta.content ?? null, choices[0].finish_reason]
  })
  expect(content).toEqual([
    ['', null],
    [' the', null],
    [' the', null],
    [null, 'length'],
  ])
  expect(events.at(-1)).toBe('data: [DONE]\n\n')
})
