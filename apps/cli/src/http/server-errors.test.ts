import { expect, test } from 'vitest'
import { serverError } from './server-errors.ts'

test("tells the server's own words", () => {
  const error = serverError(429, '{"error":{"message":"Full.","code":"rate_limit_exceeded"}}')
  expect(error).toMatchObject({ message: 'Full.', serverCode: 'rate_limit_exceeded', retriable: true })
})

test('shows what else a server sent, and what may be wrong', () => {
  const error = serverError(404, '<html>nothing here</html>')
  expect(error.message).toBe('The server answered 404: <html>nothing here</html>')
  expect(error.hint).toMatch(/--url/)
})

test('a key that is not known is answered with how to give one', () => {
  expect(serverError(401, '{"error":{"message":"No API key was given."}}').hint).toMatch(/DEOS_API_KEY/)
})
