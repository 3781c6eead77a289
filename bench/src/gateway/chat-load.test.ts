import { describe, expect, test } from 'vitest'
import { checkAnswer, nameOf, scenarios } from './chat-load.ts'
import { fakeCompletion, fakeEvents } from './fake-openai.ts'

test('scenarios are every combination, each with a name of its own', () => {
  expect(scenarios).toHaveLength(8)
  expect(new Set(scenarios.map(nameOf)).size).toBe(8)
  expect(nameOf({ connections: 32, stream: true, tokens: 16 })).toBe('c32.stream.tokens16')
})

describe('an answer', () => {
  const whole = { connections: 1, stream: false, tokens: 2 }
  const streamed = { connections: 1, stream: true, tokens: 2 }
  const events = fakeEvents({ model: 'm', max_tokens: 2 })

  test('that is what was asked for is taken', () => {
    checkAnswer(fakeCompletion({ model: 'm', max_tokens: 2 }), whole)
    checkAnswer(events.join(''), streamed)
  })

  test('of another length is refused', () => {
    expect(() => checkAnswer(fakeCompletion({ model: 'm', max_tokens: 3 }), whole)).toThrow('3 tokens came')
    expect(() => checkAnswer('{}', whole)).toThrow('No tokens came')
    expect(() => checkAnswer(fakeEvents({ model: 'm', max_tokens: 1 }).join(''), streamed)).toThrow(
      '1 tokens',
    )
  })

  test('that breaks off is refused', () => {
    expect(() => checkAnswer(events.slice(0, -1).join(''), streamed)).toThrow('2 tokens came')
  })
})
