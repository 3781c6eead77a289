import { replicaSchema } from '@deos/api'
import { expect, test } from 'vitest'
import { predictedText } from './predicted-text.ts'

const { predicted: predictedSchema, predictedTokenMs: tokenMsSchema } = replicaSchema.shape
const rates = { ttftMs: 410, tokensPerSecond: 26 }

/** Of what the API answers. */
const text = (predicted: unknown, tokenMs: number | null = 38) =>
  predictedText({
    predicted: predictedSchema.parse(predicted),
    predictedTokenMs: tokenMsSchema.parse(tokenMs),
  })

test('what answers has a first token and a time for each; what only computes prompts has neither', () => {
  expect(text({ ...rates, tpotMs: 150, handOverMs: null })).toBe(
    'Predicted first token in 410 ms, then 150 ms a token, 26 tok/s',
  )
  expect(text({ ...rates, tpotMs: 150, handOverMs: 34 })).toContain(
    'in 410 ms (34 ms of it for KV to arrive), then',
  )
  expect(text({ ...rates, tpotMs: null, handOverMs: 34 })).toBe(
    'Predicted prompt ready to decode in 410 ms (34 ms of it for KV to arrive), 26 tok/s of prompts',
  )
})

test('without a forecast it is the time of a token, if that', () => {
  expect(text(null)).toBe('Predicted 38 ms a token')
  expect(text(null, null)).toBe('Predicted –')
})
