import { expect, test } from 'vitest'
import { argumentsObject } from './call-arguments.ts'

test.each([
  ['{"city": "Oslo"}', { city: 'Oslo' }],
  ['', {}],
  ['{"city": "Os', { arguments: '{"city": "Os' }],
  ['["Oslo"]', { arguments: '["Oslo"]' }],
  ['null', { arguments: 'null' }],
  ['5', { arguments: '5' }],
])('%j becomes %j', (text, value) => {
  expect(argumentsObject(text)).toEqual(value)
})
