import { expect, test } from 'vitest'
import { createLogger, formatLogLine } from './logging.ts'

function recorder() {
  const lines: string[] = []
  return { lines, sink: { write: (line: string) => void lines.push(line) } }
}

test.each([
  [{ authorization: 'Bearer hidden' }],
  [{ apiKey: 'hidden' }],
  [{ headers: { authorization: 'Bearer hidden', 'x-api-key': 'hidden' } }],
  [{ req: { headers: { authorization: 'Bearer hidden', cookie: 'hidden' } } }],
  [{ config: { ringSecret: 'hidden', secret: 'hidden' } }],
])('blots out the secret in %j', (fields) => {
  const { lines, sink } = recorder()
  createLogger({ name: 'test', level: 'info', format: 'json' }, sink).info(fields, 'said')
  expect(lines).toHaveLength(1)
  expect(lines[0]).not.toContain('hidden')
  expect(lines[0]).toContain('[redacted]')
})

test('marks the lines of a child and keeps quiet below its level', () => {
  const { lines, sink } = recorder()
  const logger = createLogger({ name: 'test', level: 'warn', format: 'json' }, sink).child({
    requestId: 'r1',
  })
  logger.info('unheard')
  logger.warn('heard')
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: 'warn', name: 'test', requestId: 'r1', msg: 'heard' },
  ])
})

test('writes one readable line on a terminal', () => {
  const { lines, sink } = recorder()
  const logger = createLogger({ name: 'gateway', level: 'info', format: 'pretty' }, sink)
  logger.info({ port: 80, why: 'two words' }, 'Listening')
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}gateway Listening port=80 why="two words"\n$/)
})

test('keeps the trace of an error in the readable form', () => {
  const { lines, sink } = recorder()
  createLogger({ name: 'gateway', level: 'info', format: 'pretty' }, sink).error(
    { err: new Error('broke') },
    'Oh',
  )
  expect(lines[0]).toContain('Oh\nError: broke\n    at ')
})

test('formatLogLine() manages without time, message and fields', () => {
  expect(formatLogLine('{"level":"warn","name":"w"}')).toBe(' WARN  w\n')
})
